//! What a hop came to.

use baton_envelope::{AgentName, HistoryEntry, Json};
use serde::Serialize;

use crate::fault::Fault;

/// What a hop came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub(crate) kind: OutcomeKind,
    pub(crate) note: Option<String>,
    pub(crate) cost: Option<f64>,
}

#[derive(Debug, Clone)]
pub(crate) enum OutcomeKind {
    Complete(Json),
    HandOff {
        to: AgentName,
        payload: Json,
        kind: Option<String>,
        history: Option<HistoryEntry>,
    },
    Reject {
        code: String,
        reason: String,
    },
}

impl Outcome {
    /// The intent is done, with this result.
    ///
    /// # Errors
    /// When the result cannot be written as JSON.
    pub fn complete<T: Serialize + ?Sized>(result: &T) -> Result<Self, Fault> {
        Ok(Self {
            kind: OutcomeKind::Complete(json("result", result)?),
            note: None,
            cost: None,
        })
    }

    /// Another agent takes over with this payload; control does not come back.
    ///
    /// # Errors
    /// When the agent's name is not valid or the payload cannot be written as JSON.
    pub fn hand_off<T: Serialize + ?Sized>(to: &str, payload: &T) -> Result<Self, Fault> {
        let to = to
            .parse()
            .map_err(|error| Fault::terminal("BAD_AGENT_NAME", format!("{error}")))?;
        let kind = OutcomeKind::HandOff {
            to,
            payload: json("payload", payload)?,
            kind: None,
            history: None,
        };
        Ok(Self {
            kind,
            note: None,
            cost: None,
        })
    }

    /// The agent declines the intent.
    pub fn reject(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            kind: OutcomeKind::Reject {
                code: code.into(),
                reason: reason.into(),
            },
            note: None,
            cost: None,
        }
    }

    /// Adds a note that the ledger keeps beside the outcome.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Says what this attempt cost, in the currency unit that the mesh agreed on; a rollout compares it between versions.
    #[must_use]
    pub const fn with_cost(mut self, cost: f64) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Sets the kind of work of a handoff; without it the kind stays as it was.
    #[must_use]
    pub fn with_kind(mut self, new: impl Into<String>) -> Self {
        if let OutcomeKind::HandOff { kind, .. } = &mut self.kind {
            *kind = Some(new.into());
        }
        self
    }

    /// Adds what this agent did and decided to the envelope's history, for the agents after it.
    #[must_use]
    pub fn with_history(mut self, entry: HistoryEntry) -> Self {
        if let OutcomeKind::HandOff { history, .. } = &mut self.kind {
            *history = Some(entry);
        }
        self
    }
}

fn json<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Json, Fault> {
    Json::of(value).map_err(|error| Fault::terminal("NOT_JSON", format!("the {what} is no JSON: {error}")))
}
