//! Frozen processes: one is stopped (SIGSTOP) right after a write, another takes its place, and then it is woken (SIGCONT) and
//! goes on with what it knew. It keeps its connection, what the server has sent it meanwhile, and its belief that it holds a hop,
//! leads, or has asked for something.
//!
//! The part that is stopped is a process of the operating system: the test binary once more, which plays [`Part::here`]. Its
//! link is stalled with the fatal write, so that it is stopped before it hears the answer. A worker or a controller is woken
//! while the other one works, or after all has ended, in turn; a client after the end, since two clients at once are none of
//! the patterns.
//!
//! Variables make it longer for `.ci/nightly`: `FREEZES=all` takes each write and not only the first of each kind, `FROZEN_FOR` says
//! how many seconds at least a process that is woken after the end was stopped, such as more than the server's window for
//! message ids, and `FROZEN_AT_ONCE` how many are stopped at a time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use baton_testkit::eventually;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::cast::{Cast, Driving, Fate, until_fatal};
use super::judge::judge;
use super::moment::{Moment, moments};
use super::process::{Process, Stage};
use super::seen::Fact;
use super::{Accident, PATIENCE, Pattern, Run, Victim, WRITES, one};
use crate::hurry::hurry;

/// How many of these runs go on at the same time, over all tests of this process; they wait most of the time.
static ROOM: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(number_of("FROZEN_AT_ONCE").unwrap_or(12)));
/// How long from one redelivery of the intake to the next, where a frozen controller may have been given what is in it.
const REDELIVERY: Duration = Duration::from_secs(2);

/// Runs a pattern without an accident, then once for each kind of write of each process, which is frozen right after it.
/// Returns how many were frozen.
///
/// # Panics
/// When anything else comes of a run than must.
pub async fn frozen<P: Pattern>(pattern: P) -> usize {
    let pattern = Arc::new(pattern);
    let shared = Stage::start().await;
    // What a process writes only where it is slow is in one of them alone.
    let writes = one(&pattern, &shared, &Accident::Calm(1)).await.0;
    let again = one(&pattern, &shared, &Accident::Calm(2)).await.0;
    let takes_all = std::env::var("FREEZES").is_ok_and(|which| which == "all");
    let mut planned = moments(&writes, &again);
    planned.retain(|moment| takes_all || moment.is_first());
    let count = planned.len();
    let froze = planned.into_iter().map(|moment| {
        let (pattern, shared) = (&pattern, &shared);
        async move {
            let froze = moment.until_it_comes(async |moment| {
                let _room = ROOM.acquire().await.expect("open");
                freeze(pattern, shared, moment).await
            });
            usize::from(froze.await)
        }
    });
    let at_once = number_of("FROZEN_AT_ONCE").unwrap_or(6);
    let froze = futures::stream::iter(froze)
        .buffer_unordered(at_once)
        .collect::<Vec<usize>>();
    let froze: usize = froze.await.into_iter().sum();
    println!("{}: {froze} frozen of {count}", P::NAME);
    assert!(
        froze * 10 >= count * 9,
        "{}: only {froze} of {count} were frozen",
        P::NAME
    );
    froze
}

/// Stops a process at a moment, and wakes it later; gives whether the moment came.
async fn freeze<P: Pattern>(pattern: &Arc<P>, shared: &Stage, moment: Moment) -> bool {
    let victim = moment.victim;
    let run = Run::shared(P::NAME, &Accident::Frozen(moment.clone()));
    // What befalls the controller befalls all runs that share it.
    let (own, apart) = match victim {
        Victim::Controller => Some(Stage::start_apart::<P>(&run).await),
        Victim::Client | Victim::Worker(_) => None,
    }
    .unzip();
    let stage = own.as_ref().unwrap_or(shared);
    let place = match victim {
        Victim::Worker(place) => Some(place),
        Victim::Client | Victim::Controller => None,
    };
    let mut cast = Cast::start(pattern, stage, &run, place).await;
    let mut frozen = match (place, apart) {
        (Some(place), _) => cast.workers.remove(place),
        (None, Some(controller)) => controller,
        (None, None) => Process::place(stage.url()).await,
    };
    frozen.proxy.stall_after(&WRITES, moment.is_last_of());
    let driving: Driving = if victim == Victim::Client {
        frozen.start_apart::<P>(&run, victim);
        let run = run.clone();
        Box::pin(async move {
            // One that has panicked is silent: neither its fatal write comes, nor the word that it has stopped.
            let stopped = tokio::time::timeout(3 * PATIENCE, run.stopped()).await;
            stopped.expect(
                "the client apart comes to its fatal write, or does all that it has to do: see what it printed",
            );
        })
    } else {
        cast.drive(pattern, &run)
    };
    let rest = match until_fatal(&run, &frozen.proxy, driving).await {
        Fate::Died(rest) => rest,
        Fate::Survived => {
            judge(pattern, stage, &run).await;
            return false;
        }
    };
    frozen.stop();
    let since = Instant::now();
    let mut other = None;
    let driving: Driving = match victim {
        Victim::Client => cast.drive(pattern, &run),
        Victim::Worker(place) => {
            cast.replace(pattern, stage, &run, place).await;
            rest.unwrap_or_else(|| Box::pin(async {}))
        }
        Victim::Controller => {
            let controller = Process::controller(stage.url()).await;
            controller.proxy.count_writes(&WRITES);
            other = Some(controller);
            rest.unwrap_or_else(|| Box::pin(async {}))
        }
    };
    let successor = match place {
        Some(place) => cast.workers.get(place),
        None => other.as_ref(),
    };
    let early = successor.filter(|_| moment.number % 2 == 1);
    let is_awake = drive_on(stage, driving, early, &mut frozen).await;
    run.tell(Fact::Over);
    if !is_awake {
        sleep_until(since + frozen_for()).await;
        frozen.wake();
    }
    frozen.end(&run, victim).await;
    if victim == Victim::Controller {
        hurry(&stage.mesh, "MESH_INTAKE").await;
    }
    judge(pattern, stage, &run).await;
    if victim == Victim::Controller {
        stage.mesh.until_intake_is_empty().await;
    }
    true
}

/// Drives to the end of the client's work. Wakes the frozen one as soon as its successor has written something, if there is one
/// to wait for; gives whether it did.
async fn drive_on(stage: &Stage, mut driving: Driving, early: Option<&Process>, frozen: &mut Process) -> bool {
    let wrote = async {
        let Some(successor) = early else {
            return std::future::pending().await;
        };
        eventually(
            "the successor has written something",
            3 * PATIENCE,
            async || match successor.proxy.writes().is_empty() {
                true => Err("nothing".to_owned()),
                false => Ok(()),
            },
        )
        .await;
    };
    // What the server has given to a frozen controller comes again only after half a minute.
    let hurrying = async {
        loop {
            sleep(REDELIVERY).await;
            hurry(&stage.mesh, "MESH_INTAKE").await;
        }
    };
    tokio::pin!(wrote, hurrying);
    let is_own = stage.controller.is_none();
    let mut is_awake = false;
    loop {
        tokio::select! {
            () = &mut driving => return is_awake,
            () = &mut wrote, if !is_awake => {
                frozen.wake();
                is_awake = true;
            }
            () = &mut hurrying, if is_own => {}
        }
    }
}

/// How long a process that is woken after the end was frozen at least.
fn frozen_for() -> Duration {
    Duration::from_secs(number_of("FROZEN_FOR").unwrap_or(0))
}

fn number_of<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}
