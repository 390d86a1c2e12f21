//! Questions about agents, their versions and workers, and the alarms of versions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::ProtocolRange;
use crate::base::timestamp::Timestamp;
use crate::control::caps::CapView;
use crate::intent::references::Cause;
use crate::rollout::Rollout;
use crate::version::breaker::Breaker;
use crate::version::pinning::Pinning;
use crate::version::policy::Policy;
use crate::version::route::{Canary, Pause};
use crate::version::state::VersionState;
use crate::version::view_size::ViewSize;

/// Shows all agents, or one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListAgents(pub AboutAgent);

/// Quarantines a bad build: its work is paused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuarantineVersion(pub VersionAct);

/// Lifts a quarantine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LiftQuarantine(pub VersionAct);

/// Takes a version out of service. The version keeps its entry, for the audit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RetireVersion(pub VersionAct);

/// Removes a retired version from the route of its agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ForgetVersion(pub VersionAct);

/// Sets what all workers of an agent may do together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetLimits {
    /// The agent.
    pub agent: AgentName,
    /// How many hops they run at a time; 0 lifts the limit, absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// How many hops they start in an hour; 0 lifts the limit, absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_hour: Option<u64>,
    /// Who asks.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// How many intents with one order key they have at a time; 0 lifts the limit, and then it is 1; absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_key: Option<u32>,
    /// How many intents wait in their queues at a time, the others in turn of their submitters; 0 ends that, absent leaves it
    /// as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fair: Option<u32>,
    /// How many intents with one order key have their turn in an hour; 0 lifts the limit, absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_rate_per_hour: Option<u64>,
}

/// Makes a version known before any worker of it has come, or says whether its work is done by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddVersion {
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Whether a person or a script does its work, and no worker.
    #[serde(default)]
    pub manual: bool,
    /// What it can do; empty leaves what is known.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The kinds that it takes; empty leaves what is known.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Who asks, such as `user@host`.
    pub by: String,
}

/// The agent that a question is about.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AboutAgent {
    /// The agent; `None` for all, where a question allows that.
    pub agent: Option<AgentName>,
}

impl AboutAgent {
    /// A question about one agent.
    pub fn one(agent: AgentName) -> Self {
        Self { agent: Some(agent) }
    }
}

/// The version that a question acts on, and who asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionAct {
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// Who asks, such as `user@host`.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Agents, as the controllers see them.
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
    /// The version that gets a share of the new work.
    pub canary: Option<Canary>,
    /// The version that was active before.
    pub previous: Option<AgentVersion>,
    /// How intents that set no pinning choose versions.
    pub pinning: Pinning,
    /// The running rollout, or the last one.
    pub rollout: Option<Rollout>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionView>,
    /// What an operator must attend to.
    pub alarms: Vec<Alarm>,
    /// Who paused the whole agent, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// The failure policy that an operator has set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// What its workers may spend together in a day, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<CapView>,
}

/// One version of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionView {
    /// The version.
    pub version: AgentVersion,
    /// The state of the version.
    pub state: VersionState,
    /// When it entered that state.
    pub since: Option<Timestamp>,
    /// Why it entered that state.
    pub reason: Option<String>,
    /// Its live workers.
    pub workers: Vec<WorkerView>,
    /// Tickets that no worker has yet.
    pub backlog: u64,
    /// Tickets that a worker has, or that wait for redelivery.
    pub in_flight: u64,
    /// Open intents that name it, by cause.
    pub open: BTreeMap<Cause, u64>,
    /// The protocol versions it reads.
    pub protocol: ProtocolRange,
    /// What it can do, by name.
    pub capabilities: Vec<String>,
    /// The channels it listens to.
    pub channels: Vec<String>,
    /// The kinds of work it takes; empty for all.
    pub kinds: Vec<String>,
    /// JSON schemas of kinds, where its workers declare them.
    pub schemas: BTreeMap<String, Json>,
    /// Whether its breaker is open or half open: no ticket of it is written, but that of a probe.
    pub breaker_open: bool,
    /// Who paused this version, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Whether its work is done by hand.
    #[serde(default, skip_serializing_if = "is_false")]
    pub manual: bool,
    /// What its views are cut to, where its workers say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ViewSize>,
    /// Its breaker, where it was ever open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// The failure policy that its workers declare, where it differs from the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it leaves out by reference"
)]
fn is_false(yes: &bool) -> bool {
    !*yes
}

/// One live worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerView {
    /// The instance id of its process.
    pub instance: String,
    /// How many hops it runs at a time.
    pub concurrency: u32,
    /// How many hops it runs now.
    pub busy: u32,
    /// Whether it is stopping.
    pub stopping: bool,
    /// The time of its last heartbeat, by the worker's clock.
    pub heard_at: Timestamp,
    /// By how many milliseconds the clock of its machine is ahead of the server's, where that is two seconds or more;
    /// negative where it is behind.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clock_ahead_ms: i64,
    /// The name of its machine, where its clock is off and the worker names the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
}

impl WorkerView {
    /// By how much the clock of its machine is off, in words; `None` where it is right.
    pub fn clock(&self) -> Option<String> {
        let apart = Duration::from_millis(self.clock_ahead_ms.unsigned_abs());
        if apart.is_zero() {
            return None;
        }
        let machine = match &*self.host {
            "" => "of its machine".to_owned(),
            host => format!("of {host}"),
        };
        let side = if self.clock_ahead_ms < 0 { "behind" } else { "ahead of" };
        Some(format!(
            "the clock {machine} is {:.1} s {side} the server's",
            apart.as_secs_f64()
        ))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it leaves out by reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Something that needs an operator, with commands that help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What programs branch on, such as `DRAIN_WITHOUT_WORKERS`.
    pub code: String,
    /// The agent.
    pub agent: AgentName,
    /// The version.
    pub version: AgentVersion,
    /// When the condition began.
    pub since: Timestamp,
    /// What is wrong.
    pub message: String,
    /// Commands; each of them helps.
    pub ways_out: Vec<String>,
    /// Whether it cannot wait. One that gets critical is told of again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
}
