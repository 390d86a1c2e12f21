//! Names that become subject tokens, stream names and keys, with one validator for all.
//!
//! The server stores a published `*` or `>` literally, so nothing may reach a subject unchecked.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::error::BadName;
use crate::base::wire::Text;

pub(crate) const NAME_RULE: &str =
    "1 to 63 characters of a-z 0-9 -, starting with a letter or digit (it becomes a subject token: no dots, no *)";

pub(crate) fn valid_name(text: &str) -> bool {
    text.len() <= 63
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! name_type {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if valid_name(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(BadName { what: $what, value: text.to_owned(), rule: NAME_RULE })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
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
                let text = Text::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type! {
    /// The name of an agent: a role such as `research`.
    AgentName, "agent name"
}
name_type! {
    /// A capability of an agent, such as `translate`.
    CapabilityName, "capability"
}
name_type! {
    /// A channel, whose messages go to all who subscribe to it, such as `news`.
    ChannelName, "channel"
}
name_type! {
    /// An account of a secured mesh: an agent, a publisher or a person, such as `ada`.
    AccountName, "account name"
}
name_type! {
    /// A person who decides, such as `ada`. In a secured mesh it is the person's account.
    PersonName, "person"
}
name_type! {
    /// A schedule, such as `nightly`; its key in the schedules bucket.
    ScheduleName, "schedule name"
}
name_type! {
    /// A space, whose memories outlive every tree, such as `house-rules`.
    SpaceName, "space"
}
name_type! {
    /// The prefix of every subject, stream and bucket of one mesh; `mesh` by default.
    Namespace, "namespace"
}

impl Default for Namespace {
    fn default() -> Self {
        Self("mesh".into())
    }
}

/// An immutable build of an agent: a semantic version, at most 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentVersion(Arc<Version>);

/// Compares and orders as a semantic version. Each version has only one spelling, so the text adds nothing.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Version {
    semver: semver::Version,
    /// Kept because a version is written far more often than compared.
    text: Box<str>,
}

/// A version that is not a full semantic version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("version \"{value}\" is not valid: {rule}")]
pub struct BadVersion {
    /// The value given.
    pub value: String,
    /// What is allowed.
    pub rule: &'static str,
}

const VERSION_RULE: &str = "expected a full semantic version such as 1.4.0 or 2.0.0-rc.1, at most 64 characters";

impl AgentVersion {
    /// The semantic version.
    pub fn semver(&self) -> &semver::Version {
        &self.0.semver
    }

    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The version as one subject token, with `_` for `.` and `=` for `+`. A semantic version contains neither `_` nor
    /// `=`, so the encoding is total and reversible.
    pub fn token(&self) -> String {
        let token = |c| match c {
            '.' => '_',
            '+' => '=',
            other => other,
        };
        self.as_str().chars().map(token).collect()
    }

    /// Parses a subject token.
    ///
    /// # Errors
    /// When the token does not encode a version.
    pub fn from_token(token: &str) -> Result<Self, BadVersion> {
        let bad = || BadVersion {
            value: token.to_owned(),
            rule: VERSION_RULE,
        };
        if token.contains(['.', '+']) {
            return Err(bad());
        }
        token.replace('_', ".").replace('=', "+").parse().map_err(|_| bad())
    }
}

impl FromStr for AgentVersion {
    type Err = BadVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadVersion {
            value: text.to_owned(),
            rule: VERSION_RULE,
        };
        if text.len() > 64 {
            return Err(bad());
        }
        let semver = semver::Version::parse(text).map_err(|_| bad())?;
        let text = text.into();
        Ok(Self(Arc::new(Version { semver, text })))
    }
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for AgentVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AgentVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dots_or_wildcards_are_refused_by_name() {
        for bad in ["", "a.b", "*", ">", "Research", "a b", "-a", &"x".repeat(64)] {
            let error = bad.parse::<AgentName>().expect_err(bad);
            assert!(error.to_string().contains("agent name"), "{error}");
        }
        assert!("a-1".parse::<AgentName>().is_ok());
    }

    #[test]
    fn a_version_needs_all_three_numbers() {
        for bad in ["1", "1.x", "v1.0.0", "1.0", ""] {
            assert!(bad.parse::<AgentVersion>().is_err(), "{bad}");
        }
        let version: AgentVersion = "2.0.0-rc.1+build.5".parse().expect("valid");
        assert_eq!(version.token(), "2_0_0-rc_1=build_5");
        assert_eq!(AgentVersion::from_token(&version.token()), Ok(version));
        for text in ["1.4.0", "2.0.0-rc.1", "1.0.0+build.05", "2.0.0-rc.1+build.5"] {
            let version: AgentVersion = text.parse().expect("valid");
            assert_eq!((version.as_str(), version.semver().to_string().as_str()), (text, text));
        }
    }
}
