//! A worker process of one agent version: slots, heartbeats, drain.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baton_envelope::{Author, Declaration, Extra, Share, Timestamp};
use baton_jetstream::{
    Allowance, Delivery, Error, Mesh, Pulled, Puller, RouteFollower, ServiceRegistration, WorkerMesh,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{AgentBuilder, BuildError};
use crate::caps::Caps;
use crate::given::OwnView;
use crate::guard::GRACE;
use crate::held::AllHeld;
use crate::ready::{FIRST_HEARTBEATS, HEARTBEAT, prepare};
use crate::replay::Replays;
use crate::run::WorkerContext;
use crate::watchdog::{Beats, Watchdog, stamp};

/// How long withdrawing the open pulls may take.
const STOP_TIME: Duration = Duration::from_secs(4);
/// How long sending the last messages of a worker may take.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// How long sending a heartbeat may take.
const BEAT_TIME: Duration = Duration::from_secs(1);
/// How long hops that were told to stop may take: their programs have a grace to end, and then they write their release.
const RELEASE_TIME: Duration = GRACE.saturating_add(Duration::from_secs(5));

/// A worker bound to the mesh.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<WorkerContext>,
    puller: Puller,
    declaration: Declaration,
    busy: Arc<AtomicU32>,
    beats: Arc<Beats>,
    drain_timeout: Duration,
    /// Held so that the registration lasts as long as the worker.
    _service: Option<ServiceRegistration>,
    /// Held so that the routes are followed as long as the worker lives.
    _routes: RouteFollower,
    /// Answers replays until the worker stops.
    replays: Option<Replays>,
    /// Keeps what is held until the worker is gone.
    _watchdog: Option<Watchdog>,
}

/// What a worker did between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunSummary {
    /// Deliveries that the worker took.
    pub deliveries: u64,
    /// Hops still running at the end of the grace time; they were handed back.
    pub handed_back: usize,
}

impl AgentBuilder {
    /// Creates the agent's stream and consumers if they are missing, and declares the worker. Where only controllers may
    /// create them, the worker declares itself first and waits until a controller has made them, for as long as it takes.
    ///
    /// # Errors
    /// When there is no handler, or the mesh refuses.
    pub async fn bind(self, mesh: &Mesh) -> Result<Worker, BuildError> {
        Worker::bind(self, WorkerMesh::of(mesh)).await
    }

    /// What a worker of this build says of itself.
    fn declaration(&self, instance: String) -> Declaration {
        Declaration {
            agent: self.name.clone(),
            version: self.version.clone(),
            instance,
            capabilities: self.capabilities.clone(),
            channels: self.channels.clone(),
            kinds: self.kinds.clone(),
            schemas: self.schemas.clone(),
            protocol: self.protocol,
            concurrency: self.concurrency,
            busy: 0,
            stopping: false,
            dropped: 0,
            at: Timestamp::from_unix_millis(0),
            clock_ahead_ms: 0,
            host: String::new(),
            manual: false,
            policy: self.declared_policy(),
            signs: false,
            context: Some(self.view_size.clone()).filter(|size| !size.is_none()),
            extra: Extra::new(),
        }
    }
}

