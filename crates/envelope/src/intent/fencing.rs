//! Who may write next: what a refused write means, and which records take a hop, give it back, or keep it.

use crate::base::ids::{EnvelopeId, RecordId};
use crate::base::timestamp::Timestamp;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::record::Record;
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
    if *event == Event::HandedOff && head.pins != held.pins {
        // A handoff was made for the pins as they were: with others it goes elsewhere.
        return Overtaken::Remake;
    }
    if is_still_held(held, envelope, instance, head) {
        Overtaken::Rebase
    } else {
        Overtaken::Fenced
    }
}

/// Whether the epoch of a holder still holds at a head that it did not write.
pub fn is_still_held(held: &Snapshot, envelope: EnvelopeId, instance: &str, head: &Snapshot) -> bool {
    head.epoch == held.epoch
        && head.envelope == Some(envelope)
        && head.status.is_workable()
        && head.holder.as_deref().is_none_or(|holder| holder == instance)
}

impl Snapshot {
    /// This snapshot as whoever writes next holds it, read from the record at `seq`.
    #[must_use]
    pub fn seen_at(mut self, seq: u64) -> Self {
        if self.envelope_seq.is_none() {
            self.envelope_seq = Some(seq);
        }
        self
    }
}

impl Record {
    /// Names the instance that holds the hop.
    #[must_use]
    pub fn held_by(mut self, instance: &str) -> Self {
        self.snapshot.holder = Some(instance.to_owned());
        self
    }

    /// Makes this record the claim of an instance: a new epoch fences out every earlier holder. `epoch` is the one of
    /// the head that was claimed.
    #[must_use]
    pub fn claimed_by(mut self, instance: &str, attempt: u32, epoch: u64) -> Self {
        self.snapshot.attempt = attempt;
        self.snapshot.epoch = epoch.saturating_add(1);
        self.held_by(instance)
    }

    /// Nobody holds the hop any more: a new epoch, so that whatever the holder still writes is refused.
    #[must_use]
    pub fn without_holder(mut self) -> Self {
        self.snapshot.holder = None;
        self.snapshot.epoch = self.snapshot.epoch.saturating_add(1);
        self
    }

    /// The next attempt, not before `wake_at`.
    #[must_use]
    pub fn to_retry(mut self, wake_at: Timestamp, error: ErrorInfo) -> Self {
        self.snapshot.attempt = self.snapshot.attempt.saturating_add(1);
        self.snapshot.wake_at = Some(wake_at);
        self.without_holder().with_error(error)
    }
}
