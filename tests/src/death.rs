//! Death everywhere: a pattern of work is run once for each single write of each of its processes, and that process dies
//! right after the write; once more with every delivery doubled. Each time the same must come of it.
//!
//! A process is a client, a worker or a controller in this test, on a connection of its own through a [`Proxy`]. The proxy
//! counts its writes. The fatal one reaches the server; its answer, and all that the process says or hears afterwards, is
//! lost for good, as if the process had been killed at that moment. Then another takes its place, as an init system would start
//! it.
//!
//! To add a pattern, implement [`Pattern`] (`tests/e2e/death.rs` has some) and give it to [`everywhere`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome};
use baton_controller::{Controller, ControllerConfig};
use baton_envelope::{Author, Envelope, IntentId, Role, Timestamp};
use baton_jetstream::{Head, Mesh};
use baton_testkit::{Proxy, eventually};
use futures::StreamExt as _;
use futures::future::{BoxFuture, LocalBoxFuture};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::chaos::assert_legal;
use crate::hurry::hurry;
use crate::{TestMesh, connect};

/// What counts as a write: records, tickets, and what clients send.
const WRITES: [&str; 6] = [
    "mesh.ledger.",
    "mesh.work.",
    "mesh.intent.",
    "mesh.signal.",
    "mesh.decide.",
    "mesh.control.intents.",
];
/// What a consumer delivers, and what a faulty broker may deliver twice.
const DELIVERIES: [&str; 4] = ["mesh.work.", "mesh.intent.", "mesh.signal.", "mesh.decide."];
/// How long a run may take: the ack wait of the intake, the lease of a dead leader, a sweep.
const PATIENCE: Duration = Duration::from_secs(55);
/// How many runs go on at the same time, over all tests of this process.
static ROOM: Semaphore = Semaphore::const_new(10);

/// A pattern of work, with all that must come of it.
pub trait Pattern: Send + Sync + 'static {
    /// Its name, a subject token.
    const NAME: &'static str;

    /// What its agents are called; each gets one worker, and another when that dies.
    const ROLES: &'static [&'static str];

    /// Whether each process writes as often in every run. Where another may do its work first, or do two things in one write, a
    /// run may end before the fatal write.
    const IS_STEADY: bool = true;

    /// The agent of a role, by [`Run::scripted`].
    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder;

    /// What the client does until the pattern has ended. It may be cut off at any write and begun again, so everything in it
    /// is idempotent.
    fn drive(&self, client: &Mesh, run: &Run) -> impl Future<Output = ()>;

    /// What must have come of it, beside what holds for every pattern.
    fn judge(&self, run: &Run, history: &[Head]);
}

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The client that drives the pattern.
    Client,
    /// The worker of an agent, by its place in [`Pattern::ROLES`].
    Worker(usize),
    /// The controller.
    Controller,
}

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accident {
    Nothing,
    Death(Victim, usize),
    Doubled,
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("calm"),
            Self::Doubled => f.write_str("doubled"),
            Self::Death(Victim::Client, write) => write!(f, "client-{write}"),
            Self::Death(Victim::Worker(place), write) => write!(f, "worker{place}-{write}"),
            Self::Death(Victim::Controller, write) => write!(f, "controller-{write}"),
        }
    }
}

/// One run of a pattern.
#[derive(Debug, Clone)]
pub struct Run {
    pattern: &'static str,
    tag: String,
    seen: Arc<Mutex<Seen>>,
    later: Arc<OnceLock<Timestamp>>,
}

/// What really happened in a run, beside what the ledger says.
#[derive(Debug, Default)]
struct Seen {
    /// How often the effect of each step ran.
    effects: BTreeMap<String, usize>,
    /// The signals that were sent: name and id.
    signals: BTreeMap<String, String>,
}

