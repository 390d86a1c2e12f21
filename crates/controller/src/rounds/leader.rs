//! What only the leading controller does, again and again: rollouts, drains, strays, alarms, and the word about load.
//!
//! Everything is decided with compare-and-set on the route, and may be repeated: a second leader, for the moment in which
//! two believe that they lead, costs work and does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baton_envelope::rollout;
use baton_envelope::{AgentName, AgentVersion, Cause, Route, Timestamp, VersionState};
use baton_jetstream::control::Alarm;
use baton_jetstream::{Alive, Counts, Error, LoadReport, VersionLoad};
use tokio::time::Instant;

use crate::context::Context;
use crate::duty::Duty;
use crate::rounds::alarms::Alarms;
use crate::rounds::drains;
use crate::rounds::rollouts;

/// How long from one round to the next. Rollouts move, and alarms come, within a few of them.
const ROUND: Duration = Duration::from_millis(500);
/// How often the consumers of all versions are compared with their states: a controller may have died between the two.
const COMPARE: Duration = Duration::from_secs(10);
/// How often the workers of versions that are not rolled are asked whether they live; heartbeats tell it else.
const PROBE_OTHERS: Duration = Duration::from_secs(5);
/// How often the tickets of agents without a drain are counted, for the word about load.
const COUNT_OTHERS: Duration = Duration::from_secs(2);
/// How long after a leader began to lead a silent version may be taken for one without workers: heartbeats come every 5 s.
const HEARING: Duration = Duration::from_secs(6);
/// How long a new leader asks who lives, so that it need not wait for heartbeats.
const ROLL_CALL: Duration = Duration::from_millis(500);

/// What one round rests on.
struct Round<'a> {
    compare: bool,
    probe_all: bool,
    count_all: bool,
    open: &'a BTreeMap<(AgentName, AgentVersion), BTreeMap<Cause, u64>>,
}

/// Rollouts, drains and alarms.
#[derive(Debug)]
pub(crate) struct Leader;

impl Duty for Leader {
    const NAME: &'static str = "leader";

    async fn run(self, cx: Context) {
        let watching = Watching::new(cx.clone());
        cx.until_stopped(Box::pin(watching.run())).await;
    }
}

/// What the leader knows.
struct Watching {
    cx: Context,
    /// Since when a version was seen without a live worker.
    alone: BTreeMap<(AgentName, AgentVersion), Timestamp>,
    /// The versions of which this leader knew a worker, perhaps from before it began to lead: when they have none any
    /// more, it saw that one go.
    had: BTreeSet<(AgentName, AgentVersion)>,
    compared: Option<Instant>,
    probed: Option<Instant>,
    counted: Option<Instant>,
    /// The tickets of each agent's versions, as they were last counted.
    tickets: BTreeMap<AgentName, BTreeMap<AgentVersion, Counts>>,
    leads_since: Option<Instant>,
    alarms: Alarms,
}

impl Watching {
    fn new(cx: Context) -> Self {
        Self {
            cx,
            alone: BTreeMap::new(),
            had: BTreeSet::new(),
            compared: None,
            probed: None,
            counted: None,
            tickets: BTreeMap::new(),
            leads_since: None,
            alarms: Alarms::default(),
        }
    }

    async fn run(mut self) {
        loop {
            tokio::time::sleep(ROUND).await;
            if self.cx.leadership.is_leading() {
                if self.leads_since.is_none() {
                    self.leads_since = Some(Instant::now());
                    self.cx.workers.call(&self.cx.mesh, ROLL_CALL).await;
                }
                self.round().await;
            } else {
                self.leads_since = None;
                self.alone.clear();
                self.alarms.clear();
                self.had.clear();
            }
        }
    }

