//! Whoever may still run a hop that was taken away.

use baton_envelope::{AgentName, AgentVersion, IntentId, Snapshot};

/// Whoever may still run a hop that was taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenFrom {
    /// The intent.
    pub intent: IntentId,
    /// The agent.
    pub agent: AgentName,
    /// The version of the agent.
    pub version: AgentVersion,
    /// The instance that held the hop; `None` where no record says so. Then any worker of the version may run it.
    pub holder: Option<String>,
}

impl TakenFrom {
    /// Whoever had the hop by this state of the intent; `None` where nobody can have had it.
    pub(super) fn before(intent: &IntentId, snapshot: &Snapshot) -> Option<Self> {
        let (agent, version) = snapshot.agent.clone().zip(snapshot.version.clone())?;
        snapshot.status.is_workable().then(|| Self {
            intent: intent.clone(),
            agent,
            version,
            holder: snapshot.holder.clone(),
        })
    }
}
