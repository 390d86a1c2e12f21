//! The version of the wire contract.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the contract that this build writes. The model in memory has its form.
pub const PROTOCOL: Protocol = Protocol::new(1, 7, 0);

/// The first version of the contract.
const FIRST: Protocol = Protocol::new(1, 0, 0);

/// The draft of the next major.
pub(crate) const DRAFT: Protocol = Protocol::new(2, 0, 0);

/// A major version whose envelopes this build reads and writes.
struct Major {
    /// Its newest version that this build knows.
    newest: Protocol,
    /// A remark for lists of the majors.
    standing: &'static str,
}

/// Every major except that of [`PROTOCOL`], oldest first. Each has its form in `message/convert`.
static OTHER_MAJORS: [Major; 1] = [Major {
    newest: DRAFT,
    standing: " (a draft)",
}];

/// The newest version of a major that this build knows.
pub(crate) fn newest_of(major: u32) -> Option<Protocol> {
    if major == PROTOCOL.major {
        return Some(PROTOCOL);
    }
    let known = OTHER_MAJORS.iter().find(|known| known.newest.major == major);
    known.map(|known| known.newest)
}

/// The newest version in which this build can write an envelope.
fn newest() -> Protocol {
    OTHER_MAJORS
        .iter()
        .map(|known| known.newest)
        .fold(PROTOCOL, Protocol::max)
}

/// The versions that this build reads, as error messages name them.
pub(crate) fn readable() -> String {
    let mut text = format!("{}.x", PROTOCOL.major);
    for Major { newest, standing } in &OTHER_MAJORS {
        text.push_str(&format!(", and envelopes of {}.x{standing}", newest.major));
    }
    text
}

/// A version of the wire contract. Versions of one major read each other; a newer minor only adds optional fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Protocol {
    /// A version of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// The major version.
    pub const fn major(self) -> u32 {
        self.major
    }

    /// Whether this build reads envelopes of this version. It reads everything else, including the record around an
    /// envelope, only in the major of [`PROTOCOL`].
    pub fn is_readable(self) -> bool {
        newest_of(self.major).is_some()
    }

    /// Whether this is the major of the model in memory.
    pub(crate) const fn is_native(self) -> bool {
        self.major == PROTOCOL.major
    }

    /// Why this build cannot read something of this version.
    pub(crate) fn refusal(self) -> String {
        format!("protocol {self} cannot be read here: this build reads {}", readable())
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
        // Accept a bare major: some senders write `1`.
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
        if version.is_native() {
            Ok(version)
        } else {
            Err(serde::de::Error::custom(version.refusal()))
        }
    }
}

/// A version of any major, in a field that only names a version.
pub(crate) struct AnyMajor(pub(crate) Protocol);

impl<'de> Deserialize<'de> for AnyMajor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        any_version(deserializer).map(Self)
    }
}

/// Reads a version that this build need not be able to read: a range may name another major.
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

/// The protocol versions that an agent version reads, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// The oldest version it reads.
    #[serde(deserialize_with = "any_version")]
    pub oldest: Protocol,
    /// The newest version it reads in full. It reads newer minors too, and passes their fields on.
    #[serde(deserialize_with = "any_version")]
    pub newest: Protocol,
}

impl ProtocolRange {
    /// Makes a range, both ends included.
    ///
    /// # Errors
    /// When `newest` is older than `oldest`.
    pub fn new(oldest: Protocol, newest: Protocol) -> Result<Self, String> {
        if oldest <= newest {
            Ok(Self { oldest, newest })
        } else {
            Err(format!(
                "the oldest protocol version {oldest} is newer than the newest, {newest}"
            ))
        }
    }

    /// The range that an agent of this build declares: from the first version to the build's own.
    pub const fn of_build() -> Self {
        Self {
            oldest: FIRST,
            newest: PROTOCOL,
        }
    }

    /// Every form in which this build can write an envelope.
    pub fn of_forms() -> Self {
        Self {
            oldest: FIRST,
            newest: newest(),
        }
    }

    /// Whether a version lies in the range.
    pub fn contains(self, version: Protocol) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The newest form that a sender of this range and a receiver both know; `None` when they share no major.
    ///
    /// Versions of one major read each other, so only majors must match: this takes the highest major in both ranges.
    /// Of the two newest versions in that major it takes the smaller, so that the sender writes nothing the receiver
    /// cannot name.
    pub fn newest_common(self, receiver: Self) -> Option<Protocol> {
        let highest = self.newest.major.min(receiver.newest.major);
        let lowest = self.oldest.major.max(receiver.oldest.major);
        if highest < lowest {
            return None;
        }
        // A range that reaches into a later major covers every minor of this one that this build knows.
        let in_highest = |newest: Protocol| {
            if newest.major == highest {
                Some(newest)
            } else {
                newest_of(highest)
            }
        };
        [self.newest, receiver.newest].into_iter().filter_map(in_highest).min()
    }
}

impl Default for ProtocolRange {
    /// The meaning of a Declaration without a range. The first builds omit theirs because it equals this one, so the
    /// default stays exactly `1.0.0`, whatever this build reads.
    fn default() -> Self {
        Self {
            oldest: FIRST,
            newest: FIRST,
        }
    }
}

impl fmt::Display for ProtocolRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.oldest, self.newest)
    }
}
