//! Death everywhere: a pattern of work is run once for each single write of each of its processes, and that process dies
//! right after the write; once more with every delivery doubled. Each time the same must come of it.
//!
//! A process is a client, a worker or a controller in this test, on a connection of its own through a [`Proxy`]. The proxy
//! counts its writes. The fatal one reaches the server; its answer, and all that the process says or hears afterwards, is
//! lost for good, as if the process had been killed at that moment. Then another takes its place, as an init system would start
//! it.
//!
//! To add a pattern, implement [`Pattern`] (`tests/e2e/death.rs` has some) and give it to [`everywhere`].

mod judge;
mod process;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use baton_agent::AgentBuilder;
use baton_jetstream::{Head, Mesh};
use baton_testkit::Proxy;
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use tokio::sync::Semaphore;

use self::judge::judge;
use self::process::{Process, Stage};
pub use self::run::Run;
use crate::hurry::hurry;

/// What counts as a write: records, tickets, what clients send, the documents of controllers, and what these do to the
/// streams and consumers of agents.
const WRITES: [&str; 18] = [
    "mesh.ledger.",
    "mesh.work.",
    "mesh.intent.",
    "mesh.channel.",
    "mesh.signal.",
    "mesh.decide.",
    "mesh.control.intents.",
    "mesh.control.agents.",
    "mesh.control.work.",
    "mesh.control.schedules.",
    "$KV.MESH_ROUTES.",
    "$KV.MESH_BREAKERS.",
    "$KV.MESH_SCHEDULES.",
    "$JS.API.STREAM.CREATE.MESH_WORK_",
    "$JS.API.STREAM.PURGE.MESH_WORK_",
    "$JS.API.STREAM.MSG.DELETE.MESH_WORK_",
    "$JS.API.CONSUMER.CREATE.MESH_WORK_",
    "$JS.API.CONSUMER.PAUSE.MESH_WORK_",
];
/// What a consumer delivers, and what a faulty broker may deliver twice; and what a client asks, which it asks again when it
/// hears no answer.
const DELIVERIES: [&str; 9] = [
    "mesh.work.",
    "mesh.intent.",
    "mesh.channel.",
    "mesh.signal.",
    "mesh.decide.",
    "mesh.control.intents.",
    "mesh.control.agents.",
    "mesh.control.work.",
    "mesh.control.schedules.",
];
/// How long a run may take: the ack wait of the intake, the lease of a dead leader, a sweep.
const PATIENCE: Duration = Duration::from_secs(55);
/// How long after the end of the client's work the fatal write may come: a sweep, and what a leader repeats.
const LATE: Duration = Duration::from_secs(15);
/// How many runs go on at the same time, over all tests of this process.
static ROOM: Semaphore = Semaphore::const_new(10);

/// A pattern of work, with all that must come of it.
pub trait Pattern: Send + Sync + 'static {
    /// Its name, a subject token.
    const NAME: &'static str;

    /// What its agents are called; each gets one worker, and another when that dies.
    const ROLES: &'static [&'static str];

    /// Agents without a worker, whose work people do by hand. The client makes them known.
    const BY_HAND: &'static [&'static str] = &[];

    /// The agent of a role, by [`Run::scripted`].
    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder;

    /// What the client does until the pattern has ended. It may be cut off at any write and begun again, so everything in it
    /// is idempotent.
    fn drive(&self, client: &Mesh, run: &Run) -> impl Future<Output = ()>;

    /// What must have come of each of its intents, beside what holds for every pattern.
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
    /// Nothing, for the first or the second time.
    Calm(u8),
    Death(Victim, usize),
    Doubled,
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calm(time) => write!(f, "calm{time}"),
            Self::Doubled => f.write_str("doubled"),
            Self::Death(Victim::Client, write) => write!(f, "client-{write}"),
            Self::Death(Victim::Worker(place), write) => write!(f, "worker{place}-{write}"),
            Self::Death(Victim::Controller, write) => write!(f, "controller-{write}"),
        }
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
    // Whoever was slow in one of them wrote more, and a death that waits for such a write never comes.
    let (mut writes, _) = one(&pattern, &shared, Accident::Calm(1)).await;
    let (again, _) = one(&pattern, &shared, Accident::Calm(2)).await;
    for (victim, count) in &mut writes {
        *count = again.get(victim).map_or(*count, |other| *other.min(count));
    }
    let cases = |is_own: bool| -> Vec<Accident> {
        let of = writes
            .iter()
            .filter(|(victim, _)| (**victim == Victim::Controller) == is_own);
        of.flat_map(|(victim, count)| (1..=*count).map(|write| Accident::Death(*victim, write)))
            .collect()
    };
    // What befalls the controller befalls all runs that share it.
    let own: Vec<Accident> = cases(true).into_iter().chain([Accident::Doubled]).collect();
    let together = cases(false);
    let planned = own.len() - 1 + together.len();
    let own = futures::stream::iter(own).map(|accident| {
        let pattern = &pattern;
        async move {
            let _room = ROOM.acquire().await.expect("open");
            let mut stage = Stage::start().await;
            let died = one_that_may_kill(pattern, &mut stage, accident).await;
            stage.mesh.until_intake_is_empty().await;
            usize::from(died)
        }
    });
    let together = together.into_iter().map(|accident| {
        let (pattern, shared) = (&pattern, &shared);
        async move {
            let _room = ROOM.acquire().await.expect("open");
            let (_, died) = one(pattern, shared, accident).await;
            usize::from(died)
        }
    });
    let own = own.buffer_unordered(4).collect::<Vec<usize>>();
    let together = futures::stream::iter(together)
        .buffer_unordered(8)
        .collect::<Vec<usize>>();
    let (own, together) = futures::future::join(own, together).await;
    let deaths = own.into_iter().chain(together).sum();
    println!("{}: {deaths} deaths of {planned}, writes {writes:?}", P::NAME);
    // A process writes more in one run than in another where it was slow; most of them die.
    assert!(
        deaths * 5 >= planned * 4,
        "{}: only {deaths} of {planned} died",
        P::NAME
    );
    deaths
}