impl Run {
    fn new(pattern: &'static str, accident: Accident) -> Self {
        Self {
            pattern,
            tag: accident.to_string(),
            seen: Arc::default(),
            later: Arc::default(),
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of an agent in this run.
    #[must_use]
    pub fn agent(&self, role: &str) -> String {
        format!("{role}-{}-{}", self.pattern, self.tag)
    }

    /// The intent of this run.
    #[must_use]
    pub fn intent(&self) -> IntentId {
        crate::gated::id(&format!("{}-{}", self.pattern, self.tag))
    }

    /// The same time in every call: so long after the first.
    pub fn later(&self, client: &Mesh, after: Duration) -> Timestamp {
        *self.later.get_or_init(|| client.now().plus(after))
    }

    /// An agent whose hops run a script.
    pub fn scripted<F>(&self, role: &str, script: F) -> AgentBuilder
    where
        F: for<'h> Fn(&'h mut Hop, &'h Self) -> BoxFuture<'h, Result<Outcome, Fault>> + Send + Sync + 'static,
    {
        let (run, script) = (self.clone(), Box::new(script));
        let handler = Scripted { run, script };
        Agent::builder(&self.agent(role), "1.0.0")
            .expect("agent")
            .handler(handler)
    }

    /// A step of a script; its effect is counted.
    ///
    /// # Errors
    /// As [`Hop::step`].
    pub async fn step(&self, hop: &mut Hop, name: &str) -> Result<(), Fault> {
        let effect = || async {
            *self.seen().effects.entry(name.to_owned()).or_default() += 1;
            Ok::<_, Fault>("done".to_owned())
        };
        hop.step(name, effect).await.map(|_: String| ())
    }

    /// Submits the intent of this run, however often it takes.
    pub async fn submit(&self, client: &Mesh, role: &str, change: impl Fn(&mut Envelope) + Send + Sync) {
        let agent = self.agent(role);
        eventually(&format!("{} is submitted", self.intent()), PATIENCE, async || {
            let to = agent.parse().expect("agent name");
            let id = client.clock().envelope_id();
            let mut envelope = Envelope::first(id, self.intent(), to, Json::null());
            change(&mut envelope);
            let by = Author::of(Role::Client, "test");
            let submitted = client.submit_when_known(envelope, by, PATIENCE).await;
            submitted.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Sends a signal; the name is its id, too.
    pub async fn signal(&self, client: &Mesh, name: &str) {
        let (intent, id) = (self.intent(), format!("{name}-{}", self.tag));
        self.seen().signals.insert(name.to_owned(), id.clone());
        eventually(&format!("{name} is sent to {intent}"), PATIENCE, async || {
            let body = format!("\"{name}\"").into();
            let sent = client.send_signal(&intent, name, Some(&id), body).await;
            sent.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Waits until the status is one of these, by their wire names.
    pub async fn until(&self, client: &Mesh, statuses: &[&str]) -> Head {
        let intent = self.intent();
        eventually(&format!("{intent} is {statuses:?}"), PATIENCE, async || {
            match client.head(&intent).await {
                Ok(Some(head)) if statuses.contains(&head.record.snapshot.status.name()) => Ok(head),
                Ok(Some(head)) => Err(format!(
                    "{} ({})",
                    head.record.snapshot.status,
                    head.record.event.name()
                )),
                Ok(None) => Err("no record".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Waits until it has ended.
    pub async fn until_ended(&self, client: &Mesh) -> Head {
        self.until(client, &["completed", "failed", "cancelled", "rejected", "timed_out"])
            .await
    }
}

type Script = dyn for<'h> Fn(&'h mut Hop, &'h Run) -> BoxFuture<'h, Result<Outcome, Fault>> + Send + Sync;

struct Scripted {
    run: Run,
    script: Box<Script>,
}

impl Handler for Scripted {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        (self.script)(hop, &self.run).await
    }
}

/// A process that may die.
#[derive(Debug)]
struct Process {
    proxy: Proxy,
    task: Option<JoinHandle<()>>,
}

impl Process {
    async fn client(url: &str) -> (Self, Mesh) {
        let proxy = Proxy::start(url).await;
        let mesh = connect(proxy.url()).await;
        (Self { proxy, task: None }, mesh)
    }

    async fn worker(url: &str, builder: AgentBuilder) -> Self {
        let (mut process, mesh) = Self::client(url).await;
        let worker = builder.bind(&mesh).await.expect("bind");
        process.task = Some(tokio::spawn(async move {
            worker.run_until(std::future::pending()).await.expect("worker");
        }));
        process
    }

    async fn controller(url: &str) -> Self {
        let (mut process, mesh) = Self::client(url).await;
        let config = ControllerConfig {
            sweep_interval: Duration::from_secs(1),
            sweep_slack: Duration::from_secs(3),
            ..ControllerConfig::default()
        };
        let controller = Controller::new(mesh, config);
        process.task = Some(tokio::spawn(async move {
            controller.run_until(std::future::pending()).await.expect("controller");
        }));
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The proxy closes its connections, so that what still runs of it reaches nobody.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A server with a controller, for one run or for several.
#[derive(Debug)]
struct Stage {
    mesh: TestMesh,
    controller: Option<Process>,
}

impl Stage {
    async fn start() -> Self {
        let mesh = TestMesh::start_without_controller().await;
        let controller = Some(Process::controller(mesh.server.url()).await);
        Self { mesh, controller }
    }

    fn url(&self) -> &str {
        self.mesh.server.url()
    }
}

/// What a run cost: the writes of each process.
type Writes = BTreeMap<Victim, usize>;

/// Runs a pattern without an accident, then once for each write of each process with a death, then with doubled deliveries.
/// Returns how many deaths there were.
///
/// # Panics
/// When anything else comes of a run than must.
pub async fn everywhere<P: Pattern>(pattern: P) -> usize {
    let pattern = Arc::new(pattern);
    let shared = Stage::start().await;
    let writes = one(&pattern, &shared, Accident::Nothing).await;
    let cases = |is_own: bool| -> Vec<Accident> {
        let of = writes
            .iter()
            .filter(|(victim, _)| (**victim == Victim::Controller) == is_own);
        of.flat_map(|(victim, count)| (1..=*count).map(|write| Accident::Death(*victim, write)))
            .collect()
    };
    // What befalls the controller befalls all runs that share it.
    let own: Vec<Accident> = cases(true).into_iter().chain([Accident::Doubled]).collect();
    let (alone, together) = (own.len() - 1, cases(false));
    let deaths = alone + together.len();
    let own = futures::stream::iter(own).map(|accident| {
        let pattern = &pattern;
        async move {
            let _room = ROOM.acquire().await.expect("open");
            let mut stage = Stage::start().await;
            one_that_may_kill(pattern, &mut stage, accident).await;
            stage.mesh.until_intake_is_empty().await;
        }
    });
    let together = futures::stream::iter(together).map(|accident| {
        let (pattern, shared) = (&pattern, &shared);
        async move {
            let _room = ROOM.acquire().await.expect("open");
            one(pattern, shared, accident).await;
        }
    });
    let own = own.buffer_unordered(4).collect::<Vec<()>>();
    let together = together.buffer_unordered(8).collect::<Vec<()>>();
    futures::future::join(own, together).await;
    println!("{}: {deaths} deaths, writes {writes:?}", P::NAME);
    deaths
}

/// A run on a stage that others use, too.
async fn one<P: Pattern>(pattern: &Arc<P>, stage: &Stage, accident: Accident) -> Writes {
    let run = Run::new(P::NAME, accident);
    let mut cast = Cast::start(pattern, stage, &run).await;
    if let Accident::Death(victim, write) = accident {
        cast.proxy(victim).count_writes(&WRITES, Some(write));
    }
    if accident == Accident::Nothing
        && let Some(controller) = &stage.controller
    {
        controller.proxy.count_writes(&WRITES, None);
    }
    let driving = cast.drive(pattern, &run);
    match accident {
        Accident::Death(victim, _) => cast.let_die(pattern, stage, &run, victim, driving).await,
        Accident::Nothing | Accident::Doubled => driving.await,
    }
    let mut writes = cast.writes();
    if let Some(controller) = &stage.controller {
        writes.insert(Victim::Controller, controller.proxy.writes());
    }
    judge(pattern, stage, &run).await;
    writes
}

/// A run that has a stage of its own.
async fn one_that_may_kill<P: Pattern>(pattern: &Arc<P>, stage: &mut Stage, accident: Accident) {
    let Accident::Death(Victim::Controller, write) = accident else {
        let run = Run::new(P::NAME, accident);
        let cast = Cast::start(pattern, stage, &run).await;
        let others = stage.controller.iter().map(|controller| &controller.proxy);
        for proxy in cast.proxies().chain(others) {
            for prefix in DELIVERIES {
                proxy.double_deliveries(prefix);
            }
        }
        cast.drive(pattern, &run).await;
        return judge(pattern, stage, &run).await;
    };
    let run = Run::new(P::NAME, accident);
    let cast = Cast::start(pattern, stage, &run).await;
    let controller = stage.controller.take().expect("a controller");
    controller.proxy.count_writes(&WRITES, Some(write));
    let driving = until_death::<P>(&run, &controller.proxy, cast.drive(pattern, &run)).await;
    drop(controller);
    hurry(&stage.mesh, "MESH_INTAKE").await;
    stage.controller = Some(Process::controller(stage.url()).await);
    if let Some(driving) = driving {
        driving.await;
    }
    judge(pattern, stage, &run).await;
}

/// Drives until the fatal write of a process has gone to the server. `None` when the client was done before that.
async fn until_death<P: Pattern>(run: &Run, proxy: &Proxy, mut driving: Driving) -> Option<Driving> {
    let died = async {
        let died = tokio::time::timeout(PATIENCE, proxy.died()).await;
        let (intent, writes) = (run.intent(), proxy.writes());
        assert!(died.is_ok(), "{intent}: only {writes} writes, and nobody died");
    };
    let mut died = std::pin::pin!(died);
    tokio::select! {
        () = &mut died => Some(driving),
        () = &mut driving => {
            if P::IS_STEADY {
                died.await;
            }
            None
        }
    }
}

/// The client at work.
type Driving = LocalBoxFuture<'static, ()>;

/// The client and the workers of a run.
struct Cast {
    client: (Process, Mesh),
    workers: Vec<Process>,
}

impl Cast {
    /// Starts all, and waits until the agents take work.
    async fn start<P: Pattern>(pattern: &Arc<P>, stage: &Stage, run: &Run) -> Self {
        let client = Process::client(stage.url()).await;
        let mut workers = Vec::new();
        for role in P::ROLES {
            workers.push(Process::worker(stage.url(), pattern.agent(run, role)).await);
        }
        for name in names::<P>(run) {
            stage.mesh.until_version_is(&name, "1.0.0", "active").await;
        }
        let cast = Self { client, workers };
        for proxy in cast.proxies() {
            proxy.count_writes(&WRITES, None);
        }
        cast
    }

    fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        [&self.client.0]
            .into_iter()
            .chain(&self.workers)
            .map(|process| &process.proxy)
    }

    fn proxy(&self, victim: Victim) -> &Proxy {
        match victim {
            Victim::Worker(place) => self.workers.get(place).map(|process| &process.proxy),
            Victim::Client | Victim::Controller => None,
        }
        .unwrap_or(&self.client.0.proxy)
    }

    fn writes(&self) -> Writes {
        let mut writes = Writes::from([(Victim::Client, self.client.0.proxy.writes())]);
        for (place, worker) in self.workers.iter().enumerate() {
            writes.insert(Victim::Worker(place), worker.proxy.writes());
        }
        writes
    }

    fn drive<P: Pattern>(&self, pattern: &Arc<P>, run: &Run) -> Driving {
        let (pattern, run, client) = (Arc::clone(pattern), run.clone(), self.client.1.clone());
        Box::pin(async move { pattern.drive(&client, &run).await })
    }

    /// Drives until one of these dies, puts another in its place, and drives on.
    async fn let_die<P: Pattern>(
        &mut self,
        pattern: &Arc<P>,
        stage: &Stage,
        run: &Run,
        victim: Victim,
        driving: Driving,
    ) {
        let mut driving = until_death::<P>(run, self.proxy(victim), driving).await;
        if let Victim::Worker(place) = victim {
            drop(self.workers.remove(place));
            let role = P::ROLES.get(place).expect("a role");
            hurry(&stage.mesh, &format!("MESH_WORK_{}", run.agent(role))).await;
            let builder = pattern.agent(run, role);
            self.workers.insert(place, Process::worker(stage.url(), builder).await);
        } else if driving.is_some() {
            self.client = Process::client(stage.url()).await;
            driving = Some(self.drive(pattern, run));
        }
        if let Some(driving) = driving {
            driving.await;
        }
    }
}

fn names<P: Pattern>(run: &Run) -> Vec<String> {
    P::ROLES.iter().map(|role| run.agent(role)).collect()
}

/// What holds for every pattern.
async fn judge<P: Pattern>(pattern: &Arc<P>, stage: &Stage, run: &Run) {
    let (mesh, intent) = (&stage.mesh, run.intent());
    run.until_ended(&mesh.mesh).await;
    for name in names::<P>(run) {
        eventually(&format!("{name} has no ticket"), PATIENCE, async || {
            let state = mesh.stream_state(&format!("MESH_WORK_{name}")).await;
            (state["messages"] == 0).then_some(()).ok_or(state.to_string())
        })
        .await;
    }
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    steps_ran_once(run, &history);
    signals_are_told(run, mesh, &history).await;
    pattern.judge(run, &history);
}

/// No step is repeated, and each wait ends once.
fn steps_ran_once(run: &Run, history: &[Head]) {
    let intent = run.intent();
    let (mut recorded, mut ended): (BTreeMap<String, usize>, BTreeMap<(u32, String), usize>) = Default::default();
    for head in history {
        if let Some(step) = &head.record.step {
            *recorded.entry(step.name.clone()).or_default() += 1;
        }
        for result in &head.record.results {
            *ended
                .entry((head.record.snapshot.hop, result.name.clone()))
                .or_default() += 1;
        }
    }
    assert!(recorded.values().all(|count| *count == 1), "{intent}: {recorded:?}");
    assert!(ended.values().all(|count| *count == 1), "{intent}: {ended:?}");
    assert_eq!(
        run.seen().effects,
        recorded,
        "{intent}: effects on the left, recorded steps on the right"
    );
}

/// Each signal was taken by one wait, or is a dead letter, and never both or neither.
async fn signals_are_told(run: &Run, mesh: &TestMesh, history: &[Head]) {
    let (intent, signals) = (run.intent(), run.seen().signals.clone());
    for (name, id) in signals {
        let of = history
            .iter()
            .filter(|head| head.record.signal.as_ref().is_some_and(|signal| signal.id == id));
        let told: Vec<u64> = of.map(|head| head.seq).collect();
        assert!(told.len() <= 1, "{intent}: {name} was recorded {} times", told.len());
        let results = history.iter().flat_map(|head| &head.record.results);
        let taken = results
            .filter(|result| result.seq.is_some_and(|seq| told.contains(&seq)))
            .count();
        let letter = intent.letter(&id);
        if taken == 0 {
            eventually(
                &format!("{name} of {intent} is a dead letter"),
                PATIENCE,
                async || match mesh.mesh.head(&letter).await {
                    Ok(Some(_)) => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
        } else {
            assert_eq!(taken, 1, "{intent}: {name} was taken twice");
            let dead = mesh.mesh.head(&letter).await.expect("an answer");
            assert!(dead.is_none(), "{intent}: {name} was taken, and is a dead letter");
        }
    }
}
