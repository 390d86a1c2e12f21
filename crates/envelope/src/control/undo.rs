//! The question to cancel an intent once what it did is undone.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;

/// Cancels an open intent, and undoes what it did first. (A controller that does not know this refuses it: it would cancel and
/// undo nothing.)
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UndoIntent {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// An intent that is undone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UndoView {
    /// The intent.
    pub intent: IntentId,
    /// Its status before, such as `pending` or `waiting(human)`.
    pub was: String,
    /// Its status now: `compensating`, or `cancelled` where there was nothing to undo.
    pub now: String,
    /// The ledger sequence of the record.
    pub seq: u64,
}
