//! What a person said, as the message of a decision has it.

use std::fmt;

use serde::Deserialize;

use crate::base::ids::IntentId;
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

/// What the subject of a decision says: `<person>.<intent>.<hop>.<wait>.<choice>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionSubject {
    /// Who decides.
    pub by: Decider,
    /// The intent.
    pub intent: IntentId,
    /// The hop that waits.
    pub hop: u32,
    /// The wait.
    pub wait: String,
    /// The choice, or [`DELEGATE`].
    pub choice: String,
}

impl DecisionSubject {
    /// Reads what stands behind `mesh.decide.`.
    ///
    /// # Errors
    /// Names the token that is wrong, and what it should be.
    pub fn read(rest: &str) -> Result<Self, String> {
        let form = "<person>.<intent>.<hop>.<wait>.<choice>";
        let tokens: Vec<&str> = rest.split('.').collect();
        let [person, intent, hop, wait, choice] = tokens.as_slice() else {
            return Err(format!("a decision is published on mesh.decide.{form}"));
        };
        let hop = hop
            .parse()
            .ok()
            .filter(|hop: &u32| *hop > 0 && hop.to_string() == **tokens.get(2).unwrap_or(&""));
        Ok(Self {
            by: Decider::from_token(person).map_err(|error| format!("{error}, or \"-\" for nobody in particular"))?,
            intent: intent.parse().map_err(|error| format!("{error}"))?,
            hop: hop.ok_or_else(|| format!("the hop in {form} is a number from 1"))?,
            wait: (*wait).to_owned(),
            choice: (*choice).to_owned(),
        })
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
