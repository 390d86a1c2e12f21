//! The question that begins an intent again from one of its hops.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::AgentName;

/// Makes a new intent of a hop of another one, as that hop received its work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestartIntent {
    /// The intent, open or closed.
    pub intent: IntentId,
    /// Its hop, from 1.
    pub hop: u32,
    /// The id of the new intent; by default one that is made of the old.
    #[serde(default)]
    pub id: Option<IntentId>,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who asks.
    pub by: String,
}

/// A restarted intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartView {
    /// The new intent.
    pub intent: IntentId,
    /// The intent that it was made of.
    pub from: IntentId,
    /// The hop of that one.
    pub hop: u32,
    /// The agent that has it.
    pub agent: AgentName,
    /// The ledger sequence of the new intent's first record.
    pub seq: u64,
    /// The ledger sequence of the note on the old intent; `None` where that has ended.
    pub noted: Option<u64>,
}
