//! What follows from the state of an intent: its tickets and answers.
//!
//! Whoever writes a record, gets a redelivery or sweeps pays what the *current* head owes, no matter who wrote it. If
//! effects followed from events, a record written between another and its settling would lose the other's effects.

use std::time::Duration;

use crate::base::ids::EnvelopeId;
use crate::base::mutants::Mutant;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::intent::event::Event;
use crate::intent::record::Record;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::intent::waits::owes_resume;

/// One thing that an intent owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect<'h> {
    /// A ticket in the agent's work stream.
    Ticket(Work<'h>),
    /// The final status, published on this subject.
    Answer(&'h str),
    /// The record `resumed`: what the intent waits for has come.
    Resume,
    /// The children of the calls that it waits for: their first records, and their tickets.
    Children,
    /// The record `redriven`: it is parked for want of budget, and there is enough now.
    Redrive,
    /// The records `topped_up` of children that it has lent more, and its own that they are paid.
    TopUps,
}

/// Work for an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work<'h> {
    /// The agent.
    pub agent: &'h AgentName,
    /// The version of the agent.
    pub version: &'h AgentVersion,
    /// The envelope that the ticket carries.
    pub envelope: EnvelopeId,
    /// The ledger sequence of the record that holds the envelope; `None` for the head itself.
    pub source: Option<u64>,
}

/// Who pays an effect, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// Whoever writes the head, gets a redelivery or a repeat of it, or sweeps.
    Now,
    /// The sweeper, and only if the ticket is lost: somebody may hold the hop, and a second ticket would fence out a
    /// live holder.
    IfLost,
    /// The writer and a redelivery, never the sweeper: it would repeat the answer every round.
    Once,
}

/// Everything that the head of an intent owes.
pub fn effects(head: &Record) -> impl Iterator<Item = (Effect<'_>, Owed)> {
    ticket(head)
        .into_iter()
        .chain(answer(&head.snapshot))
        .chain(resume(&head.snapshot))
        .chain(children(head))
        .chain(redrive(&head.snapshot))
        .chain(top_ups(&head.snapshot))
}

/// An open join implies each of its children. Whoever opens it submits them, and so does a redelivery of its ticket; what is
/// missing when more is written behind, a round of the leader finds.
fn children(head: &Record) -> Option<(Effect<'static>, Owed)> {
    let snapshot = &head.snapshot;
    let is_open = snapshot.children.iter().any(|set| set.is_awaited(snapshot));
    // The first record of a broadcast opens one, too.
    let owed = match matches!(head.event, Event::FannedOut | Event::Submitted) {
        true => Owed::Now,
        false => Owed::IfLost,
    };
    (is_open && !Mutant::P5ChildrenForgotten.is_on()).then_some((Effect::Children, owed))
}

fn redrive(head: &Snapshot) -> Option<(Effect<'static>, Owed)> {
    head.owes_redrive().then_some((Effect::Redrive, Owed::Now))
}

fn top_ups(head: &Snapshot) -> Option<(Effect<'static>, Owed)> {
    head.owes_top_ups().then_some((Effect::TopUps, Owed::Now))
}

fn resume(head: &Snapshot) -> Option<(Effect<'static>, Owed)> {
    (owes_resume(head) && !faults::sleeps_over_signals()).then_some((Effect::Resume, Owed::Now))
}

