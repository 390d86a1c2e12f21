//! Links: the hash by which a record is named in the one after it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::base::error::BadName;
use crate::base::wire::Text;

const RULE: &str = "64 characters of 0-9 a-f: a SHA-256";
const DOMAIN: &str = "baton-link-1";

/// A SHA-256, written in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link([u8; 32]);

/// Where a writer stands: what its next record follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The sequence of the last message of the ledger subject.
    pub seq: u64,
    /// The link of the last record that counts. `None` where the mesh does not sign, or where it has to be read first.
    pub link: Option<Link>,
}

impl From<u64> for Place {
    fn from(seq: u64) -> Self {
        Self { seq, link: None }
    }
}

impl Link {
    /// The hash of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The link of a message: it covers the body and the signature, and so the whole chain before it.
    pub fn of(body: &[u8], signature: Option<&str>) -> Self {
        Self::of_digest(Self::of_bytes(body), signature)
    }

    /// As [`Link::of`], where the hash of the body is known.
    pub fn of_digest(body: Self, signature: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        for part in [DOMAIN.as_bytes(), b"\n", &body.hex(), b"\n"] {
            hash.update(part);
        }
        hash.update(signature.unwrap_or_default());
        hash.update(b"\n");
        Self(hash.finalize().into())
    }

    /// This link and more bytes, as one hash: how a list of links is made one.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(bytes);
        Self(hash.finalize().into())
    }

    /// The hash of nothing, with which a list begins.
    pub const fn zero() -> Self {
        Self([0; 32])
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its text. A signed hop writes some ten of them, and a formatter takes longer than the digits do.
    pub(super) fn hex(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            if let ([high, low], Some(one), Some(two)) = (
                pair,
                DIGITS.get(usize::from(byte >> 4)),
                DIGITS.get(usize::from(byte & 15)),
            ) {
                (*high, *low) = (*one, *two);
            }
        }
        text
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).unwrap_or_default())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Link {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || -> Option<[u8; 32]> {
            let mut bytes = [0; 32];
            if text.len() != 64 {
                return None;
            }
            for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                // One link has one spelling.
                if !pair.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
                    return None;
                }
                *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
            }
            Some(bytes)
        };
        read().map(Self).ok_or_else(|| BadName {
            what: "link",
            value: text.chars().take(80).collect(),
            rule: RULE,
        })
    }
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
