//! Agents, their versions and workers: what may be asked about them, and the alarms they raise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::ProtocolRange;
use crate::base::timestamp::Timestamp;
use crate::intent::references::Cause;
use crate::rollout::Rollout;
use crate::version::pinning::Pinning;
use crate::version::route::Canary;
use crate::version::state::VersionState;

/// Shows all agents, or one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListAgents(pub AboutAgent);

/// Sets a bad build aside: its work is paused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuarantineVersion(pub VersionAct);

/// Takes a version back from quarantine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LiftQuarantine(pub VersionAct);

/// Takes a version out of service for good.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RetireVersion(pub VersionAct);

/// Which agent a question is about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AboutAgent {
    /// The agent; none for all, where a question allows that.
    pub agent: Option<AgentName>,
}

impl AboutAgent {
    /// About one agent.
    pub fn one(agent: AgentName) -> Self {
        Self { agent: Some(agent) }
    }
}

/// Which version a question acts on, and on whose behalf.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionAct {
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Who asks.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Agents, as controllers see them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AgentsView {
    /// The agents, by name.
    pub agents: Vec<AgentView>,
}

/// One agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentView {
    /// Its name.
    pub agent: AgentName,
    /// The version that takes new work.
    pub active: AgentVersion,
    /// The version that gets a share of it.
    pub canary: Option<Canary>,
    /// The version that was active before.
    pub previous: Option<AgentVersion>,
    /// How intents that say nothing keep to versions.
    pub pinning: Pinning,
    /// The rollout that is under way, or the last one.
    pub rollout: Option<Rollout>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionView>,
    /// What needs a person.
    pub alarms: Vec<Alarm>,
}

/// One version of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionView {
    /// The version.
    pub version: AgentVersion,
    /// Where it stands.
    pub state: VersionState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Its live workers.
    pub workers: Vec<WorkerView>,
    /// Tickets that wait for a worker.
    pub backlog: u64,
    /// Tickets that a worker has, or that wait for their next attempt.
    pub in_flight: u64,
    /// Open intents that name it, by cause.
    pub open: BTreeMap<Cause, u64>,
    /// The protocol versions that it reads.
    pub protocol: ProtocolRange,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// The channels that it listens to.
    pub channels: Vec<String>,
    /// The kinds that it takes; empty for all.
    pub kinds: Vec<String>,
    /// JSON schemas of kinds, where its workers give them.
    pub schemas: BTreeMap<String, Json>,
    /// Whether its breaker is open: three intents in a row were parked on it within the last minute.
    pub breaker_open: bool,
}

/// One live worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its instance.
    pub instance: String,
    /// How many hops it runs at a time.
    pub concurrency: u32,
    /// How many it runs now.
    pub busy: u32,
    /// Whether it is stopping.
    pub stopping: bool,
    /// When it was last heard.
    pub heard_at: Timestamp,
}

/// Something that needs a person, with the ways out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What a program branches on, such as `DRAIN_WITHOUT_WORKERS`.
    pub code: String,
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Since when.
    pub since: Timestamp,
    /// What is wrong.
    pub message: String,
    /// Commands, each of which helps.
    pub ways_out: Vec<String>,
}
