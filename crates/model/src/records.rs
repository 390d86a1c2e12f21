//! Records of the ledger, made by the functions of the runtime, with ids that depend only on the writer and its count
//! of writes.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use baton_envelope::{
    AgentName, AgentVersion, Author, Envelope, EnvelopeId, IntentId, Json, Record, RecordId, Role, Stamp, Timestamp,
};

use crate::actions::Actor;

/// The time at which the model begins.
const BEGIN: Timestamp = Timestamp::from_unix_millis(1_795_237_200_000);
/// An hour of the model: longer than every wait, slack and window of the runtime.
const HOUR: Duration = Duration::from_secs(3600);
/// How long the sweeper leaves an intent alone.
pub(crate) const SLACK: Duration = Duration::from_secs(30);
/// How long the server is certain to remember a message id.
pub(crate) const WINDOW: Duration = Duration::from_secs(75);
/// The wait before another attempt.
pub(crate) const BACKOFF: Duration = Duration::from_secs(30);

/// A record in the ledger or on its way there. Compared by its encoded form.
#[derive(Clone)]
pub(crate) struct Rec(Arc<(Record, u64)>);

impl Rec {
    pub(crate) fn new(record: Record) -> Self {
        let mut hasher = DefaultHasher::new();
        serde_json::to_vec(&record).unwrap_or_default().hash(&mut hasher);
        Self(Arc::new((record, hasher.finish())))
    }

    pub(crate) fn envelope_id(&self) -> Option<EnvelopeId> {
        self.envelope.as_ref().map(|envelope| envelope.id)
    }
}

impl std::ops::Deref for Rec {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.0.0
    }
}

impl PartialEq for Rec {
    fn eq(&self, other: &Self) -> bool {
        self.0.1 == other.0.1
    }
}

impl Eq for Rec {}

impl Hash for Rec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.1.hash(state);
    }
}

impl fmt::Debug for Rec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = &self.snapshot;
        write!(
            f,
            "{} by {} (hop {}, attempt {}, epoch {}, {})",
            self.event.name(),
            self.by.instance,
            snapshot.hop,
            snapshot.attempt,
            snapshot.epoch,
            snapshot.status
        )
    }
}

/// The time at an hour of the model.
pub(crate) fn at(hour: u8) -> Timestamp {
    BEGIN.plus(HOUR * u32::from(hour))
}

/// A writer: the process, its life, and its number of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pen {
    pub(crate) actor: Actor,
    pub(crate) life: u8,
    pub(crate) writes: u8,
}

impl Pen {
    pub(crate) const fn new(actor: Actor) -> Self {
        Self {
            actor,
            life: 0,
            writes: 0,
        }
    }

    /// The name of the process, different in each life.
    pub(crate) fn instance(&self) -> String {
        format!("{}.{}", self.actor, self.life)
    }

    fn author(&self) -> Author {
        let role = match self.actor {
            Actor::Submitter { .. } => Role::Client,
            Actor::Worker(_) => Role::Worker,
            Actor::Operator => Role::Operator,
            Actor::Sweeper => Role::Controller,
        };
        Author::of(role, self.instance())
    }

    fn unique(&self) -> [u8; 10] {
        let (kind, number) = match self.actor {
            Actor::Submitter { intent, number } => (1, intent * 16 + number),
            Actor::Worker(number) => (2, number),
            Actor::Operator => (3, 0),
            Actor::Sweeper => (4, 0),
        };
        [kind, number, self.life, self.writes, 0, 0, 0, 0, 0, 0]
    }

    /// An id for the next record; different in every call.
    fn record_id(&mut self) -> RecordId {
        self.writes += 1;
        RecordId::generate(BEGIN, self.unique())
    }

    /// An id for an envelope of the next record.
    pub(crate) fn envelope_id(&self) -> EnvelopeId {
        EnvelopeId::generate(BEGIN, self.unique())
    }

    /// The id, time and author of the next record.
    pub(crate) fn stamp(&mut self, at: Timestamp) -> Stamp {
        Stamp {
            id: self.record_id(),
            at,
            by: self.author(),
        }
    }

    /// The process dies, and another replaces it.
    pub(crate) fn dies(&mut self) {
        (self.life, self.writes) = (self.life + 1, 0);
    }
}

#[expect(clippy::expect_used, reason = "constants of the model")]
pub(crate) fn agent(hop: u32) -> AgentName {
    format!("agent{hop}").parse().expect("a valid name")
}

#[expect(clippy::expect_used, reason = "constants of the model")]
pub(crate) fn version(minor: u8) -> AgentVersion {
    format!("1.{minor}.0").parse().expect("a valid version")
}

#[expect(clippy::expect_used, reason = "constants of the model")]
pub(crate) fn intent(number: u8) -> IntentId {
    format!("intent{number}").parse().expect("a valid id")
}

/// The envelope of the first hop: the same work from every submitter.
pub(crate) fn first(number: u8, pen: &Pen, deadline: Option<u8>) -> Envelope {
    let mut envelope = Envelope::first(pen.envelope_id(), intent(number), agent(1), Json::string("work"));
    envelope.deadline = deadline.map(at);
    // A pin of an agent that never has a turn: it can change under a holder without touching the hop.
    envelope.pins = BTreeMap::from([(agent(0), version(0))]);
    envelope
}
