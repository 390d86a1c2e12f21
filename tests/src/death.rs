//! Death everywhere: a pattern of work is run once for each single write of each of its processes, and that process dies
//! right after the write; once more with every delivery doubled. Each time the same must come of it. [`frozen`] does the same
//! with processes that are stopped instead, and wake up when another has taken their place.
//!
//! A process is a client, a worker or a controller in this test, on a connection of its own through a `Proxy`. The proxy
//! counts its writes. The fatal one reaches the server; its answer, and all that the process says or hears afterwards, is
//! lost for good, as if the process had been killed at that moment. Then another takes its place, as an init system would start
//! it.
//!
//! To add a pattern, implement [`Pattern`] (`tests/e2e/death.rs` has some) and give it to [`everywhere`].

mod cast;
mod freeze;
mod judge;
mod moment;
mod process;
mod run;
mod seen;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use baton_agent::AgentBuilder;
use baton_jetstream::{Head, Mesh};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use self::cast::{Cast, Fate, until_fatal};
pub use self::freeze::frozen;
use self::judge::judge;
use self::moment::{Moment, Writes, kinds, moments};
pub use self::process::Part;
use self::process::{Process, Stage};
pub use self::run::Run;
use crate::hurry::hurry;

/// What counts as a write: records, tickets, what clients send, the documents of controllers, and what these do to the
/// streams and consumers of agents.
const WRITES: [&str; 22] = [
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
    "mesh.control.approvals.",
    "mesh.control.channels.",
    "$KV.MESH_CONTROL.unique.",
    "$KV.MESH_CONTROL.shares.",
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
const DELIVERIES: [&str; 11] = [
    "mesh.work.",
    "mesh.intent.",
    "mesh.channel.",
    "mesh.signal.",
    "mesh.decide.",
    "mesh.control.intents.",
    "mesh.control.agents.",
    "mesh.control.work.",
    "mesh.control.schedules.",
    "mesh.control.approvals.",
    "mesh.control.channels.",
];
/// How long a run may take: the ack wait of the intake, the lease of a dead leader, a sweep.
const PATIENCE: Duration = Duration::from_secs(55);
/// How many runs go on at the same time, over all tests of this process.
static ROOM: Semaphore = Semaphore::const_new(10);

/// A pattern of work, with all that must come of it.
pub trait Pattern: Send + Sync + 'static {
    /// Its name, a subject token.
    const NAME: &'static str;

    /// The test that plays [`Part::here`], for processes that are stopped.
    const PART: &'static str = "death::as_a_part_of_a_run";

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Victim {
    /// The client that drives the pattern.
    Client,
    /// The worker of an agent, by its place in [`Pattern::ROLES`].
    Worker(usize),
    /// The controller.
    Controller,
}

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Accident {
    /// Nothing, for the first or the second time.
    Calm(u8),
    Death(Moment),
    Frozen(Moment),
    Doubled,
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calm(time) => write!(f, "calm{time}"),
            Self::Death(moment) => write!(f, "{moment}"),
            Self::Frozen(moment) => write!(f, "ice-{moment}"),
            Self::Doubled => f.write_str("doubled"),
        }
    }
}

