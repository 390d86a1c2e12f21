//! Telling worker processes that a hop which they run is theirs no longer.

use baton_envelope::control::{Fenced, MOST_FENCED};
use baton_envelope::{AgentName, AgentVersion, IntentId};

use crate::error::Error;
use crate::server::Mesh;

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
                Err(error) => Err(Error::api("encoding what a worker is told", error)),
            };
            if let Err(error) = told {
                tracing::debug!(%error, %agent, %version, instance, "a worker is not told of the hops that it lost");
            }
        }
    }
}
