//! What must follow from where an intent stands: its tickets and answers.
//!
//! Whoever writes a record, gets a redelivery or sweeps pays what the *present* head owes, whoever wrote it. By event,
//! whatever came between a record and its settling would lose the rest.

use std::time::Duration;

use crate::base::ids::EnvelopeId;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::intent::event::Event;
use crate::intent::record::Record;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;

/// One thing that an intent owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect<'h> {
    /// A ticket in the work stream of its agent.
    Ticket(Work<'h>),
    /// The end of the intent, told on this subject.
    Answer(&'h str),
}

/// Work that stands before an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work<'h> {
    /// The agent.
    pub agent: &'h AgentName,
    /// The version of it.
    pub version: &'h AgentVersion,
    /// The envelope that the ticket carries.
    pub envelope: EnvelopeId,
    /// The ledger sequence of the record that holds the envelope; `None` is the head itself.
    pub source: Option<u64>,
}

/// By whom an effect is paid, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// By whoever writes the head, gets a redelivery or a repeat of it, or sweeps.
    Now,
    /// Only when it is lost, which the sweeper alone finds out: somebody may hold the hop, and a second ticket would fence
    /// out a live holder.
    IfLost,
    /// By the writer and by a redelivery, never by the sweeper: it would be told again and again.
    Once,
}

/// Everything that the head of an intent owes.
pub fn effects(head: &Record) -> impl Iterator<Item = (Effect<'_>, Owed)> {
    ticket(head).into_iter().chain(answer(&head.snapshot))
}

fn ticket(head: &Record) -> Option<(Effect<'_>, Owed)> {
    let snapshot = &head.snapshot;
    let (true, Some(agent), Some(version), Some(envelope)) = (
        snapshot.status.is_workable(),
        &snapshot.agent,
        &snapshot.version,
        snapshot.envelope,
    ) else {
        return None;
    };
    let work = Work {
        agent,
        version,
        envelope,
        source: snapshot.envelope_seq.filter(|_| head.envelope.is_none()),
    };
    // Nobody can have taken it: its ticket was written once, or never, and the server drops a repeat.
    let is_untaken = snapshot.status == Status::Pending && snapshot.holder.is_none() && !head.is_given_back();
    let owed = if is_untaken { Owed::Now } else { Owed::IfLost };
    faults::keeps(head).then_some((Effect::Ticket(work), owed))
}

fn answer(head: &Snapshot) -> Option<(Effect<'_>, Owed)> {
    let reply_to = head.reply_to.as_deref().filter(|_| head.status.is_terminal())?;
    Some((Effect::Answer(reply_to), Owed::Once))
}

impl Record {
    /// Whether the hop was given back by a holder that was well, and nobody has taken it since.
    ///
    /// Writers before protocol 1.2 leave `given_back` out; of their records the event tells. Behind a `repinned` of theirs may
    /// lie a release.
    pub fn is_given_back(&self) -> bool {
        let snapshot = &self.snapshot;
        let is_old = matches!(self.event, Event::Released | Event::RetryScheduled | Event::Repinned);
        (snapshot.given_back == Some(snapshot.epoch) || is_old) && !faults::forgets_release(self)
    }
}

/// Whether a ticket of an intent may be written under the plain id of its envelope, by which the server drops it beside the
/// first one. `stored_at` is when the record that holds the envelope was stored; `window` is for how long the server surely
/// remembers.
pub fn is_within(stored_at: Timestamp, now: Timestamp, window: Duration) -> bool {
    now.since(stored_at) <= window
}

/// What an open intent needs from the sweeper, as far as its head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it has ended, waits for a person, or is at a status of a newer version.
    Closed,
    /// Its deadline has passed: end it.
    TimeOut,
    /// Nothing now.
    None,
    /// Its ticket, if that is lost; see [`is_ticket_lost`].
    Ticket,
}

/// What the intent with this head needs. It is left alone until `slack` after its last record.
pub fn needs(head: &Record, now: Timestamp, slack: Duration) -> Need {
    let snapshot = &head.snapshot;
    let status = &snapshot.status;
    if status.is_terminal() || matches!(status, Status::Parked { .. } | Status::Unknown { .. }) {
        return Need::Closed;
    }
    // Undoing is not cut short by the deadline that may have caused it.
    let is_late = snapshot.deadline.is_some_and(|deadline| deadline <= now) && !faults::sleeps_over_deadlines();
    if is_late && *status != Status::Compensating {
        return Need::TimeOut;
    }
    let due = snapshot
        .updated_at
        .max(snapshot.wake_at.unwrap_or(snapshot.updated_at))
        .plus(slack);
    if due <= now && ticket(head).is_some() && !faults::sleeps_over_tickets() {
        Need::Ticket
    } else {
        Need::None
    }
}

/// Whether the ticket of an intent is lost, when the oldest ticket in the queue of its version was stored at `oldest`.
///
/// A ticket stays in its stream until it is acked, so while anything as old as this record (less slack for two clocks) is
/// queued, the ticket may be among it.
pub fn is_ticket_lost(head: &Snapshot, oldest: Option<Timestamp>, slack: Duration) -> bool {
    oldest.is_none_or(|at| at > head.updated_at.plus(slack))
}

/// Faults of test builds.
mod faults {
    use crate::base::mutants::Mutant;
    use crate::intent::event::Event;
    use crate::intent::record::Record;

    /// I5: whether a committed handoff has a ticket.
    pub(super) fn keeps(head: &Record) -> bool {
        !(Mutant::I5NoTicket.is_on() && head.event == Event::HandedOff)
    }

    /// I12: whether a release counts as a death.
    pub(super) fn forgets_release(head: &Record) -> bool {
        Mutant::I12ReleaseBurns.is_on() && head.event == Event::Released
    }

    /// I13: whether nobody ends what is late.
    pub(super) fn sleeps_over_deadlines() -> bool {
        Mutant::I13DeadlineSleeps.is_on()
    }

    /// I1: whether no lost ticket is found.
    pub(super) fn sleeps_over_tickets() -> bool {
        Mutant::I1SweeperSleeps.is_on()
    }
}
