//! What the parts of a controller share: when to stop, and what decisions about versions need.

use std::sync::Arc;

use baton_envelope::control::{Alarm, Counts, DrainView, EvidenceView, HoldView};
use baton_envelope::rollout::{Act, Refused};
use baton_envelope::{
    AgentName, AgentVersion, Author, Breaker, CapBook, Cause, OnOpen, Role, Route, VersionState, Withheld,
};

use baton_jetstream::{ControllerMesh, Error, Leadership, Lease, Taking};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ControllerConfig;
use crate::projection::Projection;
use crate::stats::Stats;
use crate::workers::Workers;

/// How often to start over with an agent's consumers while the states of its versions keep changing.
const PAUSE_TRIES: u32 = 5;

/// When the duties must stop, and the tasks they started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stops {
    /// Cancelled first: take nothing new.
    pub(crate) stop: CancellationToken,
    /// Cancelled when the time to finish is up.
    pub(crate) kill: CancellationToken,
    /// Every task of the controller.
    pub(crate) tracker: TaskTracker,
}

/// What the parts of a controller share; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) mesh: ControllerMesh,
    pub(crate) config: Arc<ControllerConfig>,
    pub(crate) projection: Projection,
    pub(crate) workers: Workers,
    /// The author of this controller's records.
    pub(crate) by: Author,
    /// The account of the mesh, where the mesh is secured.
    pub(crate) account: Option<Arc<str>>,
    /// Whether this controller leads.
    pub(crate) leadership: Leadership,
    pub(crate) stats: Stats,
    pub(crate) stops: Stops,
    /// Whoever changes the book of a cap: of two changes at a time one would be made again.
    caps: Arc<Mutex<()>>,
}

impl Context {
    /// Makes the context. From now on this controller claims the lease, until it stops.
    pub(crate) fn new(
        mesh: &ControllerMesh,
        config: ControllerConfig,
        account: Option<String>,
        projection: Projection,
        workers: Workers,
        stats: Stats,
    ) -> Self {
        let stops = Stops::default();
        Self {
            mesh: mesh.clone(),
            projection,
            workers,
            by: Author::of(Role::Controller, config.instance.clone()),
            account: account.map(Arc::from),
            leadership: Lease::keep(mesh.clone(), config.instance.clone(), stops.stop.clone()),
            config: Arc::new(config),
            stats,
            stops,
            caps: Arc::default(),
        }
    }

    /// Changes the book of an agent's cap; see [`ControllerMesh::change_cap_book`].
    pub(crate) async fn change_cap_book<T: Send>(
        &self,
        agent: &AgentName,
        change: impl Fn(&mut CapBook) -> (bool, T) + Send + Sync,
    ) -> Result<(CapBook, T), Error> {
        let _alone = self.caps.lock().await;
        self.mesh.change_cap_book(agent, change).await
    }

    /// Runs `work` until the controller stops, then cuts it off.
    pub(crate) async fn until_stopped(&self, work: impl Future<Output = ()>) {
        self.stops.stop.run_until_cancelled(work).await;
    }

    /// A decision that this controller takes on its own.
    pub(crate) fn act(&self) -> Act {
        Act {
            take_over: true,
            ..Act::new(format!("controller {}", self.by.instance), self.mesh.now())
        }
    }

    /// Changes an existing route.
    pub(crate) async fn decide(
        &self,
        agent: &AgentName,
        decide: impl Fn(&Route) -> Result<Option<Route>, Refused> + Send + Sync,
    ) -> Result<Route, Error> {
        let changed = self
            .mesh
            .change_route(agent, |route| match route {
                Some(route) => decide(route),
                None => Ok(None),
            })
            .await?;
        match changed {
            Some((route, revision)) => {
                tracing::debug!(%agent, revision, "route");
                Ok(route)
            }
            None => Err(self.unknown(agent).await),
        }
    }

    /// The route of an agent, read from the bucket.
    pub(crate) async fn route(&self, agent: &AgentName) -> Result<Route, Error> {
        match self.mesh.route(agent).await? {
            Some((route, _)) => Ok(route),
            None => Err(self.unknown(agent).await),
        }
    }

