//! Intents: cancelled, or moved from one version to another.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};

/// Moves open work from one version to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MoveIntents {
    /// The agent.
    pub agent: AgentName,
    /// The version that has it.
    pub from: AgentVersion,
    /// The version that gets it.
    pub to: AgentVersion,
    /// Only intents with this status, by its wire name.
    #[serde(default)]
    pub status: Option<String>,
    /// Say what would be moved, and move nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Who asks.
    pub by: String,
}

/// What a move did, or would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MoveView {
    /// The agent.
    pub agent: AgentName,
    /// The version that had the work.
    pub from: AgentVersion,
    /// The version that gets it.
    pub to: AgentVersion,
    /// Whether nothing was moved, because the question was only what would be.
    pub dry_run: bool,
    /// What was moved, or would be.
    pub moved: Vec<MovedView>,
    /// What could not be moved, and why.
    pub failed: Vec<MovedView>,
}

/// One intent of a move.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MovedView {
    /// The intent.
    pub intent: IntentId,
    /// Its status before.
    pub status: String,
    /// What was done, or why it was not.
    pub detail: String,
}

/// Cancels an open intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelIntent {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// A cancelled intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelView {
    /// The intent.
    pub intent: IntentId,
    /// Its status before.
    pub was: String,
    /// The ledger sequence of the record.
    pub seq: u64,
}
