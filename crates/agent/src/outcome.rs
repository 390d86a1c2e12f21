//! The result of a hop.

use std::fmt;

use baton_envelope::codes;
use baton_envelope::{
    AgentName, Body, CapabilityName, ChannelName, Envelope, HistoryEntry, Json, Task, Undo, WaitSpec,
};
use serde::Serialize;

use crate::fault::Fault;
use crate::memory::{HandedOn, View};

/// The result of a hop.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub(crate) kind: OutcomeKind,
    pub(crate) note: Option<String>,
    pub(crate) cost: Option<f64>,
    /// What takes the hop back, for a handoff.
    pub(crate) undo: Option<Box<Undo>>,
    /// What the hop has remembered, and what it asks of the view of its receiver.
    pub(crate) handed_on: HandedOn,
}

#[derive(Debug, Clone)]
pub(crate) enum OutcomeKind {
    Complete(Body),
    HandOff {
        to: Receiver,
        payload: Body,
        kind: Option<String>,
        history: Option<Box<HistoryEntry>>,
    },
    Reject {
        code: String,
        reason: String,
    },
    /// Others are asked, and whoever is next gets what they come to.
    FanOut(Box<WaitSpec>),
    /// A message of a channel, of which each receiver gets a copy.
    Broadcast(Box<Message>),
}

/// A message of a channel, before it is known who gets it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) channel: ChannelName,
    /// The receivers, where it names them; else they are those that subscribe.
    pub(crate) named: Option<Vec<AgentName>>,
    pub(crate) kind: Option<String>,
    pub(crate) payload: Body,
}

impl OutcomeKind {
    /// What it is for this envelope: whoever is next has a name, or the intent is done.
    pub(crate) fn placed(self, envelope: &Envelope) -> Self {
        let Self::HandOff {
            to: Receiver::Next,
            payload,
            kind,
            history,
        } = self
        else {
            return self;
        };
        match envelope.next_agent() {
            Some(agent) => Self::HandOff {
                to: Receiver::Agent(agent.clone()),
                payload,
                kind,
                history,
            },
            None => Self::Complete(payload),
        }
    }
}

/// The receiver of a handoff.
#[derive(Debug, Clone)]
pub(crate) enum Receiver {
    /// This agent.
    Agent(AgentName),
    /// The capable agent with the least to do.
    Capable(Capability),
    /// Whoever is next by the envelope.
    Next,
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => f.write_str(agent.as_str()),
            Self::Next => f.write_str("whoever is next"),
            Self::Capable(Capability(names)) => write!(f, "capability {}", names.join(" and ")),
        }
    }
}

/// What the receiver of a handoff must be able to do. With more than one capability, it needs all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability(pub(crate) Vec<String>);

impl Capability {
    /// One capability.
    pub fn new(name: impl Into<String>) -> Self {
        Self(vec![name.into()])
    }

    /// Requires another capability as well.
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
    /// Completes the intent with this result.
    ///
    /// # Errors
    /// When the result cannot be serialized as JSON.
    pub fn complete<T: Serialize + ?Sized>(result: &T) -> Result<Self, Fault> {
        Ok(Self::complete_body(json("result", result)?.into()))
    }

    /// The intent is done, and these bytes are its result: kept byte for byte, whatever they are. They are kept as JSON
    /// where they are JSON, as a string where they are text, and as base64 otherwise.
    pub fn complete_bytes(result: &[u8]) -> Self {
        Self::complete_body(Body::of_bytes(result))
    }

    pub(crate) fn complete_body(result: Body) -> Self {
        Self::of(OutcomeKind::Complete(result))
    }

    pub(crate) const fn of(kind: OutcomeKind) -> Self {
        Self {
            kind,
            note: None,
            cost: None,
            undo: None,
            handed_on: HandedOn::NONE,
        }
    }

    /// Hands the intent to another agent with this payload; control does not come back.
    ///
    /// # Errors
    /// When the agent's name is invalid or the payload cannot be serialized as JSON.
    pub fn hand_off<T: Serialize + ?Sized>(to: &str, payload: &T) -> Result<Self, Fault> {
        let to = to
            .parse()
            .map_err(|error| Fault::terminal(codes::BAD_AGENT_NAME, format!("{error}")))?;
        Self::to(Receiver::Agent(to), payload)
    }

    /// Hands the intent to a capable agent with this payload: the one with the least to do per worker.
    ///
    /// # Errors
    /// When a capability's name is invalid or the payload cannot be serialized as JSON.
    pub fn hand_off_to<T: Serialize + ?Sized>(able: impl Into<Capability>, payload: &T) -> Result<Self, Fault> {
        let able = able.into();
        for name in &able.0 {
            name.parse::<CapabilityName>()
                .map_err(|error| Fault::terminal(codes::BAD_CAPABILITY, format!("{error}")))?;
        }
        Self::to(Receiver::Capable(able), payload)
    }

