//! Questions about rollouts: plan, start, steer, show.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::control::agents::{AboutAgent, Alarm};
use crate::intent::references::Cause;
use crate::rollout::{Margins, Rollout, Tally};
use crate::version::percent::Percent;
use crate::version::route::{Canary, Decision};
use crate::version::state::VersionState;

/// Runs the checks of a rollout, and starts nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanRollout {
    /// The agent.
    pub agent: AgentName,
    /// The version to roll out.
    pub version: AgentVersion,
    /// How many of the active version's last completed hops to replay on the new version; 0 for none.
    #[serde(default)]
    pub replay: u32,
}

/// Starts a rollout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartRollout {
    /// The id of the rollout. The caller chooses it, so a repeated request is the same rollout.
    pub id: String,
    /// The agent.
    pub agent: AgentName,
    /// The version to roll out.
    pub version: AgentVersion,
    /// The shares of the new work, in order; the last is all of it.
    pub steps: Vec<Percent>,
    /// The shortest time that a step takes, in seconds.
    #[serde(default)]
    pub hold_seconds: u64,
    /// Whether the evidence takes the steps; otherwise a person does.
    #[serde(default)]
    pub auto: bool,
    /// Whether the new version gets all new work at once.
    #[serde(default)]
    pub at_once: bool,
    /// Start even if checks fail.
    #[serde(default)]
    pub force: bool,
    /// The limits for the evidence.
    #[serde(default)]
    pub margins: Margins,
    /// Who asks.
    pub by: String,
}

/// Shows a rollout, the evidence on its two versions, and what still holds versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShowRollout(pub AboutAgent);

/// Takes the next step of a rollout, or all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromoteRollout(pub RolloutAct);

/// Pauses a rollout at its current step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PauseRollout(pub RolloutAct);

/// Resumes a paused rollout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResumeRollout(pub RolloutAct);

/// Ends a rollout. The old version keeps the new work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AbortRollout(pub RolloutAct);

/// Shows every decision on an agent's route.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListDecisions(pub AboutAgent);

/// The rollout that a question steers, and who asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RolloutAct {
    /// The agent.
    pub agent: AgentName,
    /// Who asks.
    pub by: String,
    /// Act even if somebody else owns the rollout.
    #[serde(default)]
    pub take_over: bool,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// For promote: take all steps at once.
    #[serde(default)]
    pub to_end: bool,
}

/// Returns the new work to an older version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RollBack {
    /// The agent.
    pub agent: AgentName,
    /// The version; by default the one that was active before.
    #[serde(default)]
    pub to: Option<AgentVersion>,
    /// Who asks.
    pub by: String,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The checks of a rollout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanView {
    /// The agent.
    pub agent: AgentName,
    /// The active version.
    pub from: AgentVersion,
    /// The version to roll out.
    pub to: AgentVersion,
    /// Whether all checks passed.
    pub passed: bool,
    /// The checks.
    pub checks: Vec<Check>,
    /// The result of the replay, if one was requested.
    pub replay: Option<ReplayView>,
}

/// One check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// Its name, such as `workers`.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What the check found.
    pub detail: String,
    /// What to do if it failed.
    pub fix: Option<String>,
}

/// The results of the old version's hops when replayed on the new version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReplayView {
    /// How many hops to replay.
    pub asked: u32,
    /// How many hops ran.
    pub replayed: u32,
    /// How many had the same result.
    pub same: u32,
    /// Why the new version's worker refused to replay, if it did.
    #[serde(default)]
    pub refused: Option<String>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// One difference between a hop's recorded result and its result on the new version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Difference {
    /// The intent.
    pub intent: IntentId,
    /// The hop.
    pub hop: u32,
    /// What differs: `outcome`, `to`, `payload`, `result`, `step`, `error`.
    pub what: String,
    /// The recorded value.
    pub old: String,
    /// The value on the new version.
    pub new: String,
}

/// A rollout, and what still holds versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// The agent.
    pub agent: AgentName,
    /// The version that takes new work.
    pub active: AgentVersion,
    /// The version that gets a share of the new work.
    pub canary: Option<Canary>,
    /// The running rollout, or the last one.
    pub rollout: Option<Rollout>,
    /// The evidence on the two versions.
    pub evidence: Option<EvidenceView>,
    /// What the rollout waits for, or what happens next.
    pub verdict: Option<String>,
    /// The versions that drain, are drained, or are quarantined.
    pub drains: Vec<DrainView>,
    /// What an operator must attend to.
    pub alarms: Vec<Alarm>,
    /// How many records the projection behind this answer lags the ledger.
    pub behind: u64,
}

/// The evidence on the two versions of a rollout.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EvidenceView {
    /// The old version, since the rollout began.
    pub from: Tally,
    /// The new version, since the rollout began.
    pub to: Tally,
    /// The old version, since the current step began.
    pub from_in_step: Tally,
    /// The new version, since the current step began.
    pub to_in_step: Tally,
}

/// What still holds a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DrainView {
    /// The version.
    pub version: AgentVersion,
    /// The state of the version.
    pub state: VersionState,
    /// When it entered that state.
    pub since: Option<Timestamp>,
    /// Its live workers.
    pub workers: u64,
    /// Open intents that name it.
    pub open: u64,
    /// What holds the version, by cause.
    pub holds: Vec<HoldView>,
    /// Tickets in its queue: waiting, or with a worker.
    pub tickets: u64,
    /// The estimated time until it is drained, in seconds from now, if there is an estimate.
    pub eta_seconds: Option<u64>,
}

/// Open intents that hold a version for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// The cause.
    pub cause: Cause,
    /// How many intents.
    pub count: u64,
    /// The oldest of them.
    pub oldest: IntentId,
    /// Since when the oldest holds the version.
    pub since: Timestamp,
    /// The first few of them, oldest first.
    pub intents: Vec<IntentId>,
}

/// Every decision on an agent's route, newest last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistoryView {
    /// The agent.
    pub agent: AgentName,
    /// The decisions.
    pub decisions: Vec<DecisionView>,
}

/// One decision, and the route after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecisionView {
    /// The revision of the route.
    pub revision: u64,
    /// The decision.
    pub decision: Decision,
    /// The version that took new work after it.
    pub active: AgentVersion,
    /// The version that got a share of it after it.
    pub canary: Option<Canary>,
}
