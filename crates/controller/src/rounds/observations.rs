//! What the leader saw of agents and their queues at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_envelope::control::Counts;
use baton_envelope::{AgentName, AgentVersion, Cause, Route, Timestamp};

use tokio::time::Instant;

/// The age beyond which a round must not use observations. They are made every 500 ms.
pub(crate) const FRESH: Duration = Duration::from_secs(2);

/// A version of an agent.
pub(crate) type Key = (AgentName, AgentVersion);

/// What the leader saw.
#[derive(Debug)]
pub(crate) struct Observations {
    pub(crate) at: Instant,
    pub(crate) routes: Vec<Arc<Route>>,
    /// How many open intents hold which version.
    pub(crate) open: BTreeMap<Key, BTreeMap<Cause, u64>>,
    /// The tickets of each agent's versions, as last counted. An agent whose tickets could not be counted is missing.
    pub(crate) tickets: BTreeMap<AgentName, BTreeMap<AgentVersion, Counts>>,
    /// Since when each of these versions has had no live worker.
    pub(crate) alone: BTreeMap<Key, Timestamp>,
}

impl Observations {
    /// The age of the observations.
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// Whether an open intent holds a version.
    pub(crate) fn is_held(&self, agent: &AgentName, version: &AgentVersion) -> bool {
        self.open.contains_key(&(agent.clone(), version.clone()))
    }

    /// The versions of an agent that open intents hold, known or not.
    pub(crate) fn held_versions<'a>(&'a self, agent: &'a AgentName) -> impl Iterator<Item = &'a AgentVersion> + 'a {
        let held = self.open.keys().filter(move |(of, _)| of == agent);
        held.map(|(_, version)| version)
    }

    /// Whether an open intent holds a version that only its workers can end.
    pub(crate) fn needs_workers(&self, agent: &AgentName, version: &AgentVersion) -> bool {
        let causes = self.open.get(&(agent.clone(), version.clone()));
        causes.is_some_and(|causes| causes.keys().any(|cause| cause.needs_workers()))
    }

    /// How many open intents hold a version for this cause.
    pub(crate) fn count(&self, agent: &AgentName, version: &AgentVersion, cause: Cause) -> u64 {
        let causes = self.open.get(&(agent.clone(), version.clone()));
        causes
            .and_then(|causes| causes.get(&cause))
            .copied()
            .unwrap_or_default()
    }

    /// Since when a version has had no live worker; `None` if it has one, or if that is not known yet.
    pub(crate) fn alone_since(&self, agent: &AgentName, version: &AgentVersion) -> Option<Timestamp> {
        self.alone.get(&(agent.clone(), version.clone())).copied()
    }

    /// The tickets of a version; `None` if they could not be counted.
    pub(crate) fn tickets(&self, agent: &AgentName, version: &AgentVersion) -> Option<Counts> {
        let of_agent = self.tickets.get(agent)?;
        Some(of_agent.get(version).copied().unwrap_or_default())
    }
}
