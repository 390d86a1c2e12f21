//! Telling worker processes that a hop which they run is theirs no longer.

use baton_envelope::control::{Fenced, MOST_FENCED};
use baton_envelope::{AgentName, AgentVersion, IntentId, Snapshot};

use crate::server::Mesh;

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
    pub fn before(intent: &IntentId, snapshot: &Snapshot) -> Option<Self> {
        let (agent, version) = snapshot.agent.clone().zip(snapshot.version.clone())?;
        snapshot.status.is_workable().then(|| Self {
            intent: intent.clone(),
            agent,
            version,
            holder: snapshot.holder.clone(),
        })
    }
}

impl Mesh {
    /// Tells a worker process which of the hops that it may run are its no longer. Best effort: the guard of the ledger is
    /// what keeps it from committing them.
    pub async fn tell_fenced(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        instance: &str,
        intents: impl IntoIterator<Item = IntentId>,
    ) {
        // It becomes part of a subject, and it may be what some record says.
        if instance.is_empty() || instance.contains(|c: char| c.is_whitespace() || ".*>".contains(c)) {
            tracing::debug!(%agent, %version, instance, "this holder has no subject, and is told nothing");
            return;
        }
        let subject = self.subjects().instance(agent, version, instance);
        let intents: Vec<IntentId> = intents.into_iter().collect();
        for some in intents.chunks(MOST_FENCED) {
            let fenced = Fenced { fenced: some.to_vec() };
            let told = match serde_json::to_vec(&fenced) {
                Ok(body) => self.publish_plain(subject.clone(), body.into()).await,
                Err(error) => Err(crate::error::Error::api("encoding what a worker is told", error)),
            };
            if let Err(error) = told {
                tracing::debug!(%error, %agent, %version, instance, "a worker is not told of the hops that it lost");
            }
        }
    }
}
