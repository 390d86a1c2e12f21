//! Telling workers at once which hops are theirs no longer. What protects is the guard of the ledger.

use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, IntentId};
use baton_jetstream::TakenFrom;

use crate::context::Context;

/// How long to wait for workers to answer when none is known: this controller may have started a moment ago.
const ROLL_CALL: Duration = Duration::from_millis(300);

impl Context {
    /// Tells whoever had a hop that it was taken away: its holder, or all workers of its version where no record names one.
    pub(crate) async fn tell_taken(&self, taken: Option<&TakenFrom>) {
        let Some(taken) = taken else { return };
        let TakenFrom {
            intent,
            agent,
            version,
            holder,
        } = taken;
        match holder {
            Some(holder) => self.mesh.tell_fenced(agent, version, holder, [intent.clone()]).await,
            None => {
                for worker in self.workers.of(agent, version) {
                    let told = self
                        .mesh
                        .tell_fenced(agent, version, &worker.instance, [intent.clone()]);
                    told.await;
                }
            }
        }
    }

    /// Removes the ticket of an intent that was taken away. A worker acks it when it gets it; without workers it would wait
    /// for ever.
    pub(crate) async fn drop_ticket(&self, agent: &AgentName, version: &AgentVersion, intent: &IntentId) {
        if self.workers.count(agent, version) == 0
            && let Err(error) = self.mesh.drop_superseded(agent, version).await
        {
            tracing::debug!(%error, %intent, "left its ticket to the next worker or to the end of the drain");
        }
    }

    /// Tells all workers of a version which intents were taken from it; returns how many workers that are.
    pub(crate) async fn tell_all<'i>(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        intents: impl IntoIterator<Item = &'i IntentId> + Clone + Send,
    ) -> u64 {
        if intents.clone().into_iter().next().is_some() && self.workers.count(agent, version) == 0 {
            self.workers.call(&self.mesh, ROLL_CALL).await;
        }
        let workers = self.workers.of(agent, version);
        for worker in &workers {
            let lost: Vec<IntentId> = intents.clone().into_iter().cloned().collect();
            self.mesh.tell_fenced(agent, version, &worker.instance, lost).await;
        }
        u64::try_from(workers.len()).unwrap_or(u64::MAX)
    }
}
