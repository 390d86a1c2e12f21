//! A rollout as a document: its plan and its progress.

use crate::base::names::AgentVersion;
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;
use crate::base::wire_enum::wire_enum;
use crate::version::percent::Percent;

wire_enum! {
    /// The phase of a rollout.
    #[derive(Default)]
    pub enum Phase {
        /// The new version has a share of the new work.
        #[default]
        Ramping = "ramping",
        /// The same, but no step is taken automatically.
        Paused = "paused",
        /// The new version is active, and the old one drains.
        Draining = "draining",
        /// The old version is drained.
        Done = "done",
        /// The old version has the new work again.
        RolledBack = "rolled_back",
        /// A person ended it before the new version was active.
        Aborted = "aborted",
    }
}

impl Phase {
    /// Whether it still decides over the route.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Ramping | Self::Paused)
    }
}

wire_object! {
    /// How much worse the new version may be, and how much must be seen of it. Absent fields have their defaults.
    #[derive(Default)]
    pub struct Margins {
        /// The number of attempts of the new version that a step needs; default 50.
        opt min_hops: u64,
        /// How far its share of failed attempts may exceed the old one's, as a fraction; default 0.01.
        opt failure_margin: f64,
        /// How many times the old version's p95 its own p95 may be; default 1.5.
        opt latency_factor: f64,
        /// A p95 that is longer by less than this many milliseconds is no regression; default 10.
        opt latency_floor_ms: f64,
    }
}

impl Margins {
    /// The number of attempts of the new version that a step needs.
    pub fn min_hops(&self) -> u64 {
        self.min_hops.unwrap_or(50)
    }

    /// How far its share of failed attempts may exceed the old one's, as a fraction.
    pub fn failure_margin(&self) -> f64 {
        self.failure_margin.unwrap_or(0.01)
    }

    /// The p95 allowed for the new version if the old one's is `old_ms`, both in milliseconds.
    pub fn p95_limit_ms(&self, old_ms: f64) -> f64 {
        (old_ms * self.latency_factor.unwrap_or(1.5)).max(old_ms + self.latency_floor_ms.unwrap_or(10.0))
    }
}

wire_object! {
    /// A rollout of one version of an agent, kept in the agent's route.
    pub struct Rollout {
        /// The id of the rollout, new for each.
        req id: String,
        /// The version that was active when it began.
        req from: AgentVersion,
        /// The version to roll out.
        req to: AgentVersion,
        /// Who started it and so decides over it.
        req owner: String,
        /// When it began.
        req started_at: Timestamp,
        /// The shares of the new work, in order; the last is all of it.
        def steps: Vec<Percent>,
        /// The index of the current step, from 0.
        req step: u32,
        /// When the current step began.
        req step_since: Timestamp,
        /// The shortest time that a step takes, in seconds.
        def hold_seconds: u64,
        /// Whether the evidence takes the steps and rolls back; otherwise a person does.
        req auto: bool,
        /// The phase.
        req phase: Phase,
        /// The limits for the evidence.
        def margins: Margins,
        /// When it ended.
        opt ended_at: Timestamp,
    }
}

impl Rollout {
    /// The current share.
    pub fn share(&self) -> Percent {
        let index = usize::try_from(self.step).unwrap_or(usize::MAX);
        self.steps.get(index).copied().unwrap_or_default()
    }

    /// The share of the next step; all of it after the last one.
    pub fn next_share(&self) -> Percent {
        let index = usize::try_from(self.step).unwrap_or(usize::MAX).saturating_add(1);
        self.steps.get(index).copied().unwrap_or(Percent::ALL)
    }
}
