//! Questions about how an agent's failures are treated: its policy, and the breakers of its versions.

use serde::{Deserialize, Serialize};

use crate::base::names::{AgentName, AgentVersion};
use crate::version::policy::Policy;

/// Changes the failure policy of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetPolicy {
    /// The agent.
    pub agent: AgentName,
    /// The fields to set; the others stay as they are.
    #[serde(default)]
    pub set: Policy,
    /// Forget first what was set before.
    #[serde(default)]
    pub reset: bool,
    /// Who asks.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Forget first the gate that was set before, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_gate: bool,
}

/// Opens or closes the breaker of a version by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetBreaker {
    /// The agent.
    pub agent: AgentName,
    /// The version; by default the one that takes new work.
    #[serde(default)]
    pub version: Option<AgentVersion>,
    /// `true` opens it until somebody closes it, `false` closes it.
    pub open: bool,
    /// Who asks.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
}
