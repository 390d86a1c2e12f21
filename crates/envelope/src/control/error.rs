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

    /// The refusal of work whose rejection is recorded. What to do is a part of the recorded text, and apart from it in an
    /// answer.
    pub fn of_rejection(code: &str, text: &str) -> Self {
        match text.rsplit_once("; fix: ") {
            Some((message, fix)) => Self::new(code, message, fix),
            None => Self::new(code, text, fix_of(code)),
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

/// What to do about a rejection that does not say it itself.
fn fix_of(code: &str) -> String {
    match code {
        codes::UNKNOWN_AGENT => "`baton agents list` shows the agents".to_owned(),
        codes::BREAKER_OPEN => "try again then; `baton agents list` shows why it is open".to_owned(),
        codes::UNROUTABLE | codes::NONE_CAPABLE => "`baton agents list` shows what each version can do".to_owned(),
        codes::PAYLOAD_TOO_LARGE => "store the data elsewhere and send a reference to it".to_owned(),
        code => format!("`baton explain {code}` says what to do"),
    }
}

impl From<Refused> for ControlError {
    fn from(refused: Refused) -> Self {
        Self::new(refused.code, refused.message, refused.fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_apart_what_to_do() {
        let refused = ControlError::of_rejection(
            codes::BAD_HEADER,
            "Baton-Priority \"11\": is too high; fix: give 1 to 10",
        );
        assert_eq!(
            (refused.message.as_str(), refused.fix.as_str()),
            ("Baton-Priority \"11\": is too high", "give 1 to 10")
        );
        for code in [
            codes::UNKNOWN_AGENT,
            codes::BREAKER_OPEN,
            codes::UNROUTABLE,
            codes::MUST_CARRY,
        ] {
            let refused = ControlError::of_rejection(code, "refused");
            assert!(refused.message == "refused" && !refused.fix.is_empty(), "{refused:?}");
        }
    }
}