    async fn round(&mut self) {
        let known = async {
            let open = self.cx.projection.counts().await?;
            Ok::<_, Error>((self.cx.mesh.known_routes().await?, open))
        };
        let (routes, open) = match known.await {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(%error, "routes or projection cannot be read");
                return;
            }
        };
        let due = |last: &mut Option<Instant>, every: Duration| {
            let is_due = last.is_none_or(|last| last.elapsed() >= every);
            if is_due {
                *last = Some(Instant::now());
            }
            is_due
        };
        let compare = due(&mut self.compared, COMPARE);
        let probe_all = due(&mut self.probed, PROBE_OTHERS);
        let count_all = due(&mut self.counted, COUNT_OTHERS);
        let round = Round {
            compare,
            probe_all,
            count_all,
            open: &open,
        };
        let mut report = LoadReport {
            at: self.cx.mesh.now(),
            versions: Vec::new(),
            alarms: Vec::new(),
        };
        for route in &routes {
            // One agent that cannot be looked after must not keep the others from it.
            if let Err(error) = self.look_after(route, &round, &mut report).await {
                let agent = &route.agent;
                // Now and then so that a person sees it; each time would drown the rest.
                if compare {
                    tracing::warn!(%error, %agent, "an agent cannot be looked after now");
                } else {
                    tracing::debug!(%error, %agent, "an agent cannot be looked after now");
                }
            }
        }
        report.alarms = self.alarms.all();
        if let Err(error) = self.cx.mesh.tell_load(&report).await {
            tracing::debug!(%error, "the load cannot be told");
        }
    }

    async fn look_after(&mut self, route: &Route, round: &Round<'_>, report: &mut LoadReport) -> Result<(), Error> {
        let agent = &route.agent;
        self.count_workers(route, round.probe_all).await;
        let canary = route.running().map(|rollout| rollout.to.clone());
        let alone = canary.and_then(|version| self.alone_since(agent, &version));
        // What fails for one version keeps neither the others nor the alarms waiting.
        let mut outcome = rollouts::look_after(&self.cx, route, alone).await;
        let drains = route
            .versions
            .values()
            .any(|entry| entry.state == VersionState::Draining);
        if round.count_all || drains || !self.tickets.contains_key(agent) {
            let counts = self.cx.mesh.agent_counts(agent).await?;
            self.tickets.insert(agent.clone(), counts);
        }
        let tickets = self.tickets.get(agent).cloned().unwrap_or_default();
        for version in route.versions.keys() {
            let counts = tickets.get(version).copied().unwrap_or_default();
            report.versions.push(VersionLoad {
                agent: agent.clone(),
                version: version.clone(),
                backlog: counts.backlog,
                workers: u32::try_from(self.cx.workers.count(agent, version)).unwrap_or(u32::MAX),
                breaker_open: self.cx.projection.breaker_open(agent, version, report.at),
            });
        }
        let mut alarms = Vec::new();
        for (version, entry) in &route.versions {
            let counts: Counts = tickets.get(version).copied().unwrap_or_default();
            let is_held = round.open.contains_key(&(agent.clone(), version.clone()));
            let has_tickets = counts.backlog + counts.in_flight > 0;
            let done = match entry.state {
                VersionState::Draining => drains::finish_if_empty(&self.cx, route, version, counts).await,
                VersionState::Drained | VersionState::Retired if is_held || has_tickets => {
                    drains::reroute_strays(&self.cx, route, version, counts).await.map(drop)
                }
                VersionState::Ready => self.silence(route, version).await,
                VersionState::Drained
                | VersionState::Retired
                | VersionState::Declared
                | VersionState::Canary
                | VersionState::Active
                | VersionState::Quarantined
                | VersionState::Unknown(_) => Ok(()),
            };
            outcome = outcome.and(done);
            if let (true, Some(since)) = (is_held, self.alone_since(agent, version)) {
                alarms.extend(drains::alarm(&self.cx, route, version, since).await?);
            }
        }
        self.tell(agent, alarms).await;
        if round.compare {
            // Not as it was when this round began: a version may have been drained in it.
            let present = self.cx.route(agent).await?;
            self.cx.shut_or_open(&present).await?;
        }
        outcome
    }

    /// Asks workers whether they live, and notes since when a version has none.
    async fn count_workers(&mut self, route: &Route, probe_all: bool) {
        let (mesh, known) = (&self.cx.mesh, &self.cx.workers);
        let agent = &route.agent;
        for (version, entry) in &route.versions {
            let key = (agent.clone(), version.clone());
            if known.count(agent, version) > 0 {
                self.had.insert(key.clone());
            }
            let is_watched = matches!(entry.state, VersionState::Draining | VersionState::Canary);
            if is_watched || probe_all {
                let workers = known.of(agent, version);
                let asked = workers.iter().map(|worker| async {
                    let alive = mesh.is_worker_alive(agent, version, &worker.instance).await;
                    (worker.instance.clone(), alive)
                });
                for (instance, alive) in futures::future::join_all(asked).await {
                    if alive == Alive::Gone {
                        tracing::info!(%agent, %version, %instance, "a worker is gone");
                        known.gone(agent, version, &instance);
                    }
                }
            }
            let heard_all = self.leads_since.is_some_and(|since| since.elapsed() > HEARING);
            if known.count(agent, version) > 0 {
                self.alone.remove(&key);
            } else if heard_all || self.had.contains(&key) {
                let now = self.cx.mesh.now();
                self.alone.entry(key).or_insert(now);
            }
        }
    }

    fn alone_since(&self, agent: &AgentName, version: &AgentVersion) -> Option<Timestamp> {
        self.alone.get(&(agent.clone(), version.clone())).copied()
    }

    /// A version that takes no work and has no worker left is only declared.
    async fn silence(&self, route: &Route, version: &AgentVersion) -> Result<(), Error> {
        if self.alone_since(&route.agent, version).is_some() {
            let act = self.cx.act().because("no worker is left");
            let decide = |present: &Route| Ok(rollout::silent(present, version, &act));
            self.cx.decide(&route.agent, decide).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, agent: &AgentName, alarms: Vec<Alarm>) {
        for alarm in self.alarms.replace(agent, alarms) {
            let version = &alarm.version;
            tracing::warn!(%agent, %version, code = alarm.code, ways_out = ?alarm.ways_out, "{}", alarm.message);
            let Ok(body) = serde_json::to_vec(&alarm) else { continue };
            let subject = self.cx.mesh.subjects().alarm();
            if let Err(error) = self.cx.mesh.publish_plain(subject, body.into()).await {
                tracing::debug!(%error, "an alarm cannot be told");
            }
        }
    }
}