/// A run on a stage that others use, too; gives what was written, and whether somebody died.
async fn one<P: Pattern>(pattern: &Arc<P>, stage: &Stage, accident: Accident) -> (Writes, bool) {
    let run = Run::new(P::NAME, accident);
    let mut cast = Cast::start(pattern, stage, &run).await;
    if let Accident::Death(victim, write) = accident {
        cast.proxy(victim).count_writes(&WRITES, Some(write));
    }
    if let Accident::Calm(_) = accident
        && let Some(controller) = &stage.controller
    {
        controller.proxy.count_writes(&WRITES, None);
    }
    let driving = cast.drive(pattern, &run);
    let died = match accident {
        Accident::Death(victim, _) => cast.let_die(pattern, stage, &run, victim, driving).await,
        Accident::Calm(_) | Accident::Doubled => {
            driving.await;
            false
        }
    };
    let mut writes = cast.writes();
    if let Some(controller) = &stage.controller {
        writes.insert(Victim::Controller, controller.proxy.writes());
    }
    judge(pattern, stage, &run).await;
    (writes, died)
}

/// A run that has a stage of its own; gives whether somebody died.
async fn one_that_may_kill<P: Pattern>(pattern: &Arc<P>, stage: &mut Stage, accident: Accident) -> bool {
    let run = Run::new(P::NAME, accident);
    let cast = Cast::start(pattern, stage, &run).await;
    let Accident::Death(Victim::Controller, write) = accident else {
        let others = stage.controller.iter().map(|controller| &controller.proxy);
        for proxy in cast.proxies().chain(others) {
            for prefix in DELIVERIES {
                proxy.double_deliveries(prefix);
            }
        }
        cast.drive(pattern, &run).await;
        judge(pattern, stage, &run).await;
        return false;
    };
    let controller = stage.controller.take().expect("a controller");
    controller.proxy.count_writes(&WRITES, Some(write));
    let fate = until_death(&run, &controller.proxy, cast.drive(pattern, &run)).await;
    drop(controller);
    hurry(&stage.mesh, "MESH_INTAKE").await;
    stage.controller = Some(Process::controller(stage.url()).await);
    let died = match fate {
        Fate::Died(driving) => {
            if let Some(driving) = driving {
                driving.await;
            }
            true
        }
        Fate::Survived => false,
    };
    judge(pattern, stage, &run).await;
    died
}

/// What became of the victim.
enum Fate {
    /// Its fatal write is with the server, and this is what the client still has to do.
    Died(Option<Driving>),
    /// It wrote less than in the run without an accident, and all is done.
    Survived,
}

/// Drives until the fatal write of a process has gone to the server.
async fn until_death(run: &Run, proxy: &Proxy, mut driving: Driving) -> Fate {
    let mut died = std::pin::pin!(proxy.died());
    tokio::select! {
        () = &mut died => Fate::Died(Some(driving)),
        () = &mut driving => match tokio::time::timeout(LATE, died).await {
            Ok(()) => Fate::Died(None),
            Err(_) => {
                println!("{}: only {} writes, and nobody died", run.intent(), proxy.writes());
                Fate::Survived
            }
        },
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
        for role in P::ROLES {
            let name = run.agent(role);
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

    /// Drives until one of these dies, puts another in its place, and drives on; gives whether it died.
    async fn let_die<P: Pattern>(
        &mut self,
        pattern: &Arc<P>,
        stage: &Stage,
        run: &Run,
        victim: Victim,
        driving: Driving,
    ) -> bool {
        let Fate::Died(mut driving) = until_death(run, self.proxy(victim), driving).await else {
            return false;
        };
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
        true
    }
}

/// The agents of a run, those without workers last.
fn names<P: Pattern>(run: &Run) -> Vec<String> {
    P::ROLES.iter().chain(P::BY_HAND).map(|role| run.agent(role)).collect()
}