    /// Hands the intent to whoever is next: the first agent of its itinerary, or the one that its pipeline names after this one.
    /// Where nobody is, the intent completes with this as its result.
    ///
    /// # Errors
    /// When the payload cannot be serialized as JSON.
    pub fn next<T: Serialize + ?Sized>(payload: &T) -> Result<Self, Fault> {
        Self::to(Receiver::Next, payload)
    }

    pub(crate) fn next_body(payload: Body) -> Self {
        Self::to_body(Receiver::Next, payload)
    }

    fn to<T: Serialize + ?Sized>(to: Receiver, payload: &T) -> Result<Self, Fault> {
        Ok(Self::to_body(to, json("payload", payload)?.into()))
    }

    fn to_body(to: Receiver, payload: Body) -> Self {
        Self::of(OutcomeKind::HandOff {
            to,
            payload,
            kind: None,
            history: None,
        })
    }

    /// Declines the intent.
    pub fn reject(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::of(OutcomeKind::Reject {
            code: code.into(),
            reason: reason.into(),
        })
    }

    /// Says how to read the result or the payload where it stands for bytes: `base64` for a string of base64.
    pub(crate) fn encoded(mut self, new: Option<String>) -> Self {
        match &mut self.kind {
            OutcomeKind::Complete(body) | OutcomeKind::HandOff { payload: body, .. } => body.encoding = new,
            OutcomeKind::Broadcast(message) => message.payload.encoding = new,
            OutcomeKind::Reject { .. } | OutcomeKind::FanOut(_) => {}
        }
        self
    }

    /// Adds a note that the ledger keeps with the outcome.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Reports what this attempt cost, in the currency unit that the mesh agreed on. A rollout compares it between
    /// versions.
    #[must_use]
    pub const fn with_cost(mut self, cost: f64) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Names what takes the hop back should the intent fail for good at a later hop, or be cancelled with `--undo`: this agent
    /// gets this payload then, as an intent of its own. Only a handoff can be taken back: nothing undoes an intent that has
    /// completed, as [`Outcome::next`] does where nobody is next.
    ///
    /// # Errors
    /// When the agent's name is invalid or the payload cannot be serialized as JSON.
    pub fn with_undo<T: Serialize + ?Sized>(mut self, agent: &str, payload: &T) -> Result<Self, Fault> {
        self.undo = Some(Box::new(undo(agent, payload)?));
        Ok(self)
    }

    /// Sets the kind of work of a handoff or of what follows a fan-out; without this the kind stays the same. The copies of a
    /// broadcast have this kind, and without it none.
    #[must_use]
    pub fn with_kind(mut self, new: impl Into<String>) -> Self {
        match &mut self.kind {
            OutcomeKind::HandOff { kind, .. } => *kind = Some(new.into()),
            OutcomeKind::FanOut(spec) => spec.onward.get_or_insert_default().kind = Some(new.into()),
            OutcomeKind::Broadcast(message) => message.kind = Some(new.into()),
            OutcomeKind::Complete(_) | OutcomeKind::Reject { .. } => {}
        }
        self
    }

    /// Tells the receiver of a handoff what it is asked to do, where the work stands, or the goal: what this names is told anew,
    /// and the rest of the task stays as this hop has got it.
    #[must_use]
    pub fn with_task(mut self, task: Task) -> Self {
        self.handed_on.task = Some(Box::new(task));
        self
    }

    /// Says what the receiver of a handoff is given of what the hops up to here have remembered; without this [`View::trim`].
    /// Where nobody has remembered anything, there is no view.
    #[must_use]
    pub fn with_context(mut self, view: View) -> Self {
        self.handed_on.view = Some(Box::new(view));
        self
    }

    /// Adds what this agent did and decided to the envelope's history, for the agents after it.
    #[must_use]
    pub fn with_history(mut self, entry: HistoryEntry) -> Self {
        match &mut self.kind {
            OutcomeKind::HandOff { history, .. } => *history = Some(Box::new(entry)),
            OutcomeKind::FanOut(spec) => spec.onward.get_or_insert_default().history = Some(entry),
            OutcomeKind::Complete(_) | OutcomeKind::Reject { .. } | OutcomeKind::Broadcast(_) => {}
        }
        self
    }
}

/// Work that takes something back.
pub(crate) fn undo<T: Serialize + ?Sized>(agent: &str, payload: &T) -> Result<Undo, Fault> {
    let agent = agent
        .parse()
        .map_err(|error| Fault::terminal(codes::BAD_AGENT_NAME, format!("the undo: {error}")))?;
    Ok(Undo::new(agent, json("payload of the undo", payload)?))
}

pub(crate) fn json<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Json, Fault> {
    Json::of(value).map_err(|error| {
        Fault::terminal(
            codes::NOT_JSON,
            format!("the {what} cannot be written as JSON: {error}"),
        )
    })
}