/// Runs a pattern without an accident, then once for each write of each process with a death, then with doubled deliveries.
/// Returns how many deaths there were.
///
/// # Panics
/// When anything else comes of a run than must.
pub async fn everywhere<P: Pattern>(pattern: P) -> usize {
    let pattern = Arc::new(pattern);
    let shared = Stage::start().await;
    // Whoever was slow in one of them wrote more, and a death that waits for such a write never comes.
    let writes = one(&pattern, &shared, &Accident::Calm(1)).await.0;
    let again = one(&pattern, &shared, &Accident::Calm(2)).await.0;
    let planned = moments(&writes, &again);
    // What befalls the controller befalls all runs that share it.
    let (own, together): (Vec<_>, Vec<_>) = planned
        .iter()
        .cloned()
        .partition(|moment| moment.victim == Victim::Controller);
    let own = own.into_iter().map(Some).chain([None]).map(|moment| {
        let pattern = &pattern;
        async move {
            let _room = ROOM.acquire().await.expect("open");
            let Some(moment) = moment else {
                let stage = Stage::start().await;
                doubled(pattern, &stage).await;
                stage.mesh.until_intake_is_empty().await;
                return 0;
            };
            let died = moment.until_it_comes(async |moment| {
                let mut stage = Stage::start().await;
                let died = controller_dies(pattern, &mut stage, moment).await;
                stage.mesh.until_intake_is_empty().await;
                died
            });
            usize::from(died.await)
        }
    });
    let together = together.into_iter().map(|moment| {
        let (pattern, shared) = (&pattern, &shared);
        async move {
            let _room = ROOM.acquire().await.expect("open");
            let died = moment.until_it_comes(async |moment| one(pattern, shared, &Accident::Death(moment)).await.1);
            usize::from(died.await)
        }
    });
    let own = futures::stream::iter(own).buffer_unordered(4).collect::<Vec<usize>>();
    let together = futures::stream::iter(together)
        .buffer_unordered(8)
        .collect::<Vec<usize>>();
    let (own, together) = futures::future::join(own, together).await;
    let deaths = own.into_iter().chain(together).sum();
    println!("{}: {deaths} deaths of {}, writes {writes:?}", P::NAME, planned.len());
    // What a process writes only where it is slow is not planned, and what is planned comes at last; but for one: whether the ends of
    // two children stand in one record is up to the moment.
    assert!(
        deaths + (planned.len() / 20).max(1) >= planned.len(),
        "{}: only {deaths} of {} died",
        P::NAME,
        planned.len()
    );
    deaths
}

/// A run on a stage that others use, too; gives what was written, and whether somebody died.
async fn one<P: Pattern>(pattern: &Arc<P>, stage: &Stage, accident: &Accident) -> (Writes, bool) {
    let run = Run::new(P::NAME, accident);
    let mut cast = Cast::start(pattern, stage, &run, None).await;
    if let (Accident::Calm(_), Some(controller)) = (accident, &stage.controller) {
        controller.proxy.count_writes(&WRITES);
    }
    let died = match accident {
        Accident::Death(moment) => {
            cast.doom(moment);
            let driving = cast.drive(pattern, &run);
            cast.let_die(pattern, stage, &run, moment.victim, driving).await
        }
        Accident::Calm(_) | Accident::Frozen(_) | Accident::Doubled => {
            cast.drive(pattern, &run).await;
            false
        }
    };
    let mut writes = cast.writes();
    if let Some(controller) = &stage.controller {
        writes.insert(Victim::Controller, kinds(&controller.proxy.writes()));
    }
    judge(pattern, stage, &run).await;
    (writes, died)
}

/// A run on a stage of its own in which everything is delivered twice.
async fn doubled<P: Pattern>(pattern: &Arc<P>, stage: &Stage) {
    let run = Run::new(P::NAME, &Accident::Doubled);
    let cast = Cast::start(pattern, stage, &run, None).await;
    let controller = stage.controller.iter().map(|controller| &controller.proxy);
    for proxy in cast.proxies().chain(controller) {
        for prefix in DELIVERIES {
            proxy.double_deliveries(prefix);
        }
    }
    cast.drive(pattern, &run).await;
    judge(pattern, stage, &run).await;
}

/// A run on a stage of its own whose controller dies; gives whether it did.
async fn controller_dies<P: Pattern>(pattern: &Arc<P>, stage: &mut Stage, moment: Moment) -> bool {
    let run = Run::new(P::NAME, &Accident::Death(moment.clone()));
    let cast = Cast::start(pattern, stage, &run, None).await;
    let controller = stage.controller.take().expect("a controller");
    controller.proxy.die_after(&WRITES, moment.is_last_of());
    let fate = until_fatal(&run, &controller.proxy, cast.drive(pattern, &run)).await;
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

/// The agents of a run, those without workers last.
fn names<P: Pattern>(run: &Run) -> Vec<String> {
    P::ROLES.iter().chain(P::BY_HAND).map(|role| run.agent(role)).collect()
}
