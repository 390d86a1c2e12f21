//! What can happen to an intent.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::intent::wait_reason::WaitReason;

/// One thing that happened to an intent, as the ledger records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The intent was taken in; the record holds the first envelope.
    Submitted,
    /// A holder took a delivery that was not fresh; its epoch fences out earlier holders.
    Claimed,
    /// A holder has been at work for longer than a moment, or is about to record a step.
    Started,
    /// A step's result was recorded; later attempts reuse it.
    Step,
    /// A note by the holder.
    Progress,
    /// The hop is done and the record holds the next envelope.
    HandedOff,
    /// The hop is done and the record holds the envelopes of children.
    FannedOut,
    /// A child came to its end.
    ChildDone,
    /// The intent waits for something outside.
    Waiting {
        /// For what.
        reason: WaitReason,
    },
    /// A signal for a waiting intent arrived.
    Signalled,
    /// A wait is over and the record holds the envelope to go on with.
    Resumed,
    /// An attempt failed and the next one has a time.
    RetryScheduled,
    /// A holder gave the hop back unfinished; no attempt is burnt.
    Released,
    /// The intent was set aside for a person.
    Parked {
        /// Why, as a code such as `HOP_LIMIT`.
        code: String,
    },
    /// A parked intent was put back; the record holds the envelope.
    Redriven,
    /// Work that reached a version which takes none was sent elsewhere.
    Rerouted,
    /// Work was moved to another version by a person.
    Moved,
    /// An operator changed the versions that an open intent is held to; it stands where it stood.
    Repinned,
    /// The intent ended well.
    Completed,
    /// The intent was declined.
    Rejected {
        /// Why, as a code.
        code: String,
    },
    /// The intent failed for good.
    Failed {
        /// Why, as a code.
        code: String,
    },
    /// The intent was cancelled.
    Cancelled,
    /// The deadline passed.
    TimedOut,
    /// Completed hops are being undone.
    Compensating,
    /// Undoing is done; with a code the intent failed, without one it was cancelled.
    Compensated {
        /// The failure that was compensated.
        code: Option<String>,
    },
    /// An event of a newer minor version, kept as it was named.
    Unknown {
        /// Its name on the wire.
        name: String,
    },
}

impl Event {
    /// The name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Self::Submitted => "submitted",
            Self::Claimed => "claimed",
            Self::Started => "started",
            Self::Step => "step",
            Self::Progress => "progress",
            Self::HandedOff => "handed_off",
            Self::FannedOut => "fanned_out",
            Self::ChildDone => "child_done",
            Self::Waiting { .. } => "waiting",
            Self::Signalled => "signalled",
            Self::Resumed => "resumed",
            Self::RetryScheduled => "retry_scheduled",
            Self::Released => "released",
            Self::Parked { .. } => "parked",
            Self::Redriven => "redriven",
            Self::Rerouted => "rerouted",
            Self::Moved => "moved",
            Self::Repinned => "repinned",
            Self::Completed => "completed",
            Self::Rejected { .. } => "rejected",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Compensating => "compensating",
            Self::Compensated { .. } => "compensated",
            Self::Unknown { name } => name,
        }
    }

    /// Whether it begins a hop, so that no step of that hop can have been recorded before.
    pub fn begins_hop(&self) -> bool {
        matches!(self, Self::Submitted | Self::HandedOff)
    }

    /// The code, where the event has one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Parked { code } | Self::Rejected { code } | Self::Failed { code } => Some(code),
            Self::Compensated { code } => code.as_deref(),
            Self::Submitted
            | Self::Claimed
            | Self::Started
            | Self::Step
            | Self::Progress
            | Self::HandedOff
            | Self::FannedOut
            | Self::ChildDone
            | Self::Waiting { .. }
            | Self::Signalled
            | Self::Resumed
            | Self::RetryScheduled
            | Self::Released
            | Self::Redriven
            | Self::Rerouted
            | Self::Moved
            | Self::Repinned
            | Self::Completed
            | Self::Cancelled
            | Self::TimedOut
            | Self::Compensating
            | Self::Unknown { .. } => None,
        }
    }
}

/// The event as an object: `{"type":"parked","code":"HOP_LIMIT"}`.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    #[serde(rename = "type", borrow)]
    name: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<WaitReason>,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reason = if let Self::Waiting { reason } = self {
            Some(reason.clone())
        } else {
            None
        };
        Form {
            name: self.name().into(),
            code: self.code().map(str::to_owned),
            reason,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Form { name, code, reason } = Form::deserialize(deserializer)?;
        let coded = |code: Option<String>| code.unwrap_or_default();
        Ok(match &*name {
            "submitted" => Self::Submitted,
            "claimed" => Self::Claimed,
            "started" => Self::Started,
            "step" => Self::Step,
            "progress" => Self::Progress,
            "handed_off" => Self::HandedOff,
            "fanned_out" => Self::FannedOut,
            "child_done" => Self::ChildDone,
            "waiting" => Self::Waiting {
                reason: reason.ok_or_else(|| serde::de::Error::missing_field("reason"))?,
            },
            "signalled" => Self::Signalled,
            "resumed" => Self::Resumed,
            "retry_scheduled" => Self::RetryScheduled,
            "released" => Self::Released,
            "parked" => Self::Parked { code: coded(code) },
            "redriven" => Self::Redriven,
            "rerouted" => Self::Rerouted,
            "moved" => Self::Moved,
            "repinned" => Self::Repinned,
            "completed" => Self::Completed,
            "rejected" => Self::Rejected { code: coded(code) },
            "failed" => Self::Failed { code: coded(code) },
            "cancelled" => Self::Cancelled,
            "timed_out" => Self::TimedOut,
            "compensating" => Self::Compensating,
            "compensated" => Self::Compensated { code },
            _ => Self::Unknown {
                name: name.into_owned(),
            },
        })
    }
}
