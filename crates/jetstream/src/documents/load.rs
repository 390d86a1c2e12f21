//! How loaded each version is: the report that the leading controller sends to everyone who follows the routes.

use baton_envelope::{AgentName, AgentVersion, Load, Timestamp};
use serde::{Deserialize, Serialize};

use super::agents::Alarm;

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
