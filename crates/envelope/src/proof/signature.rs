//! The signature of a record: the value of its header `Baton-Signature`, and what it signs.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::key::{PublicKey, SecretKey};
use super::link::Link;

/// The form of a signature that this build writes and reads.
const FORM: &str = "1";
const DOMAIN: &str = "baton-record-1";
const NONE: &str = "-";
/// How many characters the bytes of a signature take.
const TEXT: usize = 86;

/// Who signed a record, after which record it was written, and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The text of the signer's public key. It is read as a key only when it is trusted.
    pub signer: String,
    /// The last sequence of the ledger subject that the writer expected; 0 for the first record.
    pub expected: u64,
    /// The link of the last valid record before it; `None` for the first.
    pub previous: Option<Link>,
    signature: [u8; 64],
}

/// What is signed of a record.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The ledger subject.
    pub subject: &'a str,
    /// The sequence that the writer expected to be the last on that subject.
    pub expected: u64,
    /// The link of the last valid record.
    pub previous: Option<Link>,
    /// The hash of the body.
    pub body: Link,
}

impl Statement<'_> {
    /// The bytes that are signed: five lines of text.
    pub fn bytes(&self) -> Vec<u8> {
        let Self {
            subject,
            expected,
            previous,
            body,
        } = self;
        let expected = expected.to_string();
        let previous = previous.map(|link| link.hex());
        let previous: &[u8] = previous.as_ref().map_or(NONE.as_bytes(), |hex| hex);
        let body = body.hex();
        let lines = [
            DOMAIN.as_bytes(),
            subject.as_bytes(),
            expected.as_bytes(),
            previous,
            &body,
        ];
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
        bytes
    }

    /// Signs it.
    pub fn sign(&self, key: &SecretKey) -> Signature {
        Signature {
            signer: key.public_text().to_owned(),
            expected: self.expected,
            previous: self.previous,
            signature: key.sign(&self.bytes()),
        }
    }
}

impl Signature {
    /// Whether `key` has signed a record of this body on this subject with it.
    pub fn is_of(&self, key: &PublicKey, subject: &str, body: Link) -> bool {
        let statement = Statement {
            subject,
            expected: self.expected,
            previous: self.previous,
            body,
        };
        key.has_signed(&statement.bytes(), &self.signature)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM} {} {} ", self.signer, self.expected)?;
        match self.previous {
            Some(link) => write!(f, "{link}")?,
            None => f.write_str(NONE)?,
        }
        let mut text = [0; TEXT];
        let length = URL_SAFE_NO_PAD
            .encode_slice(self.signature, &mut text)
            .map_err(|_| fmt::Error)?;
        let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok());
        f.write_str(" ")?;
        f.write_str(text.ok_or(fmt::Error)?)
    }
}

impl FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(' ');
        let [form, signer, expected, previous, signature] = [(); 5].map(|()| parts.next().unwrap_or_default());
        if form != FORM {
            let form: String = form.chars().take(16).collect();
            return Err(format!(
                "its signature has form \"{form}\", and this build reads form {FORM}"
            ));
        }
        let read = || -> Option<Self> {
            Some(Self {
                signer: signer.to_owned(),
                expected: sequence(expected)?,
                previous: match previous {
                    NONE => None,
                    link => Some(link.parse().ok()?),
                },
                signature: bytes_of(signature)?,
            })
        };
        // One signature has one spelling: another would be another link. Each part is read so, and they are one space apart.
        read().filter(|_| parts.next().is_none()).ok_or_else(|| {
            "its signature is malformed; expected `1 <public key> <expected sequence> <previous link or -> <signature>`".to_owned()
        })
    }
}

fn bytes_of(text: &str) -> Option<[u8; 64]> {
    // The decoder wants room for whole groups of four characters.
    let mut bytes = [0; TEXT.div_ceil(4) * 3];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    bytes.get(..length)?.try_into().ok()
}

/// A number as it is written here: digits alone, and none too many.
fn sequence(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}
