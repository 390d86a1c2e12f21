//! What is asked and answered about agents, their versions and workers, and the alarms they raise.

use std::collections::BTreeMap;

use baton_envelope::{
    AgentName, AgentVersion, Canary, Cause, Json, Pinning, ProtocolRange, Rollout, Timestamp, VersionState,
};
use serde::{Deserialize, Serialize};

/// Names an agent, or none for all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AboutAgent {
    /// The agent.
    pub agent: Option<AgentName>,
}

/// An act on one version: retire, quarantine, lift, set as route.
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
