//! What a worker is doing, and what a holder knows about its hop.

use baton_envelope::{EnvelopeId, Event, Snapshot};

use crate::records::{Pen, Rec};
use crate::world::Ticket;
use crate::write::Write;

/// A worker with one slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) pen: Pen,
    pub(crate) doing: Doing,
}

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Idle,
    /// It ends or parks an intent without running its hop.
    Ends {
        ticket: Box<Ticket>,
        write: Write,
    },
    /// It has the hop, or believes so.
    Has(Box<Hold>, Turn),
    /// It writes what a record implies, then acks.
    Settles {
        ticket: u8,
        intent: u8,
        rec: Rec,
        seq: u64,
    },
    Acks {
        ticket: u8,
    },
    /// A broken rule: it has acked, and only now writes what the record implies.
    SettlesAcked {
        intent: u8,
        rec: Rec,
        seq: u64,
    },
}

/// The holder's view of its hop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Hold {
    /// The ticket as delivered.
    pub(crate) ticket: Ticket,
    /// The last record that it saw, and its sequence.
    pub(crate) seen: Rec,
    pub(crate) seq: u64,
    /// Whether a record says that this instance holds the hop.
    pub(crate) visible: bool,
    /// The last record that it wrote in this run.
    pub(crate) guard: Option<u64>,
    /// The steps whose results it knows.
    pub(crate) steps: Vec<String>,
}

/// What a holder is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// The handler runs.
    Runs,
    /// An effect is about to happen.
    Effect(String),
    /// A record is written.
    Writes(Write, Act),
}

/// Which record a holder writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Claim {
        attempt: u32,
    },
    Show {
        step: Option<String>,
    },
    Step(String),
    /// With the id of the next envelope, once it exists.
    HandOff(Option<EnvelopeId>),
    Complete,
    Park,
    Retry,
    Release {
        stops: bool,
    },
}

impl Act {
    pub(crate) fn event(&self) -> Event {
        match self {
            Self::Claim { .. } => Event::Claimed,
            Self::Show { .. } => Event::Started,
            Self::Step(_) => Event::Step,
            Self::HandOff(_) => Event::HandedOff,
            Self::Complete => Event::Completed,
            Self::Park => Event::Parked {
                code: "EXHAUSTED".to_owned(),
            },
            Self::Retry => Event::RetryScheduled,
            Self::Release { .. } => Event::Released,
        }
    }

    /// Whether it ends the hop.
    pub(crate) fn is_outcome(&self) -> bool {
        matches!(self, Self::HandOff(_) | Self::Complete | Self::Park)
    }
}

impl Hold {
    pub(crate) fn new(ticket: &Ticket, seen: Rec, seq: u64) -> Self {
        Self {
            ticket: ticket.clone(),
            seen,
            seq,
            visible: false,
            guard: None,
            steps: Vec::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.seen.snapshot.clone().seen_at(self.seq)
    }

    pub(crate) fn hop(&self) -> u32 {
        self.ticket.rec.envelope.as_ref().map_or(0, |envelope| envelope.hop)
    }

    /// The next step without a result.
    pub(crate) fn next_step(&self, steps: u8) -> Option<String> {
        let steps = if self.hop() == 1 { steps } else { 0 };
        let mut names = (1..=steps).map(|number| format!("step{number}"));
        names.find(|name| !self.steps.contains(name))
    }

    pub(crate) fn take_over(&mut self, (head, seq): (Rec, u64)) {
        (self.seen, self.seq) = (head, seq);
    }
}
