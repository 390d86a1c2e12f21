//! Questions about approvals that only an operator asks. People decide by messages of their own.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::PersonName;

/// Gives the seat of a person in an open approval to somebody else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssignSeat {
    /// The intent.
    pub intent: IntentId,
    /// The wait; may be left out where only one approval is open.
    #[serde(default)]
    pub wait: Option<String>,
    /// Who has the seat.
    pub from: PersonName,
    /// Who gets it.
    pub to: PersonName,
    /// Why, in words.
    #[serde(default)]
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// Decides an open approval in the place of all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OverrideApproval {
    /// The intent.
    pub intent: IntentId,
    /// The wait; may be left out where only one approval is open.
    #[serde(default)]
    pub wait: Option<String>,
    /// The choice.
    pub choice: String,
    /// Why, in words.
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// What an operator did about an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalView {
    /// The intent.
    pub intent: IntentId,
    /// The hop that waits.
    pub hop: u32,
    /// The wait.
    pub wait: String,
    /// The choice that is the outcome, once that is certain.
    pub decided: Option<String>,
    /// Who has not decided yet.
    pub silent: Vec<String>,
    /// The ledger sequence of the record.
    pub seq: u64,
}
