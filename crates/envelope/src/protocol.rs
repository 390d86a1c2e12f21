//! The version of the wire contract.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the contract that this build writes.
pub const PROTOCOL: Protocol = Protocol {
    major: 1,
    minor: 0,
    patch: 0,
};

/// A version of the wire contract. Same major: readable both ways; a newer minor only adds optional fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Protocol {
    /// The major version.
    pub const fn major(self) -> u32 {
        self.major
    }

    /// Whether this build can read what was written in that version.
    pub const fn is_readable(self) -> bool {
        self.major == PROTOCOL.major
    }
}

impl Default for Protocol {
    fn default() -> Self {
        PROTOCOL
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, '.').map(|part| part.parse::<u32>().ok());
        let bad = || format!("protocol \"{text}\" is not a version such as 1.0.0");
        let mut number = |default: Option<u32>| match parts.next() {
            Some(value) => value.ok_or_else(bad),
            None => default.ok_or_else(bad),
        };
        // A bare integer major is accepted on read: some senders write `1`.
        Ok(Self {
            major: number(None)?,
            minor: number(Some(0))?,
            patch: number(Some(0))?,
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let version = any_version(deserializer)?;
        if version.is_readable() {
            Ok(version)
        } else {
            Err(serde::de::Error::custom(format!(
                "protocol {version} cannot be read here: this build reads {}.x",
                PROTOCOL.major
            )))
        }
    }
}

/// Reads a version without asking whether this build can read what is written in it: a range may name another major.
fn any_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Protocol, D::Error> {
    struct Text;
    impl serde::de::Visitor<'_> for Text {
        type Value = Protocol;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a protocol version such as \"1.0.0\"")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Protocol, E> {
            text.parse().map_err(E::custom)
        }
        fn visit_u64<E: serde::de::Error>(self, major: u64) -> Result<Protocol, E> {
            major.to_string().parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Text)
}

/// The range of protocol versions that an agent version reads, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// The oldest version that is read.
    #[serde(deserialize_with = "any_version")]
    pub oldest: Protocol,
    /// The newest version that is read in full; newer minors are read and passed on.
    #[serde(deserialize_with = "any_version")]
    pub newest: Protocol,
}

impl Default for ProtocolRange {
    fn default() -> Self {
        Self {
            oldest: PROTOCOL,
            newest: PROTOCOL,
        }
    }
}
