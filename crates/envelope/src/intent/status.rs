//! The life of an intent: which status may follow which.

use std::fmt;

use crate::intent::event::Event;
use crate::intent::tagged::wire_tagged;
use crate::intent::wait_reason::WaitReason;

wire_tagged! {
/// The status of an intent.
pub enum Status by "state" {
    /// An agent has work to do, and no known holder.
    Pending = "pending",
    /// A holder claimed it.
    Accepted = "accepted",
    /// A holder is at work.
    InProgress = "in_progress",
    /// It waits for something outside.
    Waiting {
        /// What it waits for.
        reason: WaitReason
    } = "waiting",
    /// Set aside for a person.
    Parked {
        /// The reason, as a code.
        code: String
    } = "parked",
    /// Completed hops are being undone.
    Compensating = "compensating",
    /// Completed with a result.
    Completed = "completed",
    /// Declined.
    Rejected {
        /// The reason, as a code.
        code: String
    } = "rejected",
    /// Failed permanently.
    Failed {
        /// The reason, as a code.
        code: String
    } = "failed",
    /// Cancelled.
    Cancelled = "cancelled",
    /// The deadline passed.
    TimedOut = "timed_out",
}
}

impl Status {
    /// The names of the statuses that something may follow. The name of a status of a newer version is in no list.
    pub const OPEN: [&'static str; 6] = [
        "pending",
        "accepted",
        "in_progress",
        "waiting",
        "parked",
        "compensating",
    ];

    /// Whether nothing may follow.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Completed | Self::Rejected { .. } | Self::Failed { .. } | Self::Cancelled | Self::TimedOut => true,
            Self::Pending
            | Self::Accepted
            | Self::InProgress
            | Self::Waiting { .. }
            | Self::Parked { .. }
            | Self::Compensating
            | Self::Unknown { .. } => false,
        }
    }

    /// Its code, if it has one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Parked { code } | Self::Rejected { code } | Self::Failed { code } => Some(code),
            Self::Pending
            | Self::Accepted
            | Self::InProgress
            | Self::Waiting { .. }
            | Self::Compensating
            | Self::Completed
            | Self::Cancelled
            | Self::TimedOut
            | Self::Unknown { .. } => None,
        }
    }

    /// Whether a ticket may belong to this status. True for a status of a newer version, to be safe.
    pub fn may_have_a_ticket(&self) -> bool {
        self.is_workable() || matches!(self, Self::Unknown { .. })
    }

    /// Whether a ticket for an agent belongs to this status.
    pub fn is_workable(&self) -> bool {
        matches!(self, Self::Pending | Self::Accepted | Self::InProgress)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { reason } => write!(f, "waiting({})", reason.name()),
            Self::Parked { code } | Self::Rejected { code } | Self::Failed { code } => {
                write!(f, "{}({code})", self.name())
            }
            Self::Pending
            | Self::Accepted
            | Self::InProgress
            | Self::Compensating
            | Self::Completed
            | Self::Cancelled
            | Self::TimedOut
            | Self::Unknown { .. } => f.write_str(self.name()),
        }
    }
}

/// An event that may not follow a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event \"{event}\" may not follow status \"{status}\"")]
pub struct IllegalTransition {
    /// The status, or `none` before the first record.
    pub status: String,
    /// The event.
    pub event: String,
}

/// The status after an event, or why there is none. Only this function decides the life of an intent: the live path,
/// recovery, the projection, the model and the tests all call it.
///
/// # Errors
/// When the event may not follow the status; the intent stays as it was.
pub fn next(status: Option<&Status>, event: &Event) -> Result<Status, IllegalTransition> {
    let found = match status {
        None => first(event),
        Some(status) => faults::planted(status, event).or_else(|| after(status, event)),
    };
    found.ok_or_else(|| IllegalTransition {
        status: status.map_or("none", Status::name).to_owned(),
        event: event.name().to_owned(),
    })
}

/// What may begin an intent.
#[expect(clippy::wildcard_enum_match_arm, reason = "a table: what is not listed is illegal")]
fn first(event: &Event) -> Option<Status> {
    match event {
        Event::Submitted => Some(Status::Pending),
        Event::Rejected { code } => Some(Status::Rejected { code: code.clone() }),
        _ => None,
    }
}