    async fn unknown(&self, agent: &AgentName) -> Error {
        match self.mesh.all_routes().await {
            Ok(routes) => Error::UnknownAgent {
                agent: agent.to_string(),
                known: routes.iter().map(|route| route.agent.to_string()).collect(),
            },
            Err(error) => error,
        }
    }

    /// Makes the consumers of an agent's versions follow the states: the consumers of a version that may run nothing are
    /// paused, so the server itself holds work back, and a retired version has none. If the states change in the
    /// meantime, this starts over, so that nobody resumes what somebody else paused after the route was read.
    ///
    /// This leaves a draining version as it is. The leader may have paused it to find out whether it is empty, and
    /// resumes it if it is not.
    pub(crate) async fn pause_or_resume(&self, route: &Route) -> Result<(), Error> {
        let mut done = route.clone();
        for _ in 0..PAUSE_TRIES {
            // Count once for all of them: an agent may have had many versions.
            let counts = self.mesh.agent_counts(&done.agent).await?;
            for (version, entry) in &done.versions {
                let Some(counts) = counts.get(version) else {
                    // Somebody removed them, or it comes back from retirement.
                    if matches!(
                        entry.state,
                        VersionState::Active | VersionState::Canary | VersionState::Draining
                    ) {
                        self.mesh.ensure_agent(&done.agent, version, self.config.bands).await?;
                    }
                    continue;
                };
                if entry.state == VersionState::Retired {
                    self.mesh.remove_consumers(&done.agent, version).await?;
                    continue;
                }
                // Whoever resumed it may have died before waking its idle workers.
                let sleeps = counts.backlog > 0 && counts.waiting_pulls > 0;
                if done.holds_back(version, self.mesh.now()) {
                    if counts.running {
                        self.hold_back(&done, version).await?;
                    }
                } else if entry.state != VersionState::Draining && (counts.paused || sleeps) {
                    self.mesh.resume_version(&done.agent, version).await?;
                }
            }
            let present = self.route(&done.agent).await?;
            let states = |route: &Route| -> Vec<_> {
                let versions = route.versions.iter();
                versions
                    .map(|(version, entry)| {
                        let is_paused = route.pause_of(version).is_some();
                        (version.clone(), entry.state.clone(), is_paused)
                    })
                    .collect()
            };
            if states(&present) == states(&done) {
                return Ok(());
            }
            done = present;
        }
        // The leader soon compares again.
        Ok(())
    }

    /// Pauses a version that the route holds back. Where it was killed, whatever it was given meanwhile is taken from it again:
    /// somebody had a stale route, or made a consumer at the same moment.
    async fn hold_back(&self, route: &Route, version: &AgentVersion) -> Result<(), Error> {
        let agent = &route.agent;
        match route.pause_of(version).filter(|pause| pause.kill) {
            Some(pause) => {
                let author = Author::of(Role::Operator, pause.by.clone());
                let reason = format!("{agent} was killed");
                let taking = Taking {
                    reason: &reason,
                    by: &author,
                    since: pause.at,
                };
                let lost = self.mesh.fence_version(agent, version, taking).await?;
                self.tell_all(agent, version, &lost).await;
            }
            None => drop(self.mesh.pause_version(agent, version).await?),
        }
        Ok(())
    }

    /// Has the route tell senders what a breaker says.
    pub(crate) async fn tell_breaker(&self, breaker: &Breaker, act: &Act) -> Result<(), Error> {
        let (agent, version) = (&breaker.agent, &breaker.version);
        let route = self.route(agent).await?;
        let told = self.told(&route, breaker);
        if told.as_ref() == route.versions.get(version).and_then(|entry| entry.withheld.as_ref()) {
            return Ok(());
        }
        self.mesh.tell_withheld(agent, version, told.as_ref(), act).await
    }

