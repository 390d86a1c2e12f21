//! Who may write next: what a refused write means, and whether a holder still holds its hop.

use crate::base::ids::{EnvelopeId, RecordId};
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;

/// The fate of a guarded write that the server did not confirm, judged by the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unconfirmed {
    /// The record is the head: it was written.
    Stands,
    /// Others have written since. The record may be before theirs: read the history.
    LookBack,
    /// Another record came first, and this one was not written.
    Superseded,
    /// Nothing follows the expected record: write again.
    Again,
}

/// Judges a guarded write by the head. `unanswered` says whether any publish of it went without an answer. Only then
/// can the record lie behind records of others.
pub fn on_unconfirmed(own: RecordId, expected: u64, head: Option<(RecordId, u64)>, unanswered: bool) -> Unconfirmed {
    match head {
        Some((id, _)) if id == own => Unconfirmed::Stands,
        Some((_, seq)) if seq > expected && unanswered => Unconfirmed::LookBack,
        Some((_, seq)) if seq > expected => Unconfirmed::Superseded,
        // The head has not moved, or does not exist: a conflicting write failed in flight, or this publish never
        // arrived.
        Some(_) | None => Unconfirmed::Again,
    }
}

/// What a holder does when its write was superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overtaken {
    /// Someone who does not hold the hop added a record: write again after it.
    Rebase,
    /// The pins it was made for have changed: make it again.
    Remake,
    /// Another holds the hop, or it is over: drop the work.
    Fenced,
}

/// Compares the head that superseded a write of `event` with `held`, the snapshot it was made on. The holder is
/// `instance`, and `envelope` is the one of its hop.
pub fn on_overtaken(
    event: &Event,
    held: &Snapshot,
    envelope: EnvelopeId,
    instance: &str,
    head: &Snapshot,
) -> Overtaken {
    if !is_still_held(held, envelope, instance, head) {
        Overtaken::Fenced
    } else if *event == Event::HandedOff && head.pins != held.pins {
        // A handoff depends on the pins: with other pins it goes elsewhere.
        Overtaken::Remake
    } else {
        Overtaken::Rebase
    }
}

/// Whether a holder's epoch is still valid at a head that it did not write.
pub fn is_still_held(held: &Snapshot, envelope: EnvelopeId, instance: &str, head: &Snapshot) -> bool {
    head.epoch == held.epoch
        && head.envelope == Some(envelope)
        && head.status.is_workable()
        && head.holder.as_deref().is_none_or(|holder| holder == instance)
}
