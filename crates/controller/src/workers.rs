//! The live workers that this process knows of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::control::WorkerView;
use baton_envelope::{AgentName, AgentVersion, Declaration};
use baton_jetstream::ControllerMesh;

use tokio::time::Instant;

/// How long a worker may be silent before it counts as dead: three heartbeats, one every 5 s.
const SILENCE: Duration = Duration::from_secs(15);

type Key = (AgentName, AgentVersion, String);

/// The live workers; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workers {
    workers: Arc<Mutex<BTreeMap<Key, Seen>>>,
}

#[derive(Debug, Clone)]
struct Seen {
    declaration: Declaration,
    heard: Instant,
}

impl Workers {
    /// Notes a heartbeat: the worker lives, or is stopping.
    pub(crate) fn heard(&self, declaration: &Declaration) {
        let Declaration {
            agent,
            version,
            instance,
            stopping,
            ..
        } = declaration;
        let key = (agent.clone(), version.clone(), instance.clone());
        let mut workers = self.lock();
        if *stopping {
            workers.remove(&key);
        } else {
            let seen = Seen {
                declaration: declaration.clone(),
                heard: Instant::now(),
            };
            workers.insert(key, seen);
        }
    }

    /// Notes an answer to a call. Its declaration may be older than the worker's last heartbeat.
    fn found(&self, declaration: &Declaration) {
        let Declaration {
            agent,
            version,
            instance,
            ..
        } = declaration;
        let key = (agent.clone(), version.clone(), instance.clone());
        self.lock().entry(key).or_insert_with(|| Seen {
            declaration: declaration.clone(),
            heard: Instant::now(),
        });
    }

    /// Asks all workers to answer, instead of waiting for heartbeats.
    pub(crate) async fn call(&self, mesh: &ControllerMesh, patience: Duration) {
        match mesh.find_workers(patience).await {
            Ok(found) => found.iter().for_each(|worker| self.found(worker)),
            Err(error) => tracing::debug!(%error, "cannot call the workers"),
        }
    }

    /// Removes a worker: the server has no subscriber for its messages.
    pub(crate) fn gone(&self, agent: &AgentName, version: &AgentVersion, instance: &str) {
        self.lock()
            .remove(&(agent.clone(), version.clone(), instance.to_owned()));
    }

    /// The live workers of a version.
    pub(crate) fn of(&self, agent: &AgentName, version: &AgentVersion) -> Vec<Declaration> {
        let mut workers = self.lock();
        workers.retain(|_, seen| seen.heard.elapsed() < SILENCE);
        workers
            .values()
            .map(|seen| &seen.declaration)
            .filter(|one| one.agent == *agent && one.version == *version)
            .cloned()
            .collect()
    }

    /// How many live workers a version has.
    pub(crate) fn count(&self, agent: &AgentName, version: &AgentVersion) -> u64 {
        u64::try_from(self.of(agent, version).len()).unwrap_or(u64::MAX)
    }

    /// The live workers of a version, as views.
    pub(crate) fn views(&self, agent: &AgentName, version: &AgentVersion) -> Vec<WorkerView> {
        self.of(agent, version)
            .into_iter()
            .map(|one| WorkerView {
                instance: one.instance,
                concurrency: one.concurrency,
                busy: one.busy,
                stopping: one.stopping,
                heard_at: one.at,
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Seen>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
