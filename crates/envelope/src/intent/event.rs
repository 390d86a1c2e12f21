//! What can happen to an intent.

use crate::base::codes;
use crate::intent::tagged::wire_tagged;
use crate::intent::wait_reason::WaitReason;

wire_tagged! {
/// One thing that happened to an intent, as the ledger records it.
pub enum Event by "type" {
    /// The intent was accepted; the record holds the first envelope.
    Submitted = "submitted",
    /// A holder took a delivery that was not fresh; its epoch fences out earlier holders.
    Claimed = "claimed",
    /// A holder has worked for more than a moment, or is about to record a step.
    Started = "started",
    /// A step's result was recorded; later attempts reuse it.
    Step = "step",
    /// A note by the holder.
    Progress = "progress",
    /// The hop is done and the record holds the next envelope.
    HandedOff = "handed_off",
    /// The hop is done and the record holds the envelopes of children.
    FannedOut = "fanned_out",
    /// A child ended.
    ChildDone = "child_done",
    /// The intent waits for something outside.
    Waiting {
        /// What it waits for.
        reason: WaitReason
    } = "waiting",
    /// A signal for a waiting intent arrived.
    Signalled = "signalled",
    /// The wait is over; the record holds the envelope to go on with.
    Resumed = "resumed",
    /// An attempt failed; the next one has a time.
    RetryScheduled = "retry_scheduled",
    /// A holder gave the hop back unfinished. This burns no attempt.
    Released = "released",
    /// The intent was set aside for a person.
    Parked {
        /// Why, as a code such as `HOP_LIMIT`.
        code: String
    } = "parked",
    /// A parked intent was put back; the record holds the envelope.
    Redriven = "redriven",
    /// Work reached a version that takes none, and went to another.
    Rerouted = "rerouted",
    /// A person moved work to another version.
    Moved = "moved",
    /// An operator changed the versions that an open intent is pinned to. Its status stays.
    Repinned = "repinned",
    /// The intent got its place in the order of its key. Its status stays.
    Placed = "placed",
    /// Somebody added to the budget. Its status stays.
    ToppedUp = "topped_up",
    /// The intent completed.
    Completed = "completed",
    /// The intent was declined.
    Rejected {
        /// The reason, as a code.
        code: String
    } = "rejected",
    /// The intent failed permanently.
    Failed {
        /// The reason, as a code.
        code: String
    } = "failed",
    /// The intent was cancelled.
    Cancelled = "cancelled",
    /// The deadline passed.
    TimedOut = "timed_out",
    /// Completed hops are being undone.
    Compensating = "compensating",
    /// The undoing is done. With a code the intent failed; without one it was cancelled.
    Compensated {
        /// The failure that was compensated.
        code: Option<String>
    } = "compensated",
}
}

impl Event {
    /// Whether it begins a hop, so no step of that hop can exist yet.
    pub fn begins_hop(&self) -> bool {
        matches!(self, Self::Submitted | Self::HandedOff)
    }

    /// Whether its record is the place of an intent in the order of its key, where it has none before: that of `submitted`,
    /// and of these, which take the earlier one away.
    pub(crate) fn gives_place(&self) -> bool {
        *self == Self::Placed || matches!(self, Self::Parked { code } if code == codes::IMPORTED)
    }

    /// Whether its record only adds to the intent: a note, a signal, the end of a child, a pin, a place, a top-up. It leaves alone what a
    /// holder or a delayed ticket relies on: `wake_at`, `attempt`, `epoch`, `holder`, `envelope`.
    pub const fn only_adds(&self) -> bool {
        matches!(
            self,
            Self::Progress | Self::Signalled | Self::ChildDone | Self::Repinned | Self::Placed | Self::ToppedUp
        )
    }

    /// The code, if the event has one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the few that have one are listed")]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Parked { code } | Self::Rejected { code } | Self::Failed { code } => Some(code),
            Self::Compensated { code } => code.as_deref(),
            _ => None,
        }
    }
}
