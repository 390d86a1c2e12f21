//! Records by somebody whose turn it was not: counted for each agent, in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::{AgentName, IntentId, Timestamp};

/// How long what was found is told.
const TOLD_FOR: Duration = Duration::from_secs(60 * 60);

/// What was found of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    /// How many records.
    pub(crate) count: u64,
    /// When the first and the last of them were written, by their writers' clocks.
    pub(crate) since: Timestamp,
    last: Timestamp,
    /// One of the intents.
    pub(crate) intent: IntentId,
    /// What is wrong with its record.
    pub(crate) problem: String,
}

/// What was found, by the agent whose turn it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Suspects(BTreeMap<AgentName, Suspect>);

impl Suspects {
    pub(super) fn note(&mut self, agent: &AgentName, intent: &IntentId, seq: u64, at: Timestamp, problem: String) {
        tracing::error!(%agent, %intent, seq, problem, "a ledger record is not of whoever's turn it was");
        let found = self.0.entry(agent.clone()).or_insert_with(|| Suspect {
            count: 0,
            since: at,
            last: at,
            intent: intent.clone(),
            problem: String::new(),
        });
        found.count += 1;
        (found.last, found.intent, found.problem) = (at, intent.clone(), problem);
    }

    /// What was found of an agent lately.
    pub(crate) fn of(&self, agent: &AgentName, now: Timestamp) -> Option<Suspect> {
        self.0
            .get(agent)
            .filter(|found| now.since(found.last) < TOLD_FOR)
            .cloned()
    }
}
