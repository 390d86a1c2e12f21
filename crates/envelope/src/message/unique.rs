//! The key under which one piece of work is to be the only one of its agent.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::names::AgentName;
use crate::base::text::{Line, line_problem, quoted};
use crate::message::text::BadText;

/// The longest unique key, in bytes.
const KEY_LIMIT: usize = 256;
/// How long a key is held that is not said otherwise.
const WITHIN: Duration = Duration::from_secs(60 * 60);
/// The longest that a key may be held by work that has ended.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many characters of a bad value are quoted.
const QUOTED: usize = 80;

/// What becomes of work whose key other work holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It is the work that holds the key: nothing is submitted.
    #[default]
    Keep,
    /// It takes the key, and what held it is cancelled if it is open.
    Replace,
    /// It is refused.
    Refuse,
}

impl OnConflict {
    /// Its word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Replace => "replace",
            Self::Refuse => "refuse",
        }
    }
}

impl fmt::Display for OnConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for OnConflict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Keep, Self::Replace, Self::Refuse];
        let found = all.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| "is none of keep, replace and refuse".to_owned())
    }
}

/// The key under which work is to be the only one of its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The key.
    pub key: String,
    /// For how long after its submit completed work holds the key, in milliseconds. Open work holds it in any case.
    pub within_ms: u64,
    /// What becomes of the work if other work holds the key.
    #[serde(default)]
    pub on_conflict: OnConflict,
}

impl Unique {
    /// A key, held for `within`, by default for an hour.
    ///
    /// # Errors
    /// When the key is empty, too long or holds control characters, or the time is longer than 30 days.
    pub fn new(key: &str, within: Option<Duration>, on_conflict: OnConflict) -> Result<Self, BadText> {
        let bad = |field, value: &str, problem: String, fix: &str| BadText {
            field,
            value: quoted(value, QUOTED),
            problem,
            fix: fix.to_owned(),
        };
        let problem = match key.is_empty() {
            true => Some("is empty".to_owned()),
            false => line_problem(key, Line::Text, KEY_LIMIT),
        };
        if let Some(problem) = problem {
            let fix = "give one line of characters, 1 to 256 bytes";
            return Err(bad("unique", key, problem, fix));
        }
        let within = within.unwrap_or(WITHIN);
        if within > LONGEST {
            // In the unit of the bound: a month is no fixed number of days.
            let text = format!("{:.1} days", within.as_secs_f64() / 86_400.0).replace(".0 ", " ");
            let problem = "is longer than 30 days".to_owned();
            return Err(bad("within", &text, problem, "give at most 30days"));
        }
        Ok(Self {
            key: key.to_owned(),
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            on_conflict,
        })
    }

    /// The key of the bucket that stands for this one. Where accounts are kept apart each has keys of its own.
    pub fn bucket_key(&self, agent: &AgentName, account: Option<&str>) -> String {
        let text = format!("{}\n{}", account.unwrap_or_default(), self.key);
        let digest = Sha256::digest(text.as_bytes());
        let hash: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{UNIQUE_KEYS}{agent}.{hash}")
    }
}

/// What the keys of the bucket begin with.
pub const UNIQUE_KEYS: &str = "unique.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_line_and_its_time_is_bounded() {
        let long = "x".repeat(KEY_LIMIT + 1);
        for bad in ["", "a\nb", long.as_str()] {
            let refused = Unique::new(bad, None, OnConflict::Keep).expect_err("refused");
            assert_eq!(refused.field, "unique");
        }
        let refused = Unique::new("k", Some(LONGEST + Duration::from_secs(1)), OnConflict::Keep);
        assert_eq!(refused.expect_err("refused").field, "within");
        let unique = Unique::new("k", None, OnConflict::Keep).expect("a key");
        assert_eq!(unique.within_ms, 3_600_000);
    }

    #[test]
    fn a_key_is_its_agents_and_its_accounts() {
        let of = |key: &str, agent: &str, account| {
            let unique = Unique::new(key, None, OnConflict::Keep).expect("a key");
            unique.bucket_key(&agent.parse().expect("agent"), account)
        };
        let one = of("invoice 7", "code", None);
        assert!(one.starts_with("unique.code."), "{one}");
        assert_eq!(one, of("invoice 7", "code", None));
        for other in [
            of("invoice 8", "code", None),
            of("invoice 7", "research", None),
            of("invoice 7", "code", Some("shop")),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_words_of_a_conflict_are_those_of_the_wire() {
        for word in [OnConflict::Keep, OnConflict::Replace, OnConflict::Refuse] {
            assert_eq!(word.name().parse(), Ok(word));
            assert_eq!(serde_json::to_string(&word).expect("JSON"), format!("\"{word}\""));
        }
        assert!("Keep".parse::<OnConflict>().is_err());
    }
}
