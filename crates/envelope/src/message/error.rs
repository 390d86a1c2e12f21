//! Why an envelope has no successor, or cannot be written for its receiver.

use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::{Protocol, ProtocolRange};

/// A handoff that would exceed `max_hops`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hop {hop} to agent \"{to}\" would pass max_hops {max_hops}")]
pub struct HopLimit {
    /// The receiver of the handoff.
    pub to: AgentName,
    /// The number of the hop.
    pub hop: u32,
    /// The limit of this intent.
    pub max_hops: u32,
}

/// A successor that drops or alters the must-carry constraints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the must-carry constraints were altered (hash {found}, expected {expected})")]
pub struct MustCarryBroken {
    /// The hash that the predecessor carries.
    pub expected: String,
    /// The hash of what the successor carries.
    pub found: String,
}

/// A form in which this build cannot write an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "protocol {form} is no form that this build writes; it writes {}",
    ProtocolRange::of_forms()
)]
pub struct UnknownForm {
    /// The requested form.
    pub form: Protocol,
}

/// A handoff between a sender and a receiver with no common major version of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "agent \"{agent}\" in version {version} reads protocol {receiver}, and the sender writes {sender}: they have no major \
     version in common; route the work to a version of \"{agent}\" that reads {sender}, or upgrade the sender to one that \
     writes {receiver}"
)]
pub struct NoCommonProtocol {
    /// The receiver of the handoff.
    pub agent: AgentName,
    /// The version of that agent.
    pub version: AgentVersion,
    /// The versions that the sender writes.
    pub sender: ProtocolRange,
    /// The versions that the receiver reads.
    pub receiver: ProtocolRange,
}
