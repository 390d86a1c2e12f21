//! Questions about intents: cancel one, or move work from one version to another.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};

/// Moves open work from one version to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MoveIntents {
    /// The agent.
    pub agent: AgentName,
    /// The version that has the work.
    pub from: AgentVersion,
    /// The version that gets the work.
    pub to: AgentVersion,
    /// Only intents with this status, by its wire name.
    #[serde(default)]
    pub status: Option<String>,
    /// Report what would move, and move nothing.
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
    /// Whether this was a dry run, so nothing moved.
    pub dry_run: bool,
    /// The intents that moved, or would move.
    pub moved: Vec<MovedView>,
    /// The intents that could not move, and why.
    pub failed: Vec<MovedView>,
}

/// One intent of a move.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MovedView {
    /// The intent.
    pub intent: IntentId,
    /// Its status before the move.
    pub status: String,
    /// What the move did, or why it did nothing.
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
    /// Its status before, such as `pending` or `waiting(human)`.
    pub was: String,
    /// The ledger sequence of the `cancelled` record.
    pub seq: u64,
}
