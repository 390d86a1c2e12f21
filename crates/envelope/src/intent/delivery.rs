//! The decisions of the commit protocol, as pure functions of what the ledger says.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::ids::EnvelopeId;
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::timestamp::Timestamp;
use crate::intent::record::Record;
use crate::intent::status::Status;
use crate::message::envelope::Envelope;

/// How long a ticket is left alone whose intent is in a status of a newer protocol version: until a worker that knows
/// it may have come.
const UNKNOWN_STATUS: Duration = Duration::from_secs(30);

/// What is known of a delivered ticket without reading the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryFacts {
    /// How often the broker says that it delivered the ticket, this time included.
    pub delivered: u64,
    /// Whether the ticket was written again from the ledger.
    pub reissued: bool,
    /// Whether the ticket was stored after this connection was made: before that the broker may have forgotten
    /// deliveries in a crash.
    pub stored_after_connect: bool,
}

/// Whether a ticket may be run without reading the ledger first.
///
/// Only an economy: a fresh ticket that was run before all the same loses its compare-and-set, and a step starts by
/// writing `started` with that same guard.
pub const fn is_fresh(facts: DeliveryFacts) -> bool {
    facts.delivered == 1 && !facts.reissued && facts.stored_after_connect
}

/// What a ticket that is not fresh is worth, now that the head of the ledger was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The ledger has moved on: repeat what the head implies, then ack.
    Superseded,
    /// The hop is still to be done: claim it.
    Mine {
        /// The attempt that the claim starts.
        attempt: u32,
    },
    /// The hop is to be done, but not yet.
    Early {
        /// How long to wait.
        wait: Duration,
    },
    /// The deadline has passed before the hop was done.
    Late,
}

/// A head whose delay counts from when the server stored it, and no longer from the clock of its writer. With a clock
/// that is a day ahead the next attempt of a second's delay would else be put off by a day, for every reader.
#[must_use]
pub fn in_server_time(mut head: Record, stored_at: Timestamp) -> Record {
    if let Some(wake_at) = head.snapshot.wake_at {
        head.snapshot.wake_at = Some(stored_at.plus(wake_at.since(head.at)));
        head.at = stored_at;
    }
    head
}

/// What to do with a ticket that is not fresh.
///
/// A takeover burns an attempt, because the earlier holder may have been killed by the payload; after a release or a
/// scheduled retry nothing more is burnt, as those were recorded by a holder that was well.
pub fn on_delivery(head: &Record, ticket: EnvelopeId, facts: DeliveryFacts, now: Timestamp) -> Standing {
    let snapshot = &head.snapshot;
    if let Status::Unknown { .. } = snapshot.status {
        // What a newer version means by it is not known here: the ticket stays where it is.
        return Standing::Early { wait: UNKNOWN_STATUS };
    }
    if !snapshot.status.is_workable() || snapshot.envelope != Some(ticket) {
        return Standing::Superseded;
    }
    if snapshot.deadline.is_some_and(|deadline| deadline <= now) {
        return Standing::Late;
    }
    if let Some(wake_at) = snapshot.wake_at {
        // Never longer than was meant: a reader whose clock is a day behind would put the ticket away for a day.
        let wait = wake_at.since(now).min(wake_at.since(head.at));
        if !wait.is_zero() {
            return Standing::Early { wait };
        }
    }
    // Only the broker's own count says that a holder of this very ticket went silent. A holder in the ledger may be well,
    // and this a second ticket for its hop: the claim fences it out, and must not count as its death too.
    let burnt = u32::from(facts.delivered > 1 && !head.is_given_back());
    Standing::Mine {
        attempt: snapshot.attempt.saturating_add(burnt),
    }
}

/// Whether nothing has happened since a ticket was authorised, by the record at `ticket_seq`, and nobody is known to
/// have had it: then there is no holder to fence out and no step to load, and the hop runs without a claim.
pub fn is_untouched(head: &Record, head_seq: u64, ticket_seq: u64, facts: DeliveryFacts) -> bool {
    head_seq == ticket_seq && facts.delivered == 1 && head.event.begins_hop()
}

/// The results of the steps that are recorded for a hop, by name. Steps belong to the hop, not to the envelope: a redrive
/// gives the hop a new one.
pub fn recorded_steps(history: impl IntoIterator<Item = Record>, hop: u32) -> BTreeMap<String, Json> {
    let is_known = |record: &Record| record.snapshot.hop == hop && !Mutant::I6StepsForgotten.is_on();
    let of_hop = history.into_iter().filter(is_known);
    of_hop
        .filter_map(|record| record.step.map(|step| (step.name, step.result)))
        .collect()
}

/// How a submit that found its id taken compares with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// The same work: the intent is the one that was asked for.
    Same,
    /// Other work under the same id.
    Conflict,
}

/// Compares what was submitted under an id with what is submitted under it now.
pub fn compare_submission(there: &Envelope, new: &Envelope) -> Submission {
    let same = there.to == new.to
        && there.kind == new.kind
        && there.payload_encoding == new.payload_encoding
        && there.payload.same_meaning(&new.payload);
    if same { Submission::Same } else { Submission::Conflict }
}
