//! What is asked and answered about an agent's route.

use baton_envelope::{AgentName, AgentVersion, IntentId, Pinning};
use serde::{Deserialize, Serialize};

/// Sets how intents of an agent keep to versions that say nothing of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PinningRequest {
    /// The agent.
    pub agent: AgentName,
    /// `hop` or `chain`.
    pub pinning: Pinning,
    /// Who asks.
    pub by: String,
}

/// Asks which version would take work, and why.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The agent; or capabilities.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// The capabilities that are needed.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// An intent whose root, pins and path count.
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
    /// The version of it.
    pub version: Option<AgentVersion>,
    /// Why; or why none would.
    pub why: String,
    /// Everything that was looked at.
    pub candidates: Vec<Candidate>,
}

/// A version that could take work, or could not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Whether it could.
    pub able: bool,
    /// Why, or why not.
    pub reason: String,
    /// Tickets that wait for it.
    pub backlog: u64,
    /// Its live workers.
    pub workers: u64,
    /// Whether its breaker is open.
    pub breaker_open: bool,
}
