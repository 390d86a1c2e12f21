//! Adding to the budget of an intent.

use serde::{Deserialize, Serialize};

use crate::amounts::TopUp;
use crate::base::ids::IntentId;
use crate::message::parts::Budget;

/// Adds to the budget of an open intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopUpIntent {
    /// The intent. A child gets it from what its parent has.
    pub intent: IntentId,
    /// How much of which meter, and the id of the request: one that comes again changes nothing.
    pub top_up: TopUp,
    /// Why, in words.
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// What a top-up came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopUpView {
    /// The intent.
    pub intent: IntentId,
    /// The ledger sequence of the `topped_up` record; absent when the request was recorded before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The parent that has lent it, where the intent is a child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent_by: Option<IntentId>,
    /// The budget after it.
    pub budget: Box<Budget>,
}
