//! The rules of 11c473a, the last build before effects followed from the head: frozen copies that never change.
//! Workers, submitters, operators and sweepers of that build work beside newer ones.

use std::time::Duration;

use baton_envelope::{
    DeliveryFacts, EnvelopeId, Event, Need, Overtaken, Protocol, Record, Snapshot, Standing, Status, Timestamp,
    is_still_held,
};

/// A record as that build wrote it: it does not know `given_back`, and carries on what it finds.
pub(crate) fn as_written(mut record: Record, held: Option<&Snapshot>) -> Record {
    record.protocol = Protocol::new(1, 1, 0);
    record.snapshot.given_back = held.and_then(|held| held.given_back);
    record
}

pub(crate) fn implies_ticket(record: &Record) -> bool {
    record.envelope.is_some() && record.snapshot.status == Status::Pending
}

pub(crate) fn is_past_window(record: &Record, now: Timestamp, window: Duration) -> bool {
    now.since(record.at) > window
}

pub(crate) fn on_delivery(head: &Record, ticket: EnvelopeId, facts: DeliveryFacts, now: Timestamp) -> Standing {
    let snapshot = &head.snapshot;
    if !snapshot.status.is_workable() || snapshot.envelope != Some(ticket) {
        return Standing::Superseded;
    }
    if snapshot.deadline.is_some_and(|deadline| deadline <= now) {
        return Standing::Late;
    }
    if let Some(wake_at) = snapshot.wake_at {
        let wait = wake_at.since(now).min(wake_at.since(head.at));
        if !wait.is_zero() {
            return Standing::Early { wait };
        }
    }
    let given_back = matches!(head.event, Event::Released | Event::RetryScheduled | Event::Repinned);
    let burnt = u32::from(facts.delivered > 1 && !given_back);
    Standing::Mine {
        attempt: snapshot.attempt.saturating_add(burnt),
    }
}

pub(crate) fn on_overtaken(
    event: &Event,
    held: &Snapshot,
    envelope: EnvelopeId,
    instance: &str,
    head: &Snapshot,
) -> Overtaken {
    if *event == Event::HandedOff && head.pins != held.pins {
        return Overtaken::Remake;
    }
    if is_still_held(held, envelope, instance, head) {
        Overtaken::Rebase
    } else {
        Overtaken::Fenced
    }
}

pub(crate) fn needs(head: &Snapshot, now: Timestamp, slack: Duration) -> Need {
    let status = &head.status;
    if status.is_terminal() || matches!(status, Status::Parked { .. } | Status::Unknown { .. }) {
        return Need::Closed;
    }
    let is_late = head.deadline.is_some_and(|deadline| deadline <= now);
    if is_late && *status != Status::Compensating {
        return Need::TimeOut;
    }
    let due = head.updated_at.max(head.wake_at.unwrap_or(head.updated_at)).plus(slack);
    if status.is_workable() && due <= now {
        Need::Ticket
    } else {
        Need::None
    }
}
