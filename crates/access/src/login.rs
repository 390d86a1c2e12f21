//! How a user proves who it is, as the server keeps it: a public key, or the hash of a password. Neither is a secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The public key of a user (nkey): 56 characters that begin with `U`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserKey(String);

/// The bcrypt hash of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// How a user logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// With the seed of a key. While a key is replaced, the one before it is good too.
    Keys(Vec<UserKey>),
    /// With a password.
    Password(PasswordHash),
}

impl UserKey {
    /// As the server writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PasswordHash {
    /// As the server writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A seed in this file would be a secret in the wrong place; it must not be repeated in a message.
        if text.starts_with('S') {
            return Err(
                "this is the seed of a key, which is secret: expected the public key, which begins with U".into(),
            );
        }
        let is_user = text.starts_with('U') && nkeys::KeyPair::from_public_key(text).is_ok();
        if is_user {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "\"{text}\" is no public key of a user: expected 56 characters that begin with U"
            ))
        }
    }
}

impl FromStr for PasswordHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Not repeated in the message: it may be the password itself.
        let rule = "expected the bcrypt hash of a password, which begins with $2a$ or $2b$ and has 60 characters";
        let rest = ["$2a$", "$2b$", "$2x$", "$2y$"]
            .iter()
            .find_map(|begin| text.strip_prefix(begin));
        let is_hash = |rest: &str| {
            let (cost, hash) = rest.split_once('$')?;
            let cost = cost.parse::<u32>().ok()?;
            let plain = hash
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
            ((4..=31).contains(&cost) && hash.len() == 53 && plain).then_some(())
        };
        if rest.and_then(is_hash).is_some() {
            Ok(Self(text.to_owned()))
        } else {
            Err(rule.to_owned())
        }
    }
}

macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
as_text!(UserKey, PasswordHash);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_place_of_a_key_is_refused_and_not_repeated() {
        let pair = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, [7; 32]).expect("a pair");
        let seed = pair.seed().expect("a seed");
        let told = seed.parse::<UserKey>().expect_err("refused");
        assert!(!told.contains(&seed) && told.contains("begins with U"), "{told}");
        assert!(pair.public_key().parse::<UserKey>().is_ok());
        let account = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::Account, [7; 32]).expect("a pair");
        assert!(account.public_key().parse::<UserKey>().is_err());
    }

    #[test]
    fn a_password_in_the_place_of_its_hash_is_refused_and_not_repeated() {
        for bad in ["hunter2", "$2a$11$short", "$1$11$x", ""] {
            let told = bad.parse::<PasswordHash>().expect_err("refused");
            assert!(!told.contains("hunter2") && told.contains("bcrypt"), "{told}");
        }
    }
}
