//! What keeps a version from being drained: every way in which an open intent refers to it. This is one pure function,
//! so the live path, the projection and the tests count the same.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::mutants::Mutant;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::intent::wait_reason::WaitReason;

/// Why an open intent holds a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its work waits in the version's queue.
    Queued,
    /// A worker of the version holds it.
    Running,
    /// It waits for its next attempt.
    Delayed,
    /// It waits for a person.
    WaitingHuman,
    /// It waits for another agent.
    WaitingAgent,
    /// It waits for a point in time.
    WaitingTime,
    /// It waits for a tool.
    WaitingTool,
    /// It waits for its children.
    WaitingChildren,
    /// It waits for a signal.
    WaitingSignal,
    /// It waits for its turn.
    WaitingOrder,
    /// A person or a script has it, or it waits for one.
    ByHand,
    /// It waits for something that only a newer version of the protocol knows.
    WaitingOther,
    /// The version is quarantined, and its work is held back.
    Paused,
    /// It was set aside for a person.
    Parked,
    /// Completed hops are being undone.
    Compensating,
    /// It is elsewhere now, but pinned to this version if it comes to the agent.
    ChainPinned,
    /// It has a status of a newer version.
    Unknown,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 17] = [
        Self::Queued,
        Self::Running,
        Self::Delayed,
        Self::WaitingHuman,
        Self::WaitingAgent,
        Self::WaitingTime,
        Self::WaitingTool,
        Self::WaitingChildren,
        Self::WaitingSignal,
        Self::WaitingOrder,
        Self::ByHand,
        Self::WaitingOther,
        Self::Paused,
        Self::Parked,
        Self::Compensating,
        Self::ChainPinned,
        Self::Unknown,
    ];

    /// The name in JSON documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Delayed => "delayed",
            Self::WaitingHuman => "waiting_human",
            Self::WaitingAgent => "waiting_agent",
            Self::WaitingTime => "waiting_time",
            Self::WaitingTool => "waiting_tool",
            Self::WaitingChildren => "waiting_children",
            Self::WaitingSignal => "waiting_signal",
            Self::WaitingOrder => "waiting_order",
            Self::ByHand => "by_hand",
            Self::WaitingOther => "waiting_other",
            Self::Paused => "paused",
            Self::Parked => "parked",
            Self::Compensating => "compensating",
            Self::ChainPinned => "chain_pinned",
            Self::Unknown => "unknown",
        }
    }

    /// The cause with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Whether workers of the version can end it on their own.
    pub const fn needs_workers(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Delayed | Self::Compensating)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One way in which an intent holds a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Timestamp,
}

/// Every version that an intent holds open, and why; none for an intent that has ended. The result never has `paused`:
/// the intent does not know that its version is paused. The caller turns `queued` and `delayed` of a quarantined
/// version into `paused`.
pub fn holds(snapshot: &Snapshot) -> Vec<Hold> {
    let is_forgotten = matches!(snapshot.status, Status::Parked { .. }) && Mutant::I8ParkedHoldsNothing.is_on();
    if snapshot.status.is_terminal() || is_forgotten {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let (Some(agent), Some(version)) = (&snapshot.agent, &snapshot.version) {
        found.push(Hold {
            agent: agent.clone(),
            version: version.clone(),
            cause: cause(snapshot),
            since: snapshot.updated_at,
        });
    }
    for (agent, version) in &snapshot.pins {
        if (Some(agent), Some(version)) != (snapshot.agent.as_ref(), snapshot.version.as_ref()) {
            found.push(Hold {
                agent: agent.clone(),
                version: version.clone(),
                cause: Cause::ChainPinned,
                since: snapshot.submitted_at,
            });
        }
    }
    found
}

fn cause(snapshot: &Snapshot) -> Cause {
    match &snapshot.status {
        Status::Pending | Status::Accepted | Status::InProgress if snapshot.is_by_hand() => Cause::ByHand,
        Status::Pending if snapshot.wake_at.is_some() => Cause::Delayed,
        Status::Pending => Cause::Queued,
        Status::Accepted | Status::InProgress => Cause::Running,
        Status::Waiting { reason } => match reason {
            WaitReason::Human => Cause::WaitingHuman,
            WaitReason::Agent => Cause::WaitingAgent,
            WaitReason::Time => Cause::WaitingTime,
            WaitReason::Tool => Cause::WaitingTool,
            WaitReason::Children => Cause::WaitingChildren,
            WaitReason::Signal => Cause::WaitingSignal,
            WaitReason::Order => Cause::WaitingOrder,
            WaitReason::Unknown(_) => Cause::WaitingOther,
        },
        Status::Parked { .. } => Cause::Parked,
        Status::Compensating => Cause::Compensating,
        Status::Completed
        | Status::Rejected { .. }
        | Status::Failed { .. }
        | Status::Cancelled
        | Status::TimedOut
        | Status::Unknown { .. } => Cause::Unknown,
    }
}
