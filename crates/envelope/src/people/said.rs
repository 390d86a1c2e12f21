//! What a person said, as the message of a decision has it.

use std::fmt;

use serde::Deserialize;

use crate::base::json::Json;
use crate::base::names::PersonName;
use crate::base::text::quoted;
use crate::people::approval::DELEGATE;

/// The token of nobody in particular.
pub const NOBODY: &str = "-";
/// How many characters of a value an error quotes.
const QUOTED: usize = 80;

/// Who decides, as the subject says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decider {
    /// This person.
    Person(PersonName),
    /// Nobody in particular.
    Nobody,
}

impl Decider {
    /// Reads the token of a subject.
    ///
    /// # Errors
    /// When it is neither a person nor [`NOBODY`].
    pub fn from_token(token: &str) -> Result<Self, crate::base::error::BadName> {
        match token {
            NOBODY => Ok(Self::Nobody),
            token => token.parse().map(Self::Person),
        }
    }

    /// The person, if it is one.
    pub fn person(&self) -> Option<&PersonName> {
        match self {
            Self::Person(person) => Some(person),
            Self::Nobody => None,
        }
    }
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.person().map_or(NOBODY, PersonName::as_str))
    }
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A choice.
    Choice(String),
    /// The seat goes to this person.
    Delegate(PersonName),
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who said it.
    pub by: Decider,
    /// What was said.
    pub word: Word,
    /// The place of its message in the intake: a later one has a higher number.
    pub seq: u64,
}

impl Word {
    /// Reads the last token of a subject, and the body for a delegation: `{"to": "bob"}`.
    ///
    /// # Errors
    /// When a delegation names nobody.
    pub fn read(token: &str, body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct To {
            to: PersonName,
        }
        if token != DELEGATE {
            return Ok(Self::Choice(token.to_owned()));
        }
        serde_json::from_slice::<To>(body)
            .map(|body| Self::Delegate(body.to))
            .map_err(|error| {
                let body = quoted(&String::from_utf8_lossy(body), QUOTED);
                format!("the body \"{body}\" names nobody to delegate to ({error}); fix: give {{\"to\": \"bob\"}}")
            })
    }
}

/// The body of a decision: a form, a note, or nothing.
///
/// # Errors
/// When it is not JSON.
pub fn answer(body: &[u8]) -> Result<Option<Json>, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let text = std::str::from_utf8(body).map_err(|error| format!("the body is not UTF-8: {error}"))?;
    Json::parse(text)
        .map(Some)
        .map_err(|error| format!("the body \"{}\" is not JSON: {error}", quoted(text, QUOTED)))
}
