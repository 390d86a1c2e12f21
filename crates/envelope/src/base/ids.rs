//! Ids of intents, envelopes and records.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::base::error::BadName;
use crate::base::timestamp::Timestamp;
use crate::base::wire::Text;

pub(crate) const INTENT_RULE: &str =
    "1 to 128 characters of A-Z a-z 0-9 _ -, starting with a letter or digit (it becomes a subject token: no dots)";

/// The most characters of an intent id.
const LONGEST_INTENT: usize = 128;

/// Whether a text may be an id that a client chooses, and so a subject token.
pub(crate) fn valid_id(text: &str) -> bool {
    text.len() <= LONGEST_INTENT
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The id of an intent, stable from submission to end. It is also the idempotency key and a subject token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntentId(Arc<str>);

impl IntentId {
    /// Makes an id from a time and random bytes. It is a UUIDv7, so ids sort by time.
    pub fn generate(now: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid_v7(now, random).to_string().into())
    }

    /// The id of a raw intent that names none. The same stored message always gives the same id, so a redelivered raw
    /// intent is the same intent. The time of storing is part of the hash, because a stream that was deleted and
    /// created again counts from 1 again.
    pub fn derived(stream: &str, sequence: u64, stored_nanos: i128) -> Self {
        Self(
            hashed(&format!("{stream}\n{sequence}\n{stored_nanos}"))
                .to_string()
                .into(),
        )
    }

    /// The id of a hash of this text. The same text always gives the same id.
    pub(crate) fn hash_of(text: &str) -> Self {
        Self(hashed(text).to_string().into())
    }

    /// This id and a place behind it.
    pub(crate) fn at_place(&self, index: u32) -> Self {
        Self(format!("{}-{index}", self.0).into())
    }

    /// The id for a foreign id (`Nats-Msg-Id`): the foreign id itself where it is valid, else a stable hash of it.
    pub fn from_foreign(text: &str) -> Self {
        text.parse().unwrap_or_else(|_| Self(hashed(text).to_string().into()))
    }

    /// The id of the dead letter of a message that was to tell this intent something: of its id, so that it is one however
    /// often the message comes.
    #[must_use]
    pub fn letter(&self, message: &str) -> Self {
        Self(hashed(&format!("letter\n{}\n{message}", self.0)).to_string().into())
    }

    /// The id of the intent that this one is restarted as, for the time of that number: so whoever knows this one finds the
    /// others. An id that has no room for it is cut.
    #[must_use]
    pub fn of_restart(&self, number: u32) -> Self {
        let suffix = format!("-restart-{number}");
        let room = LONGEST_INTENT - suffix.len().min(LONGEST_INTENT);
        let begin: String = self.0.chars().take(room).collect();
        Self(format!("{begin}{suffix}").into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A short key for large indexes: the first 8 bytes of the SHA-256 of the id. Two ids may share one, however
    /// rarely, so compare the id itself with whatever the index finds.
    pub fn fingerprint(&self) -> i64 {
        let digest = Sha256::digest(self.as_str().as_bytes());
        let mut bytes = [0_u8; 8];
        for (to, from) in bytes.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        i64::from_be_bytes(bytes)
    }
}

impl FromStr for IntentId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if valid_id(text) {
            Ok(Self(text.into()))
        } else {
            Err(BadName {
                what: "intent id",
                value: text.to_owned(),
                rule: INTENT_RULE,
            })
        }
    }
}

impl fmt::Display for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for IntentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for IntentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id from a time and random bytes (UUIDv7).
            pub fn generate(now: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_v7(now, random))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| BadName {
                    what: stringify!($name),
                    value: text.to_owned(),
                    rule: "expected a UUID",
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Text::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id! {
    /// The id of one immutable envelope. It is also the message id of the ticket.
    EnvelopeId
}
uuid_id! {
    /// The id of one ledger record. A writer that missed the server's answer finds its own record by it.
    RecordId
}

fn uuid_v7(now: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn hashed(text: &str) -> Uuid {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redelivered_raw_intent_is_the_same_intent() {
        let first = IntentId::derived("MESH_INTAKE", 7, 1);
        assert_eq!(first, IntentId::derived("MESH_INTAKE", 7, 1));
        assert_ne!(first, IntentId::derived("MESH_INTAKE", 7, 2));
        assert!(first.as_str().parse::<IntentId>().is_ok());
    }

    #[test]
    fn the_id_of_a_restart_is_found_from_the_old_one_and_is_one() {
        let old: IntentId = "order-42".parse().expect("id");
        assert_eq!(old.of_restart(2).as_str(), "order-42-restart-2");
        let longest: IntentId = "a".repeat(LONGEST_INTENT).parse().expect("id");
        let again = longest.of_restart(17);
        assert_eq!(again.as_str().parse::<IntentId>(), Ok(again.clone()));
        assert_eq!(again.as_str().len(), LONGEST_INTENT);
    }

    #[test]
    fn a_wildcard_is_never_an_intent_id() {
        for bad in ["", "*", ">", "a.b", "a b", "-a", "ü"] {
            assert!(bad.parse::<IntentId>().is_err(), "{bad}");
        }
        assert_eq!(IntentId::from_foreign("order-42").as_str(), "order-42");
        assert_ne!(IntentId::from_foreign("order.42").as_str(), "order.42");
    }
}
