//! Who may write next: what a refused write means, and which records take a hop, give it back, or keep it.

use crate::base::ids::{EnvelopeId, RecordId};
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;

/// What became of a guarded write that the server did not confirm, now that the head was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unconfirmed {
    /// The record is the head: it stands.
    Stands,
    /// Others have written since, and the record may stand before them: the history tells.
    LookBack,
    /// Another record came first, and this one was not written.
    Superseded,
    /// Nothing came after the record that was expected: write again.
    Again,
}

/// Judges a guarded write by the head. `unanswered` says whether any publish of it went without an answer: only then
/// can it stand behind records of others.
pub fn on_unconfirmed(own: RecordId, expected: u64, head: Option<(RecordId, u64)>, unanswered: bool) -> Unconfirmed {
    match head {
        Some((id, _)) if id == own => Unconfirmed::Stands,
        Some((_, seq)) if seq > expected && unanswered => Unconfirmed::LookBack,
        Some((_, seq)) if seq > expected => Unconfirmed::Superseded,
        // The head is where it was (or not there): a conflict in flight that came to nothing, or a publish that never
        // arrived.
        Some(_) | None => Unconfirmed::Again,
    }
}

/// What a holder does whose write was superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overtaken {
    /// Someone who does not hold the hop added a record: write again after it.
    Rebase,
    /// It was made for pins that have changed: it has to be made anew.
    Remake,
    /// The hop is another's, or over: drop what was done.
    Fenced,
}

/// Compares the head that superseded a write of `event` with the snapshot `held` on which it was made, by the holder
/// `instance` of the hop with this envelope.
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
        // A handoff was made for the pins as they were: with others it goes elsewhere.
        Overtaken::Remake
    } else {
        Overtaken::Rebase
    }
}

/// Whether the epoch of a holder still holds at a head that it did not write.
pub fn is_still_held(held: &Snapshot, envelope: EnvelopeId, instance: &str, head: &Snapshot) -> bool {
    head.epoch == held.epoch
        && head.envelope == Some(envelope)
        && head.status.is_workable()
        && head.holder.as_deref().is_none_or(|holder| holder == instance)
}
