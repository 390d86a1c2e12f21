//! A rollout as a document: its plan, and where it stands.

use crate::base::names::AgentVersion;
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;
use crate::base::wire_enum::wire_enum;
use crate::version::percent::Percent;

wire_enum! {
    /// Where a rollout stands.
    #[derive(Default)]
    pub enum Phase {
        /// The new version has a share of the new work.
        #[default]
        Ramping = "ramping",
        /// Likewise, and nothing is decided by itself.
        Paused = "paused",
        /// The new version is active, and the old one drains.
        Draining = "draining",
        /// The old version is drained.
        Done = "done",
        /// The old version has the new work again.
        RolledBack = "rolled_back",
        /// Ended by a person before the new version was active.
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
    /// How much worse the new version may be, and how much must be seen of it. What is left out has its default.
    #[derive(Default)]
    pub struct Margins {
        /// Attempts of the new version that a step needs; default 50.
        opt min_hops: u64,
        /// By how much its share of failed attempts may pass the old one's, as a fraction; default 0.01.
        opt failure_margin: f64,
        /// How many times the old one's p95 its p95 may be; default 1.5.
        opt latency_factor: f64,
        /// A p95 that is longer by less than this is no regression, in milliseconds; default 10.
        opt latency_floor_ms: f64,
    }
}

impl Margins {
    /// Attempts of the new version that a step needs.
    pub fn min_hops(&self) -> u64 {
        self.min_hops.unwrap_or(50)
    }

    /// By how much its share of failed attempts may pass the old one's.
    pub fn failure_margin(&self) -> f64 {
        self.failure_margin.unwrap_or(0.01)
    }

    /// The p95 that the new version may have, in milliseconds, when the old one has this.
    pub fn p95_limit_ms(&self, old_ms: f64) -> f64 {
        (old_ms * self.latency_factor.unwrap_or(1.5)).max(old_ms + self.latency_floor_ms.unwrap_or(10.0))
    }
}

wire_object! {
    /// A rollout of one version of an agent, kept in the agent's route.
    pub struct Rollout {
        /// Which one: a new id for each.
        req id: String,
        /// The version that was active when it began.
        req from: AgentVersion,
        /// The version that is rolled out.
        req to: AgentVersion,
        /// Who started it, and so decides over it.
        req owner: String,
        /// When it began.
        req started_at: Timestamp,
        /// The shares of the new work, one after the other; the last one is all of it.
        def steps: Vec<Percent>,
        /// Which of them is in force, from 0.
        req step: u32,
        /// Since when.
        req step_since: Timestamp,
        /// How long a step takes at least, in seconds.
        def hold_seconds: u64,
        /// Whether steps are taken, and rolled back, by the evidence; else by a person.
        req auto: bool,
        /// Where it stands.
        req phase: Phase,
        /// What the evidence is held against.
        def margins: Margins,
        /// When it ended.
        opt ended_at: Timestamp,
    }
}

impl Rollout {
    /// The share that is in force.
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