impl Worker {
    async fn bind(mut builder: AgentBuilder, mesh: WorkerMesh) -> Result<Self, BuildError> {
        let Some(handler) = builder.handler.take() else {
            return Err(BuildError::NoHandler(builder.name));
        };
        let instance = builder.instance.take().unwrap_or_else(|| short_instance(&mesh));
        if instance.is_empty() || instance.contains(|c: char| c.is_whitespace() || ".*>".contains(c)) {
            return Err(BuildError::Instance(instance));
        }
        let mut declaration = builder.declaration(instance.clone());
        declaration.signs = mesh.can_sign();
        stamp(&mut declaration, &mesh);
        let (routes, puller) = prepare(&mesh, &declaration, builder.bands).await?;
        // By now the mesh knows the server's time.
        stamp(&mut declaration, &mesh);
        let held = Arc::<AllHeld>::default();
        let service = register(&mesh, &declaration, &held, puller.allowance()).await;
        let declared = builder.own_policy();
        let caps = Caps::new(&mesh, &builder.name, &instance, puller.allowance());
        let shared = WorkerContext {
            mesh: mesh.clone(),
            agent: builder.name.clone(),
            version: builder.version.clone(),
            by: Author::worker(builder.name, builder.version, instance),
            handler,
            protocol: builder.protocol,
            declared,
            groups: Arc::new(builder.groups),
            own_view: Arc::new(OwnView {
                spaces: builder.spaces,
                size: builder.view_size,
            }),
            gate: builder.gate,
            abort: CancellationToken::new(),
            held,
            dropped: Default::default(),
            allowance: puller.allowance(),
            caps,
        };
        mesh.writes_as(&shared.by);
        let replays = Replays::serve(&mesh, &shared).await?;
        let busy = Arc::new(AtomicU32::new(0));
        let beats = Arc::new(Beats::new(declaration.clone(), Arc::clone(&busy)));
        let watchdog = match Watchdog::start(mesh.clone(), Arc::clone(&shared.held), Arc::clone(&beats)) {
            Ok(watchdog) => Some(watchdog),
            // Only handlers that block need it.
            Err(error) => {
                tracing::warn!(%error, "no thread for the watchdog: a handler that blocks its thread loses its hop");
                None
            }
        };
        let worker = Self {
            shared: Arc::new(shared),
            puller,
            declaration,
            busy,
            beats,
            drain_timeout: builder.drain_timeout,
            _service: service,
            _routes: routes,
            replays: Some(replays),
            _watchdog: watchdog,
        };
        mesh.beat(&worker.declaration).await?;
        warn_if_paused(&mesh, &worker.declaration).await;
        Ok(worker)
    }

    /// The id of this worker process.
    pub fn instance(&self) -> &str {
        &self.declaration.instance
    }

