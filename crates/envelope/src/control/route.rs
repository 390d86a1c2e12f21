//! Questions about an agent's route: set it by hand, explain it.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};
use crate::control::agents::VersionAct;
use crate::version::pinning::Pinning;

/// Makes a version the one that takes new work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SetRoute(pub VersionAct);

/// Sets the pinning for intents of an agent that set none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetPinning {
    /// The agent.
    pub agent: AgentName,
    /// `hop` or `chain`.
    pub pinning: Pinning,
    /// Who asks.
    pub by: String,
}

/// Asks which version would take work, and why.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExplainRoute {
    /// The agent; absent to choose by capabilities.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// The capabilities that the work needs.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// An intent whose root, pins and path apply.
    #[serde(default)]
    pub intent: Option<IntentId>,
    /// The kind of work.
    #[serde(default)]
    pub kind: Option<String>,
}

/// Which version would take work, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainView {
    /// The agent that would take it.
    pub agent: Option<AgentName>,
    /// The version that would take it.
    pub version: Option<AgentVersion>,
    /// Why this version, or why none.
    pub why: String,
    /// Every version considered.
    pub candidates: Vec<Candidate>,
}

/// A version that was considered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Whether it can take the work.
    pub able: bool,
    /// Why, or why not.
    pub reason: String,
    /// Tickets that wait for this version.
    pub backlog: u64,
    /// Its live workers.
    pub workers: u64,
    /// Whether its breaker is open.
    pub breaker_open: bool,
}
