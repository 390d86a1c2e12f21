//! What a hop came to.

use std::fmt;

use baton_envelope::codes;
use baton_envelope::{AgentName, CapabilityName, HistoryEntry, Json};
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
        to: Receiver,
        payload: Json,
        kind: Option<String>,
        history: Option<HistoryEntry>,
    },
    Reject {
        code: String,
        reason: String,
    },
}

/// Who gets a handoff.
#[derive(Debug, Clone)]
pub(crate) enum Receiver {
    /// This agent.
    Agent(AgentName),
    /// Whoever is able, and has the least to do.
    Capable(Capability),
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => f.write_str(agent.as_str()),
            Self::Capable(Capability(names)) => write!(f, "capability {}", names.join(" and ")),
        }
    }
}

/// What the receiver of a handoff must be able to do; more than one means all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability(pub(crate) Vec<String>);

impl Capability {
    /// One capability.
    pub fn new(name: impl Into<String>) -> Self {
        Self(vec![name.into()])
    }

    /// And another one.
    #[must_use]
    pub fn and(mut self, name: impl Into<String>) -> Self {
        self.0.push(name.into());
        self
    }
}

impl From<&str> for Capability {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
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
            .map_err(|error| Fault::terminal(codes::BAD_AGENT_NAME, format!("{error}")))?;
        Self::to(Receiver::Agent(to), payload)
    }

    /// Whoever is able takes over with this payload: of the agents that have the capability, the one with the least to
    /// do for each worker.
    ///
    /// # Errors
    /// When a capability's name is not valid or the payload cannot be written as JSON.
    pub fn hand_off_to<T: Serialize + ?Sized>(able: impl Into<Capability>, payload: &T) -> Result<Self, Fault> {
        let able = able.into();
        for name in &able.0 {
            name.parse::<CapabilityName>()
                .map_err(|error| Fault::terminal(codes::BAD_CAPABILITY, format!("{error}")))?;
        }
        Self::to(Receiver::Capable(able), payload)
    }

    fn to<T: Serialize + ?Sized>(to: Receiver, payload: &T) -> Result<Self, Fault> {
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
    Json::of(value).map_err(|error| Fault::terminal(codes::NOT_JSON, format!("the {what} is no JSON: {error}")))
}