    /// Works until `stop` resolves, then drains: takes nothing new, lets running hops finish within the grace time,
    /// hands the rest back, and flushes.
    ///
    /// # Errors
    /// When the mesh refuses to serve this agent version, or requires signatures that this process cannot make; it has
    /// drained then.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<RunSummary, Error> {
        let tracker = TaskTracker::new();
        let mut summary = RunSummary::default();
        let (first_pause, mut first_beats) = FIRST_HEARTBEATS;
        let mut next_beat = tokio::time::Instant::now();
        let mesh = self.shared.mesh.clone();
        let cannot_sign = mesh.until_it_cannot_sign();
        tokio::pin!(stop, cannot_sign);
        let mut unfit = None;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                error = &mut cannot_sign => {
                    tracing::error!(%error, "this worker takes no work any more");
                    unfit = Some(error);
                    break;
                }
                () = tokio::time::sleep_until(next_beat) => {
                    self.beat(false).await;
                    first_beats = first_beats.saturating_sub(1);
                    next_beat += if first_beats > 0 { first_pause } else { HEARTBEAT };
                }
                pulled = self.puller.next() => match pulled? {
                    Pulled::Ticket(delivery) => {
                        summary.deliveries += 1;
                        self.spawn(&tracker, delivery);
                    }
                    Pulled::Closed => break,
                },
            }
        }
        self.beat(true).await;
        summary.handed_back = self.drain(&tracker).await;
        unfit.map_or(Ok(summary), Err)
    }

    /// Runs a delivery in a task of its own. On cancel the hop is handed back (through `abort`); an error is logged; a
    /// panic of the handler is caught around it and counts as a failed attempt.
    fn spawn(&self, tracker: &TaskTracker, delivery: Delivery) {
        let shared = Arc::clone(&self.shared);
        let busy = Arc::clone(&self.busy);
        busy.fetch_add(1, Ordering::Relaxed);
        // On the heap: the runtime moves the future several times, and a hop's state is some kilobytes.
        tracker.spawn(Box::pin(async move {
            shared.take(delivery).await;
            busy.fetch_sub(1, Ordering::Relaxed);
        }));
    }

    async fn drain(mut self, tracker: &TaskTracker) -> usize {
        // Tickets in flight now come without a slot, and are handed back.
        if tokio::time::timeout(STOP_TIME, self.puller.stop()).await.is_err() {
            tracing::warn!("cannot withdraw open pulls in time");
        }
        while let Some(delivery) = self.puller.leftover().await {
            self.spawn(tracker, delivery);
        }
        drop(self.replays.take());
        tracker.close();
        let mut handed_back = 0;
        if tokio::time::timeout(self.drain_timeout, tracker.wait()).await.is_err() {
            handed_back = tracker.len();
            tracing::info!(hops = handed_back, "the grace time is over, handing back running hops");
            self.shared.abort.cancel();
            if tokio::time::timeout(RELEASE_TIME, tracker.wait()).await.is_err() {
                tracing::warn!(
                    hops = tracker.len(),
                    "cannot hand back all hops; the rest come again after the ack wait"
                );
            }
        }
        // Acks are fire-and-forget: a process that exits without a flush loses them. Without a server nothing answers
        // the flush; then the tickets are delivered again, and settled.
        match tokio::time::timeout(FLUSH_TIME, self.shared.mesh.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last acknowledgements may be lost"),
            Err(_) => tracing::warn!("no server takes the last acknowledgements; their tickets will come again"),
        }
        handed_back
    }

    async fn beat(&mut self, stopping: bool) {
        let late = (!stopping).then(|| tokio::time::Instant::now() + HEARTBEAT * 2);
        self.beats.expect(late);
        self.declaration.busy = self.busy.load(Ordering::Relaxed);
        self.declaration.stopping = stopping;
        self.declaration.dropped = self.shared.dropped.count();
        stamp(&mut self.declaration, &self.shared.mesh);
        // While the server is away a publish may wait for buffer space; a heartbeat is not worth that.
        match tokio::time::timeout(BEAT_TIME, self.shared.mesh.beat(&self.declaration)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cannot send a heartbeat"),
            Err(_) => tracing::debug!("cannot send a heartbeat in time"),
        }
    }
}

/// Registers the worker as a service. What `nats service ls` shows depends on it, that the worker hears at once which of its
/// hops are its no longer, and the limits of its agent.
async fn register(
    mesh: &WorkerMesh,
    declaration: &Declaration,
    held: &Arc<AllHeld>,
    allowance: Arc<Allowance>,
) -> Option<ServiceRegistration> {
    let held = Arc::clone(held);
    // The leader tells a share of the agent's limits where it asks whether the worker is there.
    let keep =
        move |told: &[u8]| serde_json::to_vec(&allowance.keep_to(serde_json::from_slice::<Share>(told).ok()?)).ok();
    let registered = mesh
        .register_service(declaration, move |lost| held.doubt(lost), keep)
        .await;
    registered
        .inspect_err(|error| tracing::warn!(%error, "cannot register as a service"))
        .ok()
}

/// Warns if the version takes no work: its worker would otherwise wait forever in silence.
async fn warn_if_paused(mesh: &Mesh, declaration: &Declaration) {
    let Declaration { agent, version, .. } = declaration;
    let Ok(Some((route, _))) = mesh.route(agent).await else {
        return;
    };
    if let Some(pause) = route.pause_of(version) {
        tracing::warn!(%agent, %version, by = pause.by, since = %pause.at, "this version is paused: it gets no work");
    }
    if let Some(state) = route.state(version).filter(baton_envelope::VersionState::is_paused) {
        tracing::warn!(%agent, %version, active = %route.active, "this version is {state}: it gets no work");
    }
}

/// A short id that is unique enough among the workers of one version.
fn short_instance(mesh: &Mesh) -> String {
    mesh.clock()
        .random()
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
