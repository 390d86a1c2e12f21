//! The version of the wire contract.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the contract that this build writes, and whose envelope is the model in memory.
pub const PROTOCOL: Protocol = Protocol::new(1, 2, 0);

/// The first version that there was.
const FIRST: Protocol = Protocol::new(1, 0, 0);

/// The draft of the next major.
pub(crate) const DRAFT: Protocol = Protocol::new(2, 0, 0);

/// A major version in which this build reads and writes envelopes.
struct Major {
    /// The newest version of it that is known here.
    newest: Protocol,
    /// What is said of it where the majors are listed.
    standing: &'static str,
}

/// Every major but that of [`PROTOCOL`], oldest first. Each has its form in `message/convert`.
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

/// The newest version of all that an envelope can be written in.
fn newest() -> Protocol {
    OTHER_MAJORS
        .iter()
        .map(|known| known.newest)
        .fold(PROTOCOL, Protocol::max)
}

/// The versions that are read, as a message names them.
pub(crate) fn readable() -> String {
    let mut text = format!("{}.x", PROTOCOL.major);
    for Major { newest, standing } in &OTHER_MAJORS {
        text.push_str(&format!(", and envelopes of {}.x{standing}", newest.major));
    }
    text
}

/// A version of the wire contract. Same major: readable both ways; a newer minor only adds optional fields.
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

    /// Whether this build can read an envelope that was written in that version. Everything else, the record around the
    /// envelope included, is read in the major of [`PROTOCOL`] only.
    pub fn is_readable(self) -> bool {
        newest_of(self.major).is_some()
    }

    /// Whether it is of the major that the model in memory has.
    pub(crate) const fn is_native(self) -> bool {
        self.major == PROTOCOL.major
    }

    /// Why something of this version cannot be read.
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
        if version.is_native() {
            Ok(version)
        } else {
            Err(serde::de::Error::custom(version.refusal()))
        }
    }
}

/// A version of any major, for what only names a version and is not written in it.
pub(crate) struct AnyMajor(pub(crate) Protocol);

impl<'de> Deserialize<'de> for AnyMajor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        any_version(deserializer).map(Self)
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

impl ProtocolRange {
    /// A range, both ends included.
    ///
    /// # Errors
    /// When the newest is older than the oldest.
    pub fn new(oldest: Protocol, newest: Protocol) -> Result<Self, String> {
        if oldest <= newest {
            Ok(Self { oldest, newest })
        } else {
            Err(format!(
                "the oldest protocol version {oldest} is newer than the newest, {newest}"
            ))
        }
    }

    /// What an agent of this build declares: everything from the first version to its own.
    pub const fn of_build() -> Self {
        Self {
            oldest: FIRST,
            newest: PROTOCOL,
        }
    }

    /// Every form that this build can write an envelope in.
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

    /// The newest form that a sender of this range and a receiver both know; `None` when they have no major in common.
    ///
    /// Within a major everyone reads everyone, so only majors must meet: the highest that both ranges cover. Of the two
    /// newest versions in that major it is the smaller, so that nothing is written that the other cannot name.
    pub fn newest_common(self, receiver: Self) -> Option<Protocol> {
        let highest = self.newest.major.min(receiver.newest.major);
        let lowest = self.oldest.major.max(receiver.oldest.major);
        if highest < lowest {
            return None;
        }
        // A range that goes on to a later major covers every minor of this one that is known here.
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
    /// What a Declaration that names no range means. The first builds leave theirs out because it equals this one, so it
    /// stays `1.0.0` alone for ever, whatever this build reads.
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
