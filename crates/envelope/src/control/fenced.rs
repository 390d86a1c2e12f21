//! What a worker process is told on its own subject: which of its hops are its no longer.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;

/// The most intents that one message names.
pub const MOST_FENCED: usize = 1_000;

/// The intents whose hop was taken from its holder. A worker that runs one of them reads the ledger and stops at once
/// where that says so; it believes nothing else of this. Whoever misses it finds out when it next writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// The intents.
    pub fenced: Vec<IntentId>,
}
