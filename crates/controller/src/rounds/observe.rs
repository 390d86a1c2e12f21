//! The round that observes: which workers live, how many tickets wait, which intents are open. The other rounds decide
//! by that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use baton_envelope::control::Counts;
use baton_envelope::{AgentName, AgentVersion, Route, Timestamp, VersionState};
use baton_jetstream::Alive;
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::context::Context;
use crate::rounds::error::RoundError;
use crate::rounds::observations::{Key, Observations};
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// The time between observations. Rollouts and alarms react within a few of them.
const EVERY: Duration = Duration::from_millis(500);
/// How often to ask workers whether they live. Those of versions in a rollout or drain are asked every time.
const PROBE_OTHERS: Duration = Duration::from_secs(5);
/// How often to count the tickets of an agent without a draining version.
const COUNT_OTHERS: Duration = Duration::from_secs(2);
/// How long into a term a silent version does not yet count as one without workers: heartbeats come every 5 s.
const HEARING: Duration = Duration::from_secs(6);
/// How long to wait for workers to answer at the start of a term, which saves waiting for their heartbeats.
const ROLL_CALL: Duration = Duration::from_millis(500);
/// How many requests to the server and to workers may be open at the same time.
const AT_ONCE: usize = 32;

/// Observes everything, again and again.
#[derive(Debug)]
pub(crate) struct Observe {
    since: Instant,
    called: bool,
    probed: Option<Instant>,
    counted: Option<Instant>,
    /// The versions of which this leader knew a worker, perhaps from before its term. If one of them has none now, this
    /// leader saw its worker go.
    had: BTreeSet<Key>,
    alone: BTreeMap<Key, Timestamp>,
    tickets: BTreeMap<AgentName, BTreeMap<AgentVersion, Counts>>,
}

impl Round for Observe {
    const NAME: &'static str = "observe";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self {
            since: Instant::now(),
            called: false,
            probed: None,
            counted: None,
            had: BTreeSet::new(),
            alone: BTreeMap::new(),
            tickets: BTreeMap::new(),
        }
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = &term.cx;
        if !self.called {
            cx.workers.call(&cx.mesh, ROLL_CALL).await;
            self.called = true;
        }
        let open = cx.projection.counts().await?;
        let routes = cx.mesh.known_routes().await?;
        self.look_for_workers(cx, &routes).await;
        let counted = self.count_tickets(cx, &routes).await;
        term.observed(Observations {
            at: Instant::now(),
            routes,
            open,
            tickets: self.tickets.clone(),
            alone: self.alone.clone(),
        });
        counted
    }
}

impl Observe {
    /// Asks workers whether they live, and notes since when a version has none.
    async fn look_for_workers(&mut self, cx: &Context, routes: &[Arc<Route>]) {
        let probe_all = due(&mut self.probed, PROBE_OTHERS);
        let mut asked = Vec::new();
        for (agent, version, state) in versions(routes) {
            let workers = cx.workers.of(agent, version);
            if !workers.is_empty() {
                self.had.insert((agent.clone(), version.clone()));
            }
            if probe_all || matches!(state, VersionState::Draining | VersionState::Canary) {
                asked.extend(workers.into_iter().map(|worker| async move {
                    let alive = cx.mesh.is_worker_alive(agent, version, &worker.instance).await;
                    (agent, version, worker.instance, alive)
                }));
            }
        }
        let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some((agent, version, instance, alive)) = answers.next().await {
            if alive == Alive::Gone {
                tracing::info!(%agent, %version, %instance, "a worker is gone");
                cx.workers.gone(agent, version, &instance);
            }
        }
        let heard_all = self.since.elapsed() > HEARING;
        for (agent, version, _) in versions(routes) {
            let key = (agent.clone(), version.clone());
            if cx.workers.count(agent, version) > 0 {
                self.alone.remove(&key);
            } else if heard_all || self.had.contains(&key) {
                self.alone.entry(key).or_insert_with(|| cx.mesh.now());
            }
        }
    }

    /// Counts the tickets of agents with a draining version, and from time to time of all. If counting fails for an
    /// agent, its tickets are unknown.
    async fn count_tickets(&mut self, cx: &Context, routes: &[Arc<Route>]) -> Result<(), RoundError> {
        let count_all = due(&mut self.counted, COUNT_OTHERS);
        let is_due = |route: &&Arc<Route>| {
            let mut entries = route.versions.values();
            count_all
                || entries.any(|entry| entry.state == VersionState::Draining)
                || !self.tickets.contains_key(&route.agent)
        };
        let asked = routes.iter().filter(is_due).map(|route| async {
            let counts = cx.mesh.agent_counts(&route.agent).await;
            (&route.agent, counts)
        });
        let asked: Vec<_> = asked.collect();
        let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut first = Ok(());
        while let Some((agent, counts)) = answers.next().await {
            match counts {
                Ok(counts) => {
                    self.tickets.insert(agent.clone(), counts);
                }
                Err(error) => {
                    tracing::debug!(%error, %agent, "cannot count tickets");
                    self.tickets.remove(agent);
                    first = first.and(Err(RoundError::Failed(error).of(agent)));
                }
            }
        }
        first
    }
}

fn versions(routes: &[Arc<Route>]) -> impl Iterator<Item = (&AgentName, &AgentVersion, &VersionState)> {
    routes.iter().flat_map(|route| {
        let versions = route.versions.iter();
        versions.map(|(version, entry)| (&route.agent, version, &entry.state))
    })
}

/// Whether something is due; if so, notes that it is done now.
fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let is_due = last.is_none_or(|last| last.elapsed() >= every);
    if is_due {
        *last = Some(Instant::now());
    }
    is_due
}
