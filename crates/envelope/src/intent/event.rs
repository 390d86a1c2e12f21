//! What can happen to an intent.

use crate::intent::tagged::wire_tagged;
use crate::intent::wait_reason::WaitReason;

wire_tagged! {
/// One thing that happened to an intent, as the ledger records it.
pub enum Event by "type" {
    /// The intent was taken in; the record holds the first envelope.
    Submitted = "submitted",
    /// A holder took a delivery that was not fresh; its epoch fences out earlier holders.
    Claimed = "claimed",
    /// A holder has been at work for longer than a moment, or is about to record a step.
    Started = "started",
    /// A step's result was recorded; later attempts reuse it.
    Step = "step",
    /// A note by the holder.
    Progress = "progress",
    /// The hop is done and the record holds the next envelope.
    HandedOff = "handed_off",
    /// The hop is done and the record holds the envelopes of children.
    FannedOut = "fanned_out",
    /// A child came to its end.
    ChildDone = "child_done",
    /// The intent waits for something outside.
    Waiting {
        /// For what.
        reason: WaitReason
    } = "waiting",
    /// A signal for a waiting intent arrived.
    Signalled = "signalled",
    /// A wait is over and the record holds the envelope to go on with.
    Resumed = "resumed",
    /// An attempt failed and the next one has a time.
    RetryScheduled = "retry_scheduled",
    /// A holder gave the hop back unfinished; no attempt is burnt.
    Released = "released",
    /// The intent was set aside for a person.
    Parked {
        /// Why, as a code such as `HOP_LIMIT`.
        code: String
    } = "parked",
    /// A parked intent was put back; the record holds the envelope.
    Redriven = "redriven",
    /// Work that reached a version which takes none was sent elsewhere.
    Rerouted = "rerouted",
    /// Work was moved to another version by a person.
    Moved = "moved",
    /// An operator changed the versions that an open intent is held to; it stands where it stood.
    Repinned = "repinned",
    /// The intent ended well.
    Completed = "completed",
    /// The intent was declined.
    Rejected {
        /// Why, as a code.
        code: String
    } = "rejected",
    /// The intent failed for good.
    Failed {
        /// Why, as a code.
        code: String
    } = "failed",
    /// The intent was cancelled.
    Cancelled = "cancelled",
    /// The deadline passed.
    TimedOut = "timed_out",
    /// Completed hops are being undone.
    Compensating = "compensating",
    /// Undoing is done; with a code the intent failed, without one it was cancelled.
    Compensated {
        /// The failure that was compensated.
        code: Option<String>
    } = "compensated",
}
}

impl Event {
    /// Whether it begins a hop, so that no step of that hop can have been recorded before.
    pub fn begins_hop(&self) -> bool {
        matches!(self, Self::Submitted | Self::HandedOff)
    }

    /// Whether its record only adds to the intent: a note, a signal, the end of a child, a pin. It leaves alone what a holder
    /// or a delayed ticket rests on: `wake_at`, `attempt`, `epoch`, `holder`, `envelope`.
    pub const fn only_adds(&self) -> bool {
        matches!(
            self,
            Self::Progress | Self::Signalled | Self::ChildDone | Self::Repinned
        )
    }

    /// The code, where the event has one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the few that have one are listed")]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Parked { code } | Self::Rejected { code } | Self::Failed { code } => Some(code),
            Self::Compensated { code } => code.as_deref(),
            _ => None,
        }
    }
}
