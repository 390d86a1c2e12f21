//! The load of each version: what waits in its queue, and the report that the leading controller publishes for everyone
//! who routes work.

use serde::{Deserialize, Serialize};

use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::control::agents::Alarm;
use crate::version::capability::Load;

/// What a version has queued, over all of its bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Tickets that no worker has yet.
    pub backlog: u64,
    /// Tickets that a worker holds, or that wait for redelivery.
    pub in_flight: u64,
    /// Pulls of idle workers that wait at the server.
    pub waiting_pulls: u64,
    /// Whether the version is paused in at least one band.
    #[serde(default)]
    pub paused: bool,
    /// Whether the version is not paused in at least one band.
    #[serde(default)]
    pub running: bool,
}

/// How loaded every version is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// When the report was made.
    pub at: Timestamp,
    /// The versions.
    #[serde(default)]
    pub versions: Vec<VersionLoad>,
    /// What an operator must attend to.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

/// How loaded one version is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionLoad {
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Tickets that no worker holds.
    #[serde(default)]
    pub backlog: u64,
    /// Live workers.
    #[serde(default)]
    pub workers: u32,
    /// Whether its breaker is open or half open.
    #[serde(default)]
    pub breaker_open: bool,
}

/// Something about the mesh as a whole that needs an operator. Each controller that sees it publishes it when it begins, and
/// once more when it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshAlarm {
    /// What programs branch on, such as `NO_LEADER`.
    pub code: String,
    /// When the condition began.
    pub since: Timestamp,
    /// When it was over; `None` while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What is wrong, or what is right again.
    pub message: String,
    /// Commands; each of them helps.
    pub ways_out: Vec<String>,
}

impl LoadReport {
    /// The load of a version, if the report has it.
    pub fn of(&self, agent: &AgentName, version: &AgentVersion) -> Option<Load> {
        let found = self
            .versions
            .iter()
            .find(|load| load.agent == *agent && load.version == *version)?;
        Some(Load {
            backlog: found.backlog,
            workers: found.workers,
            breaker_open: found.breaker_open,
        })
    }
}