/// What may follow each status.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a table: what is not listed is illegal; the model test walks every pair of status and event"
)]
fn after(status: &Status, event: &Event) -> Option<Status> {
    match status {
        Status::Pending => at_work(status, event).or(match event {
            Event::Claimed => Some(Status::Accepted),
            Event::Started => Some(Status::InProgress),
            _ => None,
        }),
        Status::Accepted | Status::InProgress => at_work(status, event).or(match event {
            Event::Claimed => Some(Status::Accepted),
            Event::Started | Event::Step | Event::Progress => Some(Status::InProgress),
            _ => None,
        }),
        Status::Waiting { .. } => match event {
            Event::Moved | Event::Progress => Some(status.clone()),
            Event::Resumed => Some(Status::Pending),
            _ => adding(status, event).or_else(|| ending(event)),
        },
        Status::Parked { .. } => match event {
            Event::Redriven => Some(Status::Pending),
            Event::Moved => Some(status.clone()),
            Event::Completed | Event::Rejected { .. } => None,
            _ => adding(status, event).or_else(|| ending(event)),
        },
        // Nobody works on the intent itself: its children do the undoing.
        Status::Compensating => match event {
            Event::Progress => Some(status.clone()),
            Event::Parked { code } => Some(Status::Parked { code: code.clone() }),
            Event::Compensated { code: Some(code) } => Some(Status::Failed { code: code.clone() }),
            Event::Compensated { code: None } => Some(Status::Cancelled),
            _ => adding(status, event),
        },
        Status::Completed
        | Status::Rejected { .. }
        | Status::Failed { .. }
        | Status::Cancelled
        | Status::TimedOut
        | Status::Unknown { .. } => None,
    }
}

/// Events that only add to an open intent and keep its status.
#[expect(clippy::wildcard_enum_match_arm, reason = "a table: what is not listed is illegal")]
fn adding(status: &Status, event: &Event) -> Option<Status> {
    match event {
        Event::Signalled | Event::ChildDone | Event::Repinned | Event::Placed | Event::ToppedUp => Some(status.clone()),
        _ => None,
    }
}

/// What may follow while an agent has the work, or could take it.
#[expect(clippy::wildcard_enum_match_arm, reason = "a table: what is not listed is illegal")]
fn at_work(status: &Status, event: &Event) -> Option<Status> {
    match event {
        Event::HandedOff | Event::RetryScheduled | Event::Released | Event::Rerouted | Event::Moved => {
            Some(Status::Pending)
        }
        Event::FannedOut => Some(Status::Waiting {
            reason: WaitReason::Children,
        }),
        Event::Waiting { reason } => Some(Status::Waiting { reason: reason.clone() }),
        _ => adding(status, event).or_else(|| ending(event)),
    }
}

/// What may end an open intent, or set it aside.
#[expect(clippy::wildcard_enum_match_arm, reason = "a table: what is not listed is illegal")]
fn ending(event: &Event) -> Option<Status> {
    match event {
        Event::Completed => Some(Status::Completed),
        Event::Rejected { code } => Some(Status::Rejected { code: code.clone() }),
        Event::Failed { code } => Some(Status::Failed { code: code.clone() }),
        Event::Cancelled => Some(Status::Cancelled),
        Event::TimedOut => Some(Status::TimedOut),
        Event::Parked { code } => Some(Status::Parked { code: code.clone() }),
        Event::Compensating => Some(Status::Compensating),
        _ => None,
    }
}

/// Faults of test builds: transitions that the table lacks.
mod faults {
    use super::{Event, Status};

    #[cfg(not(feature = "mutants"))]
    pub(super) const fn planted(_: &Status, _: &Event) -> Option<Status> {
        None
    }

    #[cfg(feature = "mutants")]
    pub(super) fn planted(status: &Status, event: &Event) -> Option<Status> {
        use crate::base::mutants::Mutant;

        let completes = matches!((status, event), (Status::Parked { .. }, Event::Completed));
        if completes && Mutant::I4ParkedCompletes.is_on() {
            return Some(Status::Completed);
        }
        let is_ended = *status == Status::Completed && Mutant::I3EndsTwice.is_on();
        is_ended.then(|| super::ending(event)).flatten()
    }
}
