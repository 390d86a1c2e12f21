//! Questions about intents: submit, redrive or cancel one, or move work from one version to another.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};
use crate::message::envelope::{Envelope, MaxHops};
use crate::message::unique::Unique;

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

/// Submits an intent, for whoever may not write to the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitIntent {
    /// The envelope, as a client makes it: at hop 1.
    pub envelope: Envelope,
    /// What the agent must be able to do; a controller then chooses the agent. Empty for the agent that the envelope names.
    #[serde(default)]
    pub needed: Vec<String>,
    /// Whether the intent's id was made for this submit alone.
    #[serde(default)]
    pub generated_id: bool,
    /// Who asks.
    pub by: String,
}

/// What became of a submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitView {
    /// The intent.
    pub intent: IntentId,
    /// The agent that got it; `None` where it went to none.
    pub agent: Option<AgentName>,
    /// `new`, `repeated` (the same work was submitted under this id before), `conflict` (other work was) or, of a unique
    /// key, `kept` (this intent holds it already).
    pub outcome: String,
    /// The ledger sequence of its record if it is new, else that of its last record.
    pub seq: u64,
    /// The first field in which the work differs, for `conflict`, where that can be told.
    pub field: Option<String>,
}

/// Puts a parked intent back, or publishes a rejected raw intent again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RedriveIntent {
    /// The intent.
    pub intent: IntentId,
    /// The version that gets it; by default the one that takes new work.
    #[serde(default)]
    pub version: Option<AgentVersion>,
    /// A new limit on hops.
    #[serde(default)]
    pub max_hops: Option<MaxHops>,
    /// Who asks.
    pub by: String,
}

/// What a redrive did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveView {
    /// The intent.
    pub intent: IntentId,
    /// The version that gets it; `None` for a raw intent that was published again.
    pub version: Option<AgentVersion>,
    /// The ledger sequence of the `redriven` record; `None` as for `version`.
    pub seq: Option<u64>,
    /// The id under which a raw intent was published again.
    pub new_intent: Option<IntentId>,
    /// Whether it goes on to be undone, and no agent gets it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undoes: bool,
}

/// Submits an intent that is to be the only one of its agent under a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitUnique {
    /// The envelope, as a client makes it: at hop 1, for an agent that it names.
    pub envelope: Envelope,
    /// The key, and what to do if other work holds it.
    pub unique: Unique,
    /// Who asks.
    pub by: String,
}
