//! Which version of an agent takes new work, what is known of each version, and what workers say of themselves.

use std::collections::BTreeMap;

use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::ProtocolRange;
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;
use crate::version::percent::Percent;
use crate::version::pinning::Pinning;
use crate::version::rollout::Rollout;
use crate::version::state::VersionState;

wire_object! {
    /// The share of new work that a version gets besides the active one.
    pub struct Canary {
        /// The version.
        req version: AgentVersion,
        /// Its share of the chains, by a hash of the root intent.
        req percent: Percent,
    }
}

wire_object! {
    /// What is known of one version of an agent.
    #[derive(Default)]
    pub struct VersionEntry {
        /// Where it stands.
        def state: VersionState,
        /// Since when.
        opt since: Timestamp,
        /// Why, in words.
        opt reason: String,
        /// What its workers say that they can do.
        def capabilities: Vec<String>,
        /// The channels that its workers listen to.
        def channels: Vec<String>,
        /// The kinds that its workers take; empty for all.
        def kinds: Vec<String>,
        /// The protocol versions that its workers read.
        def protocol: ProtocolRange,
        /// Its work is being moved away, and its consumers are paused meanwhile; at most until then.
        opt moving_until: Timestamp,
    }
}

wire_object! {
    /// What made a revision of a route: one decision, with its numbers.
    pub struct Decision {
        /// What was decided: `declared`, `started`, `advanced`, `promoted`, `paused`, `rolled_back`, and so on.
        req what: String,
        /// Who or what decided it.
        req by: String,
        /// When.
        req at: Timestamp,
        /// The version that it is about.
        opt version: AgentVersion,
        /// Why, in words.
        opt reason: String,
        /// The numbers that it rests on.
        opt numbers: Json,
    }
}

wire_object! {
    /// The route of one agent, kept under the agent's name in the routes bucket; only controllers write it. Its
    /// revisions are the history of the agent's rollouts.
    pub struct Route {
        /// The agent.
        req agent: AgentName,
        /// The version that takes new work.
        req active: AgentVersion,
        /// When this was written.
        req updated_at: Timestamp,
        /// Who or what decided it.
        req updated_by: String,
        /// The version that gets a share of the new work.
        opt canary: Canary,
        /// The version that was active before.
        opt previous: AgentVersion,
        /// Every version that was heard of.
        def versions: BTreeMap<AgentVersion, VersionEntry>,
        /// How intents that say nothing keep to versions.
        def pinning: Pinning,
        /// The rollout that is under way, or the last one.
        opt rollout: Rollout,
        /// The decision that made this revision.
        opt decision: Decision,
    }
}

wire_object! {
    /// What a worker says of its agent version: in its heartbeats, and kept in the agents bucket.
    pub struct Declaration {
        /// The agent.
        req agent: AgentName,
        /// The version.
        req version: AgentVersion,
        /// The worker process that says so.
        req instance: String,
        /// What the agent can do.
        def capabilities: Vec<String>,
        /// The channels that it listens to.
        def channels: Vec<String>,
        /// The kinds that it takes; empty for all.
        def kinds: Vec<String>,
        /// A JSON schema for the payload of a kind, where the agent gives one.
        def schemas: BTreeMap<String, Json>,
        /// The protocol versions that it reads.
        def protocol: ProtocolRange,
        /// How many hops it runs at a time.
        def concurrency: u32,
        /// How many it runs now.
        def busy: u32,
        /// Whether it is stopping.
        def stopping: bool,
        /// When it said so.
        req at: Timestamp,
    }
}

impl VersionEntry {
    /// Whether nothing may be given to its workers at this time.
    pub fn is_held_back(&self, now: Timestamp) -> bool {
        self.state.is_shut() || self.moving_until.is_some_and(|until| until > now)
    }
}

impl Route {
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
            extra: crate::base::wire::Extra::new(),
        }
    }

    /// Where a version stands. A route that a 1.0 controller wrote knows of no states: then only the active version is
    /// known.
    pub fn state(&self, version: &AgentVersion) -> Option<VersionState> {
        match self.versions.get(version) {
            Some(entry) => Some(entry.state.clone()),
            None if self.active == *version => Some(VersionState::Active),
            None => None,
        }
    }

    /// The rollout that is under way, if one is.
    pub fn running(&self) -> Option<&Rollout> {
        self.rollout.as_ref().filter(|rollout| rollout.phase.is_open())
    }
}
