//! The void records that the projection passed over, for the alarm that tells of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, IntentId, Timestamp};
use baton_jetstream::VoidRecord;

/// How long after the last void record its alarm stands.
const STANDS: Duration = Duration::from_secs(60 * 60);

/// The void records of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VoidSeen {
    /// How many there were since this controller started.
    pub(crate) count: u64,
    /// When the first of them was followed, and the last.
    pub(crate) since: Timestamp,
    last: Timestamp,
    /// The last: its intent, its ledger sequence, and why it is void.
    pub(crate) intent: IntentId,
    pub(crate) seq: u64,
    pub(crate) problem: String,
}

/// The void records by the agent and the version that they name.
#[derive(Debug, Default)]
pub(super) struct VoidLog(Mutex<HashMap<(AgentName, AgentVersion), VoidSeen>>);

impl VoidLog {
    /// Takes note of void records, and warns of each.
    pub(super) fn note(&self, found: Vec<VoidRecord>, now: Timestamp) {
        if found.is_empty() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, seen| now.since(seen.last) <= STANDS);
        for VoidRecord { seq, record, problem } in found {
            let (intent, event, by) = (&record.intent, record.event.name(), &record.by.instance);
            tracing::warn!(%intent, seq, event, by, problem, "a ledger record is void");
            let (Some(agent), Some(version)) = (record.snapshot.agent, record.snapshot.version) else {
                continue;
            };
            let before = known.get(&(agent.clone(), version.clone()));
            let seen = VoidSeen {
                count: before.map_or(0, |seen| seen.count) + 1,
                since: before.map_or(now, |seen| seen.since),
                last: now,
                intent: record.intent,
                seq,
                problem,
            };
            known.insert((agent, version), seen);
        }
    }

    /// Those of a version, while they are of interest.
    pub(super) fn of(&self, agent: &AgentName, version: &AgentVersion, now: Timestamp) -> Option<VoidSeen> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known.get(&(agent.clone(), version.clone()))?;
        (now.since(seen.last) <= STANDS).then(|| seen.clone())
    }
}
