//! Rollouts: planned, started, steered, shown.

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
    /// How many of the last completed hops of the active version to run on it; 0 for none.
    #[serde(default)]
    pub replay: u32,
}

/// Starts a rollout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartRollout {
    /// The id of the rollout. Whoever asks chooses it, so that a repeat is the same rollout.
    pub id: String,
    /// The agent.
    pub agent: AgentName,
    /// The version to roll out.
    pub version: AgentVersion,
    /// The shares of the new work, one after the other; the last one is all of it.
    pub steps: Vec<Percent>,
    /// How long a step takes at least, in seconds.
    #[serde(default)]
    pub hold_seconds: u64,
    /// By evidence; else by hand.
    #[serde(default)]
    pub auto: bool,
    /// All of the new work at once.
    #[serde(default)]
    pub at_once: bool,
    /// Start although checks fail.
    #[serde(default)]
    pub force: bool,
    /// What the evidence is held against.
    #[serde(default)]
    pub margins: Margins,
    /// Who asks.
    pub by: String,
}

/// Shows a rollout, what was seen of its two versions, and what still holds versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShowRollout(pub AboutAgent);

/// Takes the next step of a rollout, or all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromoteRollout(pub RolloutAct);

/// Keeps a rollout at its step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PauseRollout(pub RolloutAct);

/// Lets a paused rollout go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResumeRollout(pub RolloutAct);

/// Ends a rollout; the old version keeps the new work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AbortRollout(pub RolloutAct);

/// Shows every decision on an agent's route.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListDecisions(pub AboutAgent);

/// Which rollout a question steers, and on whose behalf.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RolloutAct {
    /// The agent.
    pub agent: AgentName,
    /// Who asks.
    pub by: String,
    /// Do it although somebody else owns the rollout.
    #[serde(default)]
    pub take_over: bool,
    /// Why, in words.
    #[serde(default)]
    pub reason: Option<String>,
    /// For promote: all steps at once.
    #[serde(default)]
    pub to_end: bool,
}

/// Gives the new work back to an older version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RollBack {
    /// The agent.
    pub agent: AgentName,
    /// The version; by default the one before.
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
    /// What the replay showed, where one was asked for.
    pub replay: Option<ReplayView>,
}

/// One check.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// Its name, such as `workers`.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What was found.
    pub detail: String,
    /// What to do where it failed.
    pub fix: Option<String>,
}

/// What hops of the old version came to on the new one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReplayView {
    /// How many were asked for.
    pub asked: u32,
    /// How many were run.
    pub replayed: u32,
    /// How many came to the same.
    pub same: u32,
    /// Why the new version's worker does not replay, where it does not.
    #[serde(default)]
    pub refused: Option<String>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// One difference between what a hop came to and what it comes to on the new version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Difference {
    /// The intent.
    pub intent: IntentId,
    /// The hop.
    pub hop: u32,
    /// What differs: `outcome`, `to`, `payload`, `result`, `step`, `error`.
    pub what: String,
    /// As it was.
    pub old: String,
    /// As it is on the new version.
    pub new: String,
}

/// A rollout, and what still holds versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// The agent.
    pub agent: AgentName,
    /// The version that takes new work.
    pub active: AgentVersion,
    /// The version that gets a share of it.
    pub canary: Option<Canary>,
    /// The rollout that is under way, or the last one.
    pub rollout: Option<Rollout>,
    /// What was seen of the two versions.
    pub evidence: Option<EvidenceView>,
    /// What the rollout waits for, or what will be done.
    pub verdict: Option<String>,
    /// The versions that drain, are drained, or are quarantined.
    pub drains: Vec<DrainView>,
    /// What needs a person.
    pub alarms: Vec<Alarm>,
    /// How many records the projection that this rests on is behind the ledger.
    pub behind: u64,
}

/// What was seen of the two versions of a rollout.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EvidenceView {
    /// The old version, since the rollout began.
    pub from: Tally,
    /// The new version, since the rollout began.
    pub to: Tally,
    /// The old version, since the present step began.
    pub from_in_step: Tally,
    /// The new version, since the present step began.
    pub to_in_step: Tally,
}

/// What still holds a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DrainView {
    /// The version.
    pub version: AgentVersion,
    /// Where it stands.
    pub state: VersionState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Its live workers.
    pub workers: u64,
    /// Open intents that name it.
    pub open: u64,
    /// Why, by cause.
    pub holds: Vec<HoldView>,
    /// Tickets in its queue: waiting, or with a worker.
    pub tickets: u64,
    /// When it will be drained at the present pace, in seconds from now, where that can be said.
    pub eta_seconds: Option<u64>,
}

/// Open intents that hold a version for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// The cause.
    pub cause: Cause,
    /// How many.
    pub count: u64,
    /// The oldest of them.
    pub oldest: IntentId,
    /// Since when that one does.
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
