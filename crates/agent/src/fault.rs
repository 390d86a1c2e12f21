//! How a hop fails.

use baton_envelope::budget::BudgetRefused;
use baton_envelope::codes;
use baton_envelope::{CapRefused, WaitSpec};
use std::fmt;
use std::time::Duration;

/// Why a hop failed.
///
/// Any error through `?` is retryable. To stop retries a handler must return [`Fault::terminal`]. `Fault` does not
/// implement `std::error::Error`, so that every error that does can become one.
#[derive(Debug)]
pub struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The waits that the hop is suspended for.
    pub(crate) waits: Vec<WaitSpec>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultKind {
    /// Try again, after the policy's delay or this one.
    Retry(Option<Duration>),
    /// Do not try again.
    Terminal,
    /// Another holder has the hop: nothing done here counts any more.
    Fenced,
    /// The ledger could not be written; the hop goes back to the broker.
    Unwritten,
    /// Not a failure: the hop waits for something outside.
    Suspended,
    /// Nothing was called: the budget does not suffice for it.
    Exhausted(Box<BudgetRefused>),
    /// Nothing was called: the agent has spent what it may today.
    Capped(Box<CapRefused>),
}

impl Fault {
    /// A failure that another attempt may fix.
    pub fn retry(message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Retry(None),
            code: codes::RETRY.to_owned(),
            message: message.into(),
            waits: Vec::new(),
        }
    }

    /// A failure that no attempt can fix: the intent ends as `failed` with this code.
    pub fn terminal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: FaultKind::Terminal,
            code: code.into(),
            message: message.into(),
            waits: Vec::new(),
        }
    }

    /// Sets the code that a program can branch on.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Sets the delay until the next attempt, instead of the policy's; only for a retryable failure.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        if let FaultKind::Retry(_) = self.kind {
            self.kind = FaultKind::Retry(Some(delay));
        }
        self
    }

    /// The code, for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What happened, in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn fenced() -> Self {
        let message = "another holder has taken the hop".to_owned();
        Self {
            kind: FaultKind::Fenced,
            code: codes::FENCED.to_owned(),
            message,
            waits: Vec::new(),
        }
    }

    pub(crate) fn suspend(waits: Vec<WaitSpec>) -> Self {
        Self {
            kind: FaultKind::Suspended,
            code: codes::SUSPENDED.to_owned(),
            message: "the hop waits for something outside".to_owned(),
            waits,
        }
    }

    /// A content that could not be stored as an object.
    pub(crate) fn unstored(error: &baton_jetstream::Error) -> Self {
        let is_lasting = matches!(error, baton_jetstream::Error::ObjectsFull { is_lasting: true, .. });
        match is_lasting {
            true => Self::terminal(error.code(), error.to_string()),
            // The stream may have room later.
            false => Self::retry(error.to_string()).with_code(error.code()),
        }
    }

    pub(crate) fn exhausted(refused: Box<BudgetRefused>) -> Self {
        Self {
            code: codes::BUDGET.to_owned(),
            message: refused.to_string(),
            waits: Vec::new(),
            kind: FaultKind::Exhausted(refused),
        }
    }

    pub(crate) fn capped(refused: Box<CapRefused>) -> Self {
        Self {
            code: codes::CAP_REACHED.to_owned(),
            message: refused.to_string(),
            waits: Vec::new(),
            kind: FaultKind::Capped(refused),
        }
    }

    /// What the cap of the agent had no room for, where that is why. Nothing was called then: a handler may ask for less.
    pub fn cap_refused(&self) -> Option<&CapRefused> {
        match &self.kind {
            FaultKind::Capped(refused) => Some(refused),
            FaultKind::Retry(_)
            | FaultKind::Terminal
            | FaultKind::Fenced
            | FaultKind::Unwritten
            | FaultKind::Suspended
            | FaultKind::Exhausted(_) => None,
        }
    }

    /// What the budget of the intent did not suffice for, where that is why. Nothing was called then: a handler may ask for less.
    pub fn budget_refused(&self) -> Option<&BudgetRefused> {
        match &self.kind {
            FaultKind::Exhausted(refused) => Some(refused),
            FaultKind::Retry(_)
            | FaultKind::Terminal
            | FaultKind::Fenced
            | FaultKind::Unwritten
            | FaultKind::Suspended
            | FaultKind::Capped(_) => None,
        }
    }

    pub(crate) fn unwritten(error: &baton_jetstream::Error) -> Self {
        Self {
            kind: FaultKind::Unwritten,
            code: codes::UNWRITTEN.to_owned(),
            message: error.to_string(),
            waits: Vec::new(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some errors name their cause themselves.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Self::retry(message)
    }
}
