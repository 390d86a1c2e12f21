//! The live workers that this process knows of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::control::WorkerView;
use baton_envelope::{AgentName, AgentVersion, Declaration, Timestamp};
use baton_jetstream::ControllerMesh;

use tokio::time::Instant;

/// How long a worker may be silent before it counts as dead: three heartbeats, one every 5 s.
const SILENCE: Duration = Duration::from_secs(15);

/// How far the clock of a worker's machine may be from the server's before a person hears of it.
const OFF: Duration = Duration::from_secs(2);

type Key = (AgentName, AgentVersion, String);

/// How long to listen until every live worker has been heard: its heartbeat comes every 5 s.
const ROUND: Duration = Duration::from_secs(6);

/// The live workers; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    workers: Arc<Mutex<BTreeMap<Key, Seen>>>,
    /// Since when this process listens.
    since: Instant,
}

#[derive(Debug, Clone)]
struct Seen {
    declaration: Declaration,
    heard: Instant,
    /// By how many milliseconds the time in its last heartbeat was ahead of the server's, and in the one before.
    ahead: [Option<i64>; 2],
}

/// A worker whose clock is off.
#[derive(Debug, Clone)]
pub(crate) struct WorkerClock {
    pub(crate) agent: AgentName,
    pub(crate) version: AgentVersion,
    pub(crate) worker: WorkerView,
}

impl Seen {
    /// By how many milliseconds the clock of its machine is ahead of the server's, where that is too much. A worker of Baton
    /// says it. Of others the time in the heartbeat tells, and twice: one that comes late is no sign of a slow clock.
    fn clock_ahead_ms(&self) -> i64 {
        let ahead = match (self.declaration.clock_ahead_ms, self.ahead) {
            (0, [Some(last), Some(before)]) if last.signum() == before.signum() => {
                if last.abs() < before.abs() {
                    last
                } else {
                    before
                }
            }
            (0, _) => 0,
            (said, _) => said,
        };
        let is_off = Duration::from_millis(ahead.unsigned_abs()) >= OFF;
        if is_off { ahead } else { 0 }
    }

    fn view(&self) -> WorkerView {
        let Declaration {
            instance,
            concurrency,
            busy,
            stopping,
            at,
            host,
            ..
        } = self.declaration.clone();
        WorkerView {
            instance,
            concurrency,
            busy,
            stopping,
            heard_at: at,
            clock_ahead_ms: self.clock_ahead_ms(),
            host,
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            workers: Arc::default(),
            since: Instant::now(),
        }
    }
}

impl Workers {
    /// Whether this process listens for so long that no live worker is unknown to it.
    pub(crate) fn are_all_known(&self) -> bool {
        self.are_known_at(Instant::now())
    }

    fn are_known_at(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= ROUND
    }

    /// Notes a heartbeat that came at `now`: the worker lives, or is stopping.
    pub(crate) fn heard(&self, declaration: &Declaration, now: Timestamp) {
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
            let ahead = declaration.at.unix_millis().saturating_sub(now.unix_millis());
            let before = workers.get(&key).and_then(|seen| seen.ahead[0]);
            let seen = Seen {
                declaration: declaration.clone(),
                heard: Instant::now(),
                ahead: [Some(ahead), before],
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
            ahead: [None; 2],
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
        self.live()
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
        let workers = self.live();
        let of = workers.iter().filter(|((of, at, _), _)| of == agent && at == version);
        of.map(|(_, seen)| seen.view()).collect()
    }

    /// The live workers that do not say that they sign, by name.
    pub(crate) fn unsigned(&self) -> Vec<String> {
        let workers = self.live();
        let unsigned = workers.iter().filter(|(_, seen)| !seen.declaration.signs);
        unsigned
            .map(|((agent, version, instance), _)| format!("{agent}@{version} ({instance})"))
            .collect()
    }

    /// The live workers whose clock is off.
    pub(crate) fn clocks_off(&self) -> Vec<WorkerClock> {
        let workers = self.live();
        let off = workers.iter().filter(|(_, seen)| seen.clock_ahead_ms() != 0);
        off.map(|((agent, version, _), seen)| WorkerClock {
            agent: agent.clone(),
            version: version.clone(),
            worker: seen.view(),
        })
        .collect()
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<Key, Seen>> {
        let mut workers = self.lock();
        workers.retain(|_, seen| seen.heard.elapsed() < SILENCE);
        workers
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Seen>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    /// What is said of the clock of a worker that beats with these times, in milliseconds after the server's.
    fn said(of: &str, beats: &[i64]) -> Option<String> {
        let workers = Workers::default();
        for ahead in beats {
            let at = Timestamp::from_unix_millis(NOW + ahead);
            let text = format!(r#"{{"agent":"a","version":"1.0.0","instance":"w","at":"{at}"{of}}}"#);
            let beat: Declaration = serde_json::from_str(&text).expect("a declaration");
            workers.heard(&beat, Timestamp::from_unix_millis(NOW));
        }
        let view = workers.views(&"a".parse().expect("a name"), &"1.0.0".parse().expect("a version"));
        assert_eq!(workers.clocks_off().len(), usize::from(view[0].clock_ahead_ms != 0));
        view[0].clock()
    }

    #[test]
    fn who_does_not_say_that_it_signs_is_named() {
        let workers = Workers::default();
        for (instance, more) in [("w-1", ""), ("w-2", r#","signs":true"#), ("w-3", r#","signs":false"#)] {
            let at = Timestamp::from_unix_millis(NOW);
            let text = format!(r#"{{"agent":"a","version":"1.0.0","instance":"{instance}","at":"{at}"{more}}}"#);
            let beat: Declaration = serde_json::from_str(&text).expect("a declaration");
            workers.heard(&beat, at);
        }
        assert_eq!(workers.unsigned(), ["a@1.0.0 (w-1)", "a@1.0.0 (w-3)"]);
    }

    #[test]
    fn a_clock_that_is_off_by_two_seconds_is_named_and_a_late_heartbeat_is_not() {
        let own = r#","clock_ahead_ms":-60000,"host":"db-7""#;
        assert_eq!(
            said(own, &[0]).as_deref(),
            Some("the clock of db-7 is 60.0 s behind the server's")
        );
        assert_eq!(said(r#","clock_ahead_ms":1900"#, &[0, 0]), None);
        let foreign = "the clock of its machine is 3.0 s behind the server's";
        assert_eq!(said("", &[-3_400, -3_000]).as_deref(), Some(foreign));
        assert_eq!(
            said("", &[5_000, 4_000]).as_deref(),
            Some("the clock of its machine is 4.0 s ahead of the server's")
        );
        for right in [&[-9_000][..], &[-9_000, -10], &[-10, -9_000], &[3_000, -3_000]] {
            assert_eq!(said("", right), None, "{right:?}");
        }
    }

    /// A limit that is set for the first time just after the only controller has started must not be given to those alone that
    /// were heard already.
    #[test]
    fn a_worker_may_be_unknown_until_its_heartbeat_is_due() {
        let workers = Workers::default();
        let due = workers.since + ROUND;
        assert!(!workers.are_known_at(due - Duration::from_millis(1)));
        assert!(workers.are_known_at(due));
        assert_eq!(workers.clone().since, workers.since, "a copy listens as long");
    }
}
