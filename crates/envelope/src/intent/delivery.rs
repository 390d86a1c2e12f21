//! The decisions of the commit protocol, as pure functions of the ledger's content.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::ids::EnvelopeId;
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::timestamp::Timestamp;
use crate::intent::record::Record;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::intent::waits::WaitResult;
use crate::message::envelope::Envelope;

/// How long to leave a ticket alone when its intent has a status of a newer protocol version. By then a worker that
/// knows the status may have come.
const UNKNOWN_STATUS: Duration = Duration::from_secs(30);

/// What a worker knows of a delivered ticket without reading the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryFacts {
    /// The broker's delivery count, this delivery included.
    pub delivered: u64,
    /// Whether the ticket was written again from the ledger.
    pub reissued: bool,
    /// Whether the ticket was stored after this connection was made. The broker may have lost the delivery counts of
    /// older tickets in a crash.
    pub stored_after_connect: bool,
}

/// Whether a ticket may run without reading the ledger first.
///
/// This only saves a read. If a fresh ticket did run before, its commit loses the compare-and-set, and a step first
/// writes `started` under the same guard.
pub const fn is_fresh(facts: DeliveryFacts) -> bool {
    facts.delivered == 1 && !facts.reissued && facts.stored_after_connect
}

/// The value of a ticket that is not fresh, judged by the head of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The ledger has moved on: pay what the head owes, then ack.
    Superseded,
    /// The hop is still open: claim it.
    Mine {
        /// The number of the attempt that the claim starts.
        attempt: u32,
    },
    /// The hop is open, but its time has not come.
    Early {
        /// How long to wait.
        wait: Duration,
    },
    /// The deadline passed before the hop was done.
    Late,
    /// The intent is undone, and a program that knows nothing of undos has put it before its agent: the undoing goes on.
    Undoing,
}

/// The head with its delay counted from the server's storing time instead of the writer's clock. Otherwise a writer
/// whose clock is a day ahead would delay a retry of one second by a day, for every reader.
#[must_use]
pub fn in_server_time(mut head: Record, stored_at: Timestamp) -> Record {
    if let Some(wake_at) = head.snapshot.wake_at {
        head.snapshot.wake_at = Some(stored_at.plus(wake_at.since(head.at)));
        head.at = stored_at;
    }
    head.snapshot.updated_at = head.snapshot.updated_at.min(stored_at);
    head
}

/// Decides what to do with a ticket that is not fresh.
///
/// A takeover burns an attempt, because the payload may have killed the earlier holder. A release or a scheduled retry
/// burns nothing more: a healthy holder recorded it.
pub fn on_delivery(head: &Record, ticket: EnvelopeId, facts: DeliveryFacts, now: Timestamp) -> Standing {
    let snapshot = &head.snapshot;
    if let Status::Unknown { .. } = snapshot.status {
        // This build does not know the status of a newer version: leave the ticket where it is.
        return Standing::Early { wait: UNKNOWN_STATUS };
    }
    // A ticket for work by hand comes from a writer of before 1.4: nobody owes it.
    if !snapshot.status.is_workable() || snapshot.envelope != Some(ticket) || snapshot.is_by_hand() {
        return Standing::Superseded;
    }
    if snapshot.is_undoing() {
        return Standing::Undoing;
    }
    if snapshot.deadline.is_some_and(|deadline| deadline <= now) {
        return Standing::Late;
    }
    if let Some(wake_at) = snapshot.wake_at {
        // Never wait longer than the writer meant: a reader whose clock is a day behind would delay the ticket by a
        // day.
        let wait = wake_at.since(now).min(wake_at.since(head.at));
        if !wait.is_zero() {
            return Standing::Early { wait };
        }
    }
    // Only the broker's own count proves that a holder of this very ticket went silent. The holder in the ledger may be
    // healthy, and this a second ticket for its hop: the claim fences it out, but must not also count as its death.
    let burnt = u32::from(facts.delivered > 1 && !head.is_given_back());
    Standing::Mine {
        attempt: snapshot.attempt.saturating_add(burnt),
    }
}

/// A retry whose delay is longer is not held by a delivery: its ticket is acked, and the leader writes it when it is due.
pub const LONG_RETRY: Duration = Duration::from_secs(30);

/// Whether the head waits for an attempt whose ticket the leader writes.
pub fn is_long_retry(snapshot: &Snapshot, at: Timestamp) -> bool {
    let is_given_back = snapshot.given_back == Some(snapshot.epoch);
    let delay = snapshot.wake_at.map(|wake_at| wake_at.since(at));
    snapshot.status == Status::Pending && is_given_back && delay.is_some_and(|delay| delay > LONG_RETRY)
}

/// Whether nothing has happened since the record at `ticket_seq` authorised the ticket, and no other delivery is known.
/// Then there is no holder to fence out and no step to load, and the hop runs without a claim.
pub fn is_untouched(head: &Record, head_seq: u64, ticket_seq: u64, facts: DeliveryFacts) -> bool {
    head_seq == ticket_seq && facts.delivered == 1 && head.event.begins_hop()
}

/// The recorded results of a hop's steps, by name. Steps belong to the hop, not to the envelope: a redrive gives the
/// hop a new envelope.
pub fn recorded_steps(history: impl IntoIterator<Item = Record>, hop: u32) -> BTreeMap<String, Json> {
    let is_known = |record: &Record| record.snapshot.hop == hop && !Mutant::I6StepsForgotten.is_on();
    let of_hop = history.into_iter().filter(is_known);
    of_hop
        .filter_map(|record| record.step.map(|step| (step.name, step.result)))
        .collect()
}

/// What the waits of a hop came to, by name.
pub fn recorded_waits<'r>(history: impl IntoIterator<Item = &'r Record>, hop: u32) -> BTreeMap<String, WaitResult> {
    let of_hop = history.into_iter().filter(|record| record.snapshot.hop == hop);
    let results = of_hop.flat_map(|record| record.results.iter());
    results.map(|result| (result.name.clone(), result.clone())).collect()
}

/// How a submit under a taken id compares with the existing intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// The same work: the caller gets the existing intent.
    Same,
    /// Other work under the same id.
    Conflict,
}

/// Compares a submitted envelope with the one already submitted under its id.
pub fn compare_submission(there: &Envelope, new: &Envelope) -> Submission {
    match differing_field(there, new) {
        None => Submission::Same,
        Some(_) => Submission::Conflict,
    }
}

/// The first field in which a submitted envelope is other work than the one submitted under its id; `None` for the same work.
pub fn differing_field(there: &Envelope, new: &Envelope) -> Option<&'static str> {
    // By reference or not is how it travels, and says nothing of the work.
    let is_by_ref = there.payload_ref.is_some() || new.payload_ref.is_some();
    let is_same_payload = || match is_by_ref {
        true => there.payload_hash() == new.payload_hash(),
        false => there.payload.same_meaning(&new.payload),
    };
    let fields = [
        ("to", there.to == new.to),
        ("kind", there.kind == new.kind),
        (
            "payload_encoding",
            is_by_ref || there.payload_encoding == new.payload_encoding,
        ),
        ("payload", is_same_payload()),
    ];
    fields.into_iter().find_map(|(field, same)| (!same).then_some(field))
}
