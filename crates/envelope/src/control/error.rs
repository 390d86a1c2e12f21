//! The two forms of a reply: an answer, or a refusal with a code.

use serde::{Deserialize, Serialize};

use crate::base::codes;
use crate::rollout::Refused;

/// The body of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply<A> {
    /// The answer.
    Ok(A),
    /// The refusal.
    Error(ControlError),
}

/// A controller's refusal, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// What programs branch on: one of [`codes`].
    pub code: String,
    /// What people read.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub fix: String,
}

impl ControlError {
    /// Makes a refusal.
    pub fn new(code: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            fix: fix.into(),
        }
    }

    /// The answer of a controller to a verb it does not know.
    pub fn unknown_verb(verb: &str) -> Self {
        Self::new(codes::UNKNOWN_VERB, nothing_to_ask(verb), "")
    }

    /// The client's error when no controller knows the verb.
    pub fn controller_too_old(verb: &str) -> Self {
        Self::new(
            codes::CONTROLLER_TOO_OLD,
            format!("no controller that answered knows \"{verb}\": they are older than this baton"),
            "upgrade the controllers, then ask again",
        )
    }

    /// Whether a controller refused because it does not know this verb. A newer one may know it.
    pub fn is_unknown_verb(&self, verb: &str) -> bool {
        // Controllers without `UNKNOWN_VERB` answer with the code of an unreadable body, and only the text tells the
        // two apart. This is the only place that may look at the text, and only for those controllers. Remove it when
        // they are gone.
        let is_of_before = self.code == codes::BAD_REQUEST && self.message == nothing_to_ask(verb);
        self.code == codes::UNKNOWN_VERB || is_of_before
    }
}

/// The message about an unknown verb. It repeats that of controllers without `UNKNOWN_VERB` word for word.
fn nothing_to_ask(verb: &str) -> String {
    format!("there is nothing to ask as \"{verb}\"")
}

impl From<Refused> for ControlError {
    fn from(refused: Refused) -> Self {
        Self::new(refused.code, refused.message, refused.fix)
    }
}
