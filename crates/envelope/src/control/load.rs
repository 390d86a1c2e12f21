//! How loaded each version is: what waits in its queue, and the report that the leading controller publishes for
//! everyone who routes work.

use serde::{Deserialize, Serialize};

use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::control::agents::Alarm;
use crate::version::capability::Load;

/// What is queued for a version, over all of its bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Tickets that no worker has been given yet.
    pub backlog: u64,
    /// Tickets that a worker holds, and those that wait to be delivered again.
    pub in_flight: u64,
    /// Pulls of idle workers that wait at the server.
    pub waiting_pulls: u64,
    /// Whether the version is shut, in one band at least.
    #[serde(default)]
    pub shut: bool,
    /// Whether it is open, in one band at least.
    #[serde(default)]
    pub open: bool,
}

/// How loaded every version is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// When it was told.
    pub at: Timestamp,
    /// The versions.
    #[serde(default)]
    pub versions: Vec<VersionLoad>,
    /// What needs a person.
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
    /// Workers that live.
    #[serde(default)]
    pub workers: u32,
    /// Whether its breaker is open: the last sends to it failed.
    #[serde(default)]
    pub breaker_open: bool,
}

impl LoadReport {
    /// The load of a version, where the report has it.
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
