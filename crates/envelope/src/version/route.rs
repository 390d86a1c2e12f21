//! Which version of an agent takes new work, what is known of each version, and what workers declare.

use std::collections::BTreeMap;

use crate::amounts::Amounts;
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion, ChannelName};
use crate::base::protocol::ProtocolRange;
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;
use crate::version::breaker::Withheld;
use crate::version::limits::AgentLimits;
use crate::version::percent::Percent;
use crate::version::pinning::Pinning;
use crate::version::policy::Policy;
use crate::version::rollout::Rollout;
use crate::version::state::VersionState;
use crate::version::view_size::ViewSize;

wire_object! {
    /// A version that gets a share of the new work beside the active one.
    pub struct Canary {
        /// The version.
        req version: AgentVersion,
        /// Its share of the chains, chosen by a hash of the root intent.
        req percent: Percent,
    }
}

wire_object! {
    /// What is known of one version of an agent.
    #[derive(Default)]
    pub struct VersionEntry {
        /// The state of the version.
        def state: VersionState,
        /// When it entered that state.
        opt since: Timestamp,
        /// Why it entered that state, in words.
        opt reason: String,
        /// The capabilities that its workers declare.
        def capabilities: Vec<String>,
        /// The channels that its workers listen to.
        def channels: Vec<String>,
        /// The kinds that its workers take; empty for all.
        def kinds: Vec<String>,
        /// The protocol versions that its workers read.
        def protocol: ProtocolRange,
        /// While its work is being moved away: the latest time until which its consumers stay paused.
        opt moving_until: Timestamp,
        /// Who paused this version, if somebody did.
        opt paused: Pause,
        /// Whether a person or a script does its work, and no worker.
        def manual: bool,
        /// While its breaker is not closed: that no ticket of it is written.
        opt withheld: Withheld,
        /// What the views of its workers are cut to, where they say so.
        opt context: ViewSize,
    }
}

wire_object! {
    /// Deliveries that somebody stopped, until somebody resumes them.
    pub struct Pause {
        /// Who did so.
        req by: String,
        /// When.
        req at: Timestamp,
        /// Why, in words.
        opt reason: String,
        /// Whether what runs is fenced out, too.
        def kill: bool,
        /// When all of that was fenced out; absent while it is being done.
        opt killed_at: Timestamp,
        /// How many intents that were.
        def fenced: u64,
    }
}

wire_object! {
    /// The decision that made a revision of a route, with its numbers.
    pub struct Decision {
        /// What was decided: `declared`, `started`, `advanced`, `promoted`, `paused`, `rolled_back`, and so on.
        req what: String,
        /// Who or what decided it.
        req by: String,
        /// When.
        req at: Timestamp,
        /// The version it is about.
        opt version: AgentVersion,
        /// Why, in words.
        opt reason: String,
        /// The numbers behind it.
        opt numbers: Json,
    }
}

wire_object! {
    /// The route of one agent, stored under the agent's name in the routes bucket. Only controllers write it. Its
    /// revisions are the history of the agent's rollouts.
    pub struct Route {
        /// The agent.
        req agent: AgentName,
        /// The version that takes new work.
        req active: AgentVersion,
        /// When this was written.
        req updated_at: Timestamp,
        /// Who or what wrote it.
        req updated_by: String,
        /// The version that gets a share of the new work.
        opt canary: Canary,
        /// The version that was active before.
        opt previous: AgentVersion,
        /// Every known version.
        def versions: BTreeMap<AgentVersion, VersionEntry>,
        /// How intents that set no pinning choose versions.
        def pinning: Pinning,
        /// The running rollout, or the last one.
        opt rollout: Rollout,
        /// The decision that made this revision.
        opt decision: Decision,
        /// Who paused the agent, if somebody did: all of its versions, also those that are still to come.
        opt paused: Pause,
        /// What all workers of the agent may do together; empty where limits were lifted.
        opt limits: AgentLimits,
        /// How failures of the agent's work are treated, where an operator has said so.
        opt policy: Policy,
        /// The channels that an operator subscribed the agent to (`true`), or took it from whatever it declares (`false`).
        def channels: BTreeMap<ChannelName, bool>,
    }
}

