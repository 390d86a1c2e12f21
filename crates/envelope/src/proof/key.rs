//! Keys: the secret one that signs, and the public one by which others verify.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::nkey;
use crate::base::error::BadName;
use crate::base::wire::Text;

/// The public key of a signer, written as the nkey of a user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A key that signs. Its `Debug` shows the public half alone.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    /// The text of the public half, which each signature names.
    public: String,
}

impl PublicKey {
    /// Whether `signature` is one of these bytes by this key.
    pub fn has_signed(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl SecretKey {
    /// Makes a key of 32 random bytes.
    pub fn of(random: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&random);
        let public = PublicKey(key.verifying_key()).to_string();
        Self { key, public }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// The text of the public half.
    pub fn public_text(&self) -> &str {
        &self.public
    }

    /// Signs some bytes. The same bytes always get the same signature.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }

    /// The text of its seed: the secret itself.
    pub fn seed(&self) -> String {
        nkey::seed_text(self.key.as_bytes())
    }
}

impl FromStr for SecretKey {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        nkey::seed_of(text).map(Self::of)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&nkey::public_text(self.bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadName {
            what: "public key",
            value: text.to_owned(),
            rule: "its bytes are no point of the curve",
        };
        let bytes = nkey::public_of(text)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| bad())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
