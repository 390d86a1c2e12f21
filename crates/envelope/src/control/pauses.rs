//! Questions that stop work and let it go on: of one intent, and of an agent or one of its versions.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};

/// Sets an open intent aside until somebody resumes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PauseIntent {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// Lets a paused intent go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResumeIntent {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who asks.
    pub by: String,
}

/// Starts the next attempt of an intent now, whatever delay it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RetryIntent {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who asks.
    pub by: String,
}

/// An intent that was paused, resumed or retried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedView {
    /// The intent.
    pub intent: IntentId,
    /// Its status before, such as `in_progress` or `parked(PAUSED)`.
    pub was: String,
    /// Its status now.
    pub now: String,
    /// The version that has it.
    pub version: Option<AgentVersion>,
    /// The ledger sequence of the record that says so.
    pub seq: u64,
}

/// Stops the deliveries of an agent, or of one version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PauseAgent(pub AgentAct);

/// Starts the deliveries of an agent, or of one version, again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResumeAgent(pub AgentAct);

/// Stops the deliveries of an agent, or of one version, and takes what runs from its workers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KillAgent(pub AgentAct);

/// The agent that a question acts on, and who asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentAct {
    /// The agent.
    pub agent: AgentName,
    /// The version; `None` for all of them, also those that are still to come.
    #[serde(default)]
    pub version: Option<AgentVersion>,
    /// Who asks, such as `user@host`.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a kill did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillView {
    /// The agent.
    pub agent: AgentName,
    /// The version; `None` for all of them.
    pub version: Option<AgentVersion>,
    /// How many intents were taken from whoever ran them, or might have. Each waits for the resume.
    pub fenced: u64,
    /// How many live workers were told.
    pub workers: u64,
}