wire_object! {
    /// A worker's statement about its agent version, sent in heartbeats and stored in the agents bucket.
    pub struct Declaration {
        /// The agent.
        req agent: AgentName,
        /// The version.
        req version: AgentVersion,
        /// The instance id of the worker process.
        req instance: String,
        /// What the agent can do.
        def capabilities: Vec<String>,
        /// The channels it listens to.
        def channels: Vec<String>,
        /// The kinds it takes; empty for all.
        def kinds: Vec<String>,
        /// JSON schemas for the payloads of kinds, if the agent gives any.
        def schemas: BTreeMap<String, Json>,
        /// The protocol versions it reads.
        def protocol: ProtocolRange,
        /// How many hops it runs at a time.
        def concurrency: u32,
        /// How many hops it runs now.
        def busy: u32,
        /// Whether it is stopping.
        def stopping: bool,
        /// How many tickets it has dropped of late because no record owes them.
        def dropped: u32,
        /// When the worker made the statement.
        req at: Timestamp,
        /// By how many milliseconds the clock of its machine is ahead of the server's; negative where it is behind, 0 where
        /// the two are less than a second apart or the worker does not say.
        def clock_ahead_ms: i64,
        /// The name of its machine, where that clock is off.
        def host: String,
        /// Whether a person or a script does its work: a controller writes such a statement when it is asked to, and no
        /// worker sends one.
        def manual: bool,
        /// How it treats failures, where that differs from what every worker does.
        opt policy: Policy,
        /// Whether it signs the records that it writes.
        def signs: bool,
        /// What its views are cut to.
        opt context: ViewSize,
    }
}

impl Pause {
    /// Whether somebody still has to fence out what runs.
    pub const fn is_killing(&self) -> bool {
        self.kill && self.killed_at.is_none()
    }
}

impl VersionEntry {
    /// Whether its workers must get nothing at this time, as far as that does not concern the whole agent.
    pub fn is_held_back(&self, now: Timestamp) -> bool {
        self.state.is_paused() || self.paused.is_some() || self.moving_until.is_some_and(|until| until > now)
    }
}

impl Route {
    /// What the workers of the agent may spend together in a day, where that is bounded.
    pub fn per_day(&self) -> Option<&Amounts> {
        self.limits.as_ref()?.per_day.as_deref()
    }

    /// The first route of an agent.
    pub fn first(agent: AgentName, active: AgentVersion, at: Timestamp, by: impl Into<String>) -> Self {
        let entry = VersionEntry {
            state: VersionState::Active,
            since: Some(at),
            ..VersionEntry::default()
        };
        Self {
            agent,
            versions: BTreeMap::from([(active.clone(), entry)]),
            active,
            updated_at: at,
            updated_by: by.into(),
            canary: None,
            previous: None,
            pinning: Pinning::default(),
            rollout: None,
            decision: None,
            paused: None,
            limits: None,
            policy: None,
            channels: BTreeMap::new(),
            extra: crate::base::wire::Extra::new(),
        }
    }

    /// The state of a version. A route from a 1.0 controller has no states: only its active version is known.
    pub fn state(&self, version: &AgentVersion) -> Option<VersionState> {
        match self.versions.get(version) {
            Some(entry) => Some(entry.state.clone()),
            None if self.active == *version => Some(VersionState::Active),
            None => None,
        }
    }

    /// Whether the workers of a version must get nothing at this time.
    pub fn holds_back(&self, version: &AgentVersion, now: Timestamp) -> bool {
        let entry = self.versions.get(version);
        self.paused.is_some() || entry.is_some_and(|entry| entry.is_held_back(now))
    }

    /// The pause that a version is under: its own, else that of the whole agent.
    pub fn pause_of(&self, version: &AgentVersion) -> Option<&Pause> {
        let own = self.versions.get(version).and_then(|entry| entry.paused.as_ref());
        own.or(self.paused.as_ref())
    }

    /// The kills that are not done: each with its version, or with none for the whole agent.
    pub fn kills(&self) -> Vec<Option<AgentVersion>> {
        let of_versions = self.versions.iter().filter_map(|(version, entry)| {
            let is_killing = entry.paused.as_ref().is_some_and(Pause::is_killing);
            is_killing.then(|| Some(version.clone()))
        });
        let of_agent = self.paused.as_ref().is_some_and(Pause::is_killing);
        of_agent.then_some(None).into_iter().chain(of_versions).collect()
    }

    /// Whether the work of a version is done by hand.
    pub fn is_manual(&self, version: &AgentVersion) -> bool {
        self.versions.get(version).is_some_and(|entry| entry.manual)
    }

    /// Whether no ticket of a version is written, because its breaker is not closed.
    pub fn is_withheld(&self, version: &AgentVersion) -> bool {
        self.versions.get(version).is_some_and(|entry| entry.withheld.is_some())
    }

    /// The running rollout, if there is one.
    pub fn running(&self) -> Option<&Rollout> {
        self.rollout.as_ref().filter(|rollout| rollout.phase.is_open())
    }
}