fn ticket(head: &Record) -> Option<(Effect<'_>, Owed)> {
    let snapshot = &head.snapshot;
    let (true, Some(agent), Some(version), Some(envelope)) = (
        // Nobody pulls what is done by hand.
        snapshot.status.is_workable() && (!snapshot.is_by_hand() || faults::hands_owe()),
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
    // Nobody can have taken it: its ticket was written once or never, and the server drops a repeat. What was given back has
    // its ticket in the stream, unless the head itself holds the envelope: then the ticket is a new one.
    let is_new = head.envelope.is_some() || !head.is_given_back();
    let is_untaken = snapshot.status == Status::Pending && snapshot.holder.is_none() && is_new;
    let owed = if is_untaken { Owed::Now } else { Owed::IfLost };
    faults::keeps(head).then_some((Effect::Ticket(work), owed))
}

fn answer(head: &Snapshot) -> Option<(Effect<'_>, Owed)> {
    let reply_to = head.reply_to.as_deref().filter(|_| head.status.is_terminal())?;
    Some((Effect::Answer(reply_to), Owed::Once))
}

impl Record {
    /// Whether a healthy holder gave the hop back, and nobody has taken it since.
    ///
    /// Writers before protocol 1.2 omit `given_back`, so the event decides for their records. A release may lie behind
    /// one of their `repinned` records.
    pub fn is_given_back(&self) -> bool {
        let snapshot = &self.snapshot;
        let is_old = matches!(self.event, Event::Released | Event::RetryScheduled | Event::Repinned);
        (snapshot.given_back == Some(snapshot.epoch) || is_old) && !faults::forgets_release(self)
    }
}

/// Whether a ticket may use the plain id of its envelope, so that the server drops it as a repeat of the first one.
/// `stored_at` is when the record that holds the envelope was stored. `window` is how long the server certainly
/// remembers.
pub fn is_within(stored_at: Timestamp, now: Timestamp, window: Duration) -> bool {
    now.since(stored_at) <= window
}

/// What the sweeper must do for an intent, judged by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it has ended, is parked, or has a status of a newer version.
    Closed,
    /// End it: its deadline has passed.
    TimeOut,
    /// Nothing now.
    None,
    /// Write its ticket again if that is lost; see [`is_ticket_lost`].
    Ticket,
    /// Resume it: what it waits for has come.
    Resume,
    /// Redrive it: it is parked for want of budget, and there is enough now.
    Redrive,
    /// Top up the children that it has lent more. It may need something else beside, so [`needs`] never says it;
    /// [`Snapshot::owes_top_ups`] does.
    TopUps,
}

/// What the intent with this head needs. The sweeper leaves it alone until `slack` after its last record or its wake-up
/// time.
pub fn needs(head: &Record, now: Timestamp, slack: Duration) -> Need {
    let snapshot = &head.snapshot;
    let status = &snapshot.status;
    if redrive(snapshot).is_some() {
        return Need::Redrive;
    }
    if status.is_terminal() || matches!(status, Status::Parked { .. } | Status::Unknown { .. }) {
        return Need::Closed;
    }
    // The deadline may have caused the undoing, so it must not cut it short.
    let is_late = snapshot.deadline.is_some_and(|deadline| deadline <= now) && !faults::sleeps_over_deadlines();
    if is_late && *status != Status::Compensating {
        return Need::TimeOut;
    }
    if resume(snapshot).is_some() {
        return Need::Resume;
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

/// Whether the ticket of an intent is lost. `oldest` is when the oldest ticket in the version's queue was stored.
///
/// A ticket stays in its stream until it is acked. So while the queue holds anything as old as this record (less
/// `slack` for two clocks), the ticket may be among it.
pub fn is_ticket_lost(head: &Snapshot, oldest: Option<Timestamp>, slack: Duration) -> bool {
    oldest.is_none_or(|at| at > head.updated_at.plus(slack))
}

/// Faults of test builds.
mod faults {
    use super::Mutant;
    use crate::intent::event::Event;
    use crate::intent::record::Record;

    /// I5: whether to write the ticket; the fault drops that of a handoff.
    pub(super) fn keeps(head: &Record) -> bool {
        !(Mutant::I5NoTicket.is_on() && head.event == Event::HandedOff)
    }

    /// I12: whether to count a release as a death.
    pub(super) fn forgets_release(head: &Record) -> bool {
        Mutant::I12ReleaseBurns.is_on() && head.event == Event::Released
    }

    /// I13: whether to ignore deadlines.
    pub(super) fn sleeps_over_deadlines() -> bool {
        Mutant::I13DeadlineSleeps.is_on()
    }

    /// P1: whether to ignore that what an intent waits for has come.
    pub(super) fn sleeps_over_signals() -> bool {
        Mutant::P1SleepsOverSignals.is_on()
    }

    /// P13: whether to write a ticket for what is done by hand.
    pub(super) fn hands_owe() -> bool {
        Mutant::P13HandsOwe.is_on()
    }

    /// I1: whether to ignore lost tickets.
    pub(super) fn sleeps_over_tickets() -> bool {
        Mutant::I1SweeperSleeps.is_on()
    }
}
