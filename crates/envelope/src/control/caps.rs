//! What the workers of an agent may spend together in a day.

use serde::{Deserialize, Serialize};

use crate::amounts::Amounts;
use crate::base::ids::IntentId;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;
use crate::version::cap::CapRefused;

/// Sets what the workers of an agent may spend together in a day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetCap {
    /// The agent.
    pub agent: AgentName,
    /// How much of which meter; nothing of one lifts its cap, and one that is absent stays as it is.
    pub per_day: Amounts,
    /// Who asks.
    pub by: String,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an agent may spend in a day, and what it has spent today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapView {
    /// The agent.
    pub agent: AgentName,
    /// What its workers may spend together in a day; a meter that is absent is not bounded.
    pub per_day: Amounts,
    /// The day, in UTC.
    pub day: String,
    /// When it is over.
    pub until: Timestamp,
    /// What was spent today, of calls that are settled.
    pub spent: Amounts,
    /// What calls that are under way may take.
    pub granted: Amounts,
    /// What is left of today.
    pub left: Amounts,
    /// How many intents wait for room.
    pub waiting: u64,
}

/// A worker asks for a call out of the cap of its agent, or says what calls have taken. Without any of these it asks whether
/// anything is left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpendCap {
    /// The agent.
    pub agent: AgentName,
    /// Who asks.
    pub by: String,
    /// The calls that have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settle: Vec<CapSettled>,
    /// The call that is to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<CapAsked>,
    /// What was spent without having been granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<CapCharge>,
}

/// What a call has taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CapSettled {
    /// The call.
    pub id: String,
    /// What it took; all that was granted where that is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Amounts>,
}

/// A call that is to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CapAsked {
    /// Names the call, so that the same question twice is one grant.
    pub id: String,
    /// What it is, such as `step "plan"`.
    pub what: String,
    /// The intent that it is made for.
    pub intent: IntentId,
    /// The epoch of its holder.
    pub epoch: u64,
    /// What it may take.
    pub amounts: Amounts,
}

/// What was spent without having been granted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CapCharge {
    /// Names the charge, so that the same question twice counts once.
    pub id: String,
    /// How much of which meter.
    pub spent: Amounts,
}

/// What a worker is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapAnswer {
    /// Why the call is not granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<CapRefused>>,
    /// Whether nothing is left of a meter: new work is to wait.
    #[serde(default)]
    pub full: bool,
}
