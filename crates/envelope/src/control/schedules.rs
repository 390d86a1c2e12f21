//! Questions about schedules: add, list, show, pause, resume and remove them, and fire one out of turn.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::json::Json;
use crate::base::names::{AgentName, ScheduleName};
use crate::base::timestamp::Timestamp;
use crate::message::envelope::Priority;
use crate::schedule::{Missed, Overlap, Schedule};

/// Adds a schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddSchedule {
    /// Its name, which no other schedule has.
    pub name: ScheduleName,
    /// The agent that gets the work.
    pub agent: AgentName,
    /// When it fires, as a cron expression; or else `every_ms`.
    #[serde(default)]
    pub cron: Option<String>,
    /// The time zone of the expression; `UTC` when absent.
    #[serde(default)]
    pub tz: Option<String>,
    /// The time between two firings, in milliseconds, at least 1,000.
    #[serde(default)]
    pub every_ms: Option<u64>,
    /// The longest time that a firing is put off, in milliseconds.
    #[serde(default)]
    pub jitter_ms: u64,
    /// The last nominal time that may be.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What becomes of firings that nobody made in time.
    #[serde(default)]
    pub missed: Missed,
    /// What becomes of firings while the last one's intent is open.
    #[serde(default)]
    pub overlap: Overlap,
    /// The kind of work.
    #[serde(default)]
    pub kind: Option<String>,
    /// The priority.
    #[serde(default)]
    pub priority: Priority,
    /// How long after its nominal time the work must be done, in milliseconds.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// The work itself.
    #[serde(default)]
    pub payload: Json,
    /// `base64` when the payload is a string of base64 because it was not text.
    #[serde(default)]
    pub payload_encoding: Option<String>,
    /// Who asks.
    pub by: String,
}

/// Lists the schedules.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ListSchedules {}

/// Shows one schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShowSchedule {
    /// The schedule.
    pub name: ScheduleName,
    /// How many of its next firings to tell, at most 1,000.
    #[serde(default = "few")]
    pub next: usize,
}

/// How many firings are told where nobody says how many.
fn few() -> usize {
    5
}

/// An act on a schedule as a whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScheduleAct {
    /// The schedule.
    pub name: ScheduleName,
    /// Who asks.
    pub by: String,
}

/// Lets a schedule stand still.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PauseSchedule(pub ScheduleAct);

/// Lets a schedule go on. What it would have fired meanwhile is not made up for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResumeSchedule(pub ScheduleAct);

/// Removes a schedule. The intents that it has fired go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoveSchedule(pub ScheduleAct);

/// Fires a schedule out of turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSchedule {
    /// The schedule.
    pub name: ScheduleName,
    /// When it was asked for: a repeat with the same time is the same firing.
    pub at: Timestamp,
    /// Who asks.
    pub by: String,
}

/// Makes every firing of a span of the past that was not made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackfillSchedule {
    /// The schedule.
    pub name: ScheduleName,
    /// The first nominal time that may be.
    pub from: Timestamp,
    /// The last one, which may not be in the future.
    pub to: Timestamp,
    /// Who asks.
    pub by: String,
}

/// The schedules.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SchedulesView {
    /// Each with its next firing, by name.
    pub schedules: Vec<ScheduleView>,
}

/// A schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ScheduleView {
    /// The schedule, as it is stored.
    pub schedule: Schedule,
    /// The nominal times of its next firings.
    pub next: Vec<Timestamp>,
    /// The status of the intent of the last firing; `None` where there is none, or it was not asked for.
    pub status: Option<String>,
}

/// What became of firings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FiringsView {
    /// The schedule.
    pub name: ScheduleName,
    /// The firings, oldest first.
    pub firings: Vec<FiringView>,
}

/// One firing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringView {
    /// The nominal time.
    pub at: Timestamp,
    /// Its intent.
    pub intent: IntentId,
    /// `new`; `before`: it was made before; or `late`: its deadline has passed, and it was not made.
    pub outcome: String,
}
