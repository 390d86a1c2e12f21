//! The header of a signature, what it signs, and links.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::key;
use crate::evidence::Message;

const HEADER: &str = "Baton-Signature";
const GUARD: &str = "Nats-Expected-Last-Subject-Sequence";
const ELSEWHERE: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// The value of a signature's header.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) signer: String,
    pub(crate) expected: u64,
    /// The link of the last valid record before; `None` for none.
    pub(crate) previous: Option<String>,
    signature: Vec<u8>,
}

/// SHA-256 in lower-case hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header of a message.
pub(crate) fn text(message: &Message) -> Option<&str> {
    message.header(HEADER)
}

/// The link of a message.
pub(crate) fn link(message: &Message) -> String {
    let text = text(message).unwrap_or_default();
    hash(format!("baton-link-1\n{}\n{text}\n", hash(&message.bytes())).as_bytes())
}

impl Line {
    /// Reads a header; `None` where it has another form.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let ["1", signer, expected, previous, signature] = words.as_slice() else {
            return None;
        };
        let is_link = |word: &str| word.len() == 64 && word.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        let number: u64 = expected.parse().ok()?;
        // One number has one spelling.
        (number.to_string() == *expected && (*previous == "-" || is_link(previous))).then_some(())?;
        Some(Self {
            signer: (*signer).to_owned(),
            expected: number,
            previous: (*previous != "-").then(|| (*previous).to_owned()),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether this key has signed the message on this subject.
    pub(crate) fn verifies(&self, key: &[u8; 32], subject: &str, message: &Message) -> bool {
        let previous = self.previous.as_deref().unwrap_or("-");
        let body = hash(&message.bytes());
        let signed = format!("baton-record-1\n{subject}\n{}\n{previous}\n{body}\n", self.expected);
        key::has_signed(key, signed.as_bytes(), &self.signature)
    }

    /// Whether the server has held the message to what the signature expects.
    pub(crate) fn was_guarded(&self, message: &Message) -> bool {
        let mut guards = message.headers.iter().filter(|(name, _)| name == GUARD);
        let one = guards
            .next()
            .is_some_and(|(_, value)| *value == self.expected.to_string());
        one && guards.next().is_none() && message.header(ELSEWHERE).is_none()
    }
}