    /// What a route that follows a breaker tells senders.
    pub(crate) fn told(&self, route: &Route, breaker: &Breaker) -> Option<Withheld> {
        let known = route.versions.get(&breaker.version);
        let known = known.and_then(|entry| entry.withheld.as_ref());
        // Whoever only waits needs no time.
        let on_open = route.policy.as_ref().and_then(|policy| policy.on_open.clone());
        let with_time = !matches!(on_open, None | Some(OnOpen::Wait));
        breaker.told(known, with_time, self.config.breaker.open_for)
    }

    /// The open intents that hold a version, by cause; those in the queue of a version that is quarantined, or that somebody
    /// paused, count as paused.
    pub(crate) async fn hold_views(&self, route: &Route, version: &AgentVersion) -> Result<Vec<HoldView>, Error> {
        let mut views: Vec<HoldView> = self.projection.hold_views(&route.agent, version).await?;
        if route.state(version) == Some(VersionState::Quarantined) || route.pause_of(version).is_some() {
            views = as_paused(views);
        }
        Ok(views)
    }

    /// What still holds a version.
    pub(crate) async fn drain_view(
        &self,
        route: &Route,
        version: &AgentVersion,
        tickets: Counts,
    ) -> Result<DrainView, Error> {
        let holds = self.hold_views(route, version).await?;
        let open = holds.iter().map(|hold| hold.count).sum();
        let agent = &route.agent;
        let entry = route.versions.get(version);
        // What only a person can end has no foreseeable end.
        let by_itself = holds.iter().all(|hold| hold.cause.needs_workers());
        let pace = self.projection.pace(agent, version, self.mesh.now()).await?;
        let eta_seconds = match pace {
            Some(pace) if by_itself && open > 0 && pace > 0.0 => Some(seconds(open, pace)),
            Some(_) | None => None,
        };
        Ok(DrainView {
            version: version.clone(),
            state: route.state(version).unwrap_or_default(),
            since: entry.and_then(|entry| entry.since),
            workers: self.workers.count(agent, version),
            open,
            holds,
            tickets: tickets.backlog + tickets.in_flight,
            eta_seconds,
        })
    }

    /// The evidence on the two versions of a rollout.
    pub(crate) async fn evidence(&self, route: &Route) -> Result<Option<EvidenceView>, Error> {
        let Some(rollout) = &route.rollout else { return Ok(None) };
        let agent = &route.agent;
        let of = |version, since, slow| self.projection.tally(agent, version, since, slow);
        let base = of(&rollout.from, rollout.started_at, None).await?;
        let limit = base.p95_ms.map(|p95| rollout.margins.p95_limit_ms(p95));
        Ok(Some(EvidenceView {
            from: of(&rollout.from, rollout.started_at, limit).await?,
            to: of(&rollout.to, rollout.started_at, limit).await?,
            from_in_step: of(&rollout.from, rollout.step_since, limit).await?,
            to_in_step: of(&rollout.to, rollout.step_since, limit).await?,
        }))
    }

    /// The alarms of an agent, as the leading controller published them. Any controller may be asked, but only the
    /// leader watches.
    pub(crate) fn alarms(&self, agent: &AgentName) -> Vec<Alarm> {
        let report = self.mesh.load();
        let alarms = report.iter().flat_map(|report| &report.alarms);
        alarms.filter(|alarm| alarm.agent == *agent).cloned().collect()
    }
}

/// How long `open` intents take at `pace` per second, in whole seconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people; clamped"
)]
fn seconds(open: u64, pace: f64) -> u64 {
    (open as f64 / pace).ceil().clamp(0.0, 1e9) as u64
}

/// Counts what waits in the queue of a quarantined version as paused.
fn as_paused(views: Vec<HoldView>) -> Vec<HoldView> {
    let (waiting, mut rest): (Vec<HoldView>, Vec<HoldView>) = views
        .into_iter()
        .partition(|view| matches!(view.cause, Cause::Queued | Cause::Delayed));
    let paused = waiting.into_iter().reduce(|mut one, other| {
        one.count += other.count;
        if other.since < one.since {
            (one.oldest, one.since) = (other.oldest, other.since);
        }
        one.intents.extend(other.intents);
        one
    });
    if let Some(mut paused) = paused {
        paused.cause = Cause::Paused;
        rest.push(paused);
    }
    rest
}
