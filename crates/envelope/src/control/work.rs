//! Questions of whoever does the work of a manual version by hand: what there is, and each step on one of it.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::message::envelope::Priority;
use crate::message::object::ObjectRef;

/// How much work a list shows unless the question says otherwise.
const LIMIT: usize = 100;

/// Lists the work of manual versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListWork {
    /// Only that of this agent.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// At most this many, the most urgent first; an answer has at most 1,000.
    #[serde(default = "limit")]
    pub limit: usize,
}

/// Takes the most urgent work that nobody has; of several, what came first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TakeWork {
    /// Only that of this agent.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// How long whoever takes it expects to need, in milliseconds.
    #[serde(default)]
    pub estimate_ms: Option<u64>,
    /// After how many milliseconds a controller gives it back, if it is not done.
    #[serde(default)]
    pub within_ms: Option<u64>,
    /// Who takes it.
    pub by: String,
}

/// Takes a certain piece of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AcceptWork {
    /// The intent.
    pub intent: IntentId,
    /// How long whoever takes it expects to need, in milliseconds.
    #[serde(default)]
    pub estimate_ms: Option<u64>,
    /// After how many milliseconds a controller gives it back, if it is not done.
    #[serde(default)]
    pub within_ms: Option<u64>,
    /// Who takes it.
    pub by: String,
}

/// Begins with accepted work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartWork {
    /// The intent.
    pub intent: IntentId,
    /// Who has it.
    pub by: String,
}

/// Leaves a note on work that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NoteWork {
    /// The intent.
    pub intent: IntentId,
    /// The note.
    pub note: String,
    /// Who has it.
    pub by: String,
}

/// Ends an intent with a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompleteWork {
    /// The intent.
    pub intent: IntentId,
    /// The result.
    #[serde(default)]
    pub result: Json,
    /// `base64` where the result is a string of base64.
    #[serde(default)]
    pub result_encoding: Option<String>,
    /// A note.
    #[serde(default)]
    pub note: Option<String>,
    /// Who has it.
    pub by: String,
}

/// Declines work that nobody has taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RejectWork {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    pub reason: String,
    /// Why, for programs.
    #[serde(default)]
    pub code: Option<String>,
    /// Who declines it.
    pub by: String,
}

/// Ends an intent as failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FailWork {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    pub reason: String,
    /// Why, for programs.
    #[serde(default)]
    pub code: Option<String>,
    /// Who has it.
    pub by: String,
}

/// Hands work to another agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HandOffWork {
    /// The intent.
    pub intent: IntentId,
    /// The agent that gets it.
    pub to: AgentName,
    /// The payload for that agent.
    #[serde(default)]
    pub payload: Json,
    /// `base64` where the payload is a string of base64.
    #[serde(default)]
    pub payload_encoding: Option<String>,
    /// The kind, if it changes.
    #[serde(default)]
    pub kind: Option<String>,
    /// A note.
    #[serde(default)]
    pub note: Option<String>,
    /// Who has it.
    pub by: String,
}

/// Gives work back unfinished.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseWork {
    /// The intent.
    pub intent: IntentId,
    /// Why, in words.
    pub reason: String,
    /// Who gives it back.
    pub by: String,
}

/// The work of manual versions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WorkView {
    /// The work, the most urgent first.
    pub work: Vec<WorkItem>,
    /// How much there is in all.
    pub matched: u64,
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkItem {
    /// The intent.
    pub intent: IntentId,
    /// `pending`, `accepted` or `in_progress`.
    pub status: String,
    /// Who made it: `agent@version`, or a name that the client chose.
    pub from: Option<String>,
    /// The agent that has it.
    pub agent: AgentName,
    /// The version of that agent.
    pub version: AgentVersion,
    /// What is asked for, in words.
    pub task: Option<String>,
    /// The kind of work.
    pub kind: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// Since when it has this status.
    pub since: Timestamp,
    /// Who has it.
    pub holder: Option<String>,
    /// How long the holder expects to take, in milliseconds.
    pub estimate_ms: Option<u64>,
    /// When a controller gives it back, if it is not done.
    pub until: Option<Timestamp>,
    /// When it must be done.
    pub deadline: Option<Timestamp>,
}

/// Work that was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkTaken {
    /// The work, as it is now.
    pub work: WorkItem,
    /// The ledger sequence of the record.
    pub seq: u64,
    /// The work itself.
    pub payload: Json,
    /// `base64` where the payload is a string of base64.
    pub payload_encoding: Option<String>,
    /// The object that is the payload, where it is too large for a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_ref: Option<Box<ObjectRef>>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkDone {
    /// The intent.
    pub intent: IntentId,
    /// Its status before.
    pub was: String,
    /// Its status now.
    pub status: String,
    /// The agent that has the intent now, or had it last.
    pub agent: AgentName,
    /// The version of that agent.
    pub version: AgentVersion,
    /// The ledger sequence of the record.
    pub seq: u64,
}

const fn limit() -> usize {
    LIMIT
}
