//! Rounds do not depend on each other: planted rounds that hang, fail and panic beside the real ones, observations that
//! are too old, and what a leader knows in its next term.

mod timers;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_envelope::rollout::{Act, declare};
use baton_envelope::{AgentName, AgentVersion, Declaration, Extra, ProtocolRange, VersionState};
use baton_jetstream::{ControllerMesh, Error, Limits, Mesh, Target};
use baton_testkit::{Proxy, TestServer, eventually};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::RoundError;
use super::observations::{FRESH, Observations};
use super::round::{Period, Round};
use super::*;
use crate::config::ControllerConfig;
use crate::context::Context;
use crate::duty::{Duty as _, FollowLedger};
use crate::projection::Projection;
use crate::stats::{RoundOutcome, RoundStats, Stats};
use crate::workers::Workers;

const PATIENCE: Duration = Duration::from_secs(30);
const OFTEN: Period = Period::Time(Duration::from_millis(10));

fn agent() -> AgentName {
    "code".parse().unwrap()
}

fn version(text: &str) -> AgentVersion {
    text.parse().unwrap()
}

async fn context(url: &str) -> Context {
    let mesh = Target::at(url).connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let config = ControllerConfig {
        sweep_interval: Duration::from_millis(50),
        instance: "c1".to_owned(),
        ..ControllerConfig::default()
    };
    let projection = Projection::open(&mesh, None).await.unwrap();
    let cx = Context::new(
        &ControllerMesh::of(&mesh),
        config,
        None,
        projection,
        Workers::default(),
        Stats::default(),
    );
    tokio::spawn(FollowLedger.run(cx.clone()));
    cx
}

/// Declares a version without a live worker.
async fn declared(mesh: &Mesh, of: &str) {
    let declaration = Declaration {
        agent: agent(),
        version: version(of),
        instance: "gone".to_owned(),
        capabilities: Vec::new(),
        channels: Vec::new(),
        kinds: Vec::new(),
        schemas: BTreeMap::new(),
        protocol: ProtocolRange::default(),
        concurrency: 1,
        busy: 0,
        stopping: false,
        dropped: 0,
        at: mesh.now(),
        clock_ahead_ms: 0,
        host: String::new(),
        manual: false,
        policy: None,
        signs: false,
        context: None,
        extra: Extra::new(),
    };
    let act = Act::new("test", mesh.now());
    let decide = |route: Option<&baton_envelope::Route>| Ok(declare(route, &declaration, &act));
    ControllerMesh::of(mesh).change_route(&agent(), decide).await.unwrap();
}

async fn state(mesh: &Mesh, of: &str) -> Option<VersionState> {
    let route = mesh.route(&agent()).await.unwrap().expect("a route").0;
    route.state(&version(of))
}

fn lead(cx: &Context, rounds: fn(&Term) -> Vec<Task>) -> JoinHandle<()> {
    tokio::spawn(Leader::new(rounds).run(cx.clone()))
}

async fn stop(cx: &Context, leader: JoinHandle<()>) {
    cx.stops.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), leader)
        .await
        .expect("the leader stops")
        .unwrap();
}

async fn leads(cx: &Context) {
    eventually("it leads", PATIENCE, async || {
        let is_leading = cx.leadership.is_leading();
        is_leading.then_some(()).ok_or_else(|| "it does not".to_owned())
    })
    .await;
}

/// Waits until a round's numbers are right, and returns them.
async fn until(cx: &Context, name: &str, is_right: impl Fn(&RoundStats) -> bool) -> RoundStats {
    eventually(name, PATIENCE, async || {
        let stats = cx.stats.rounds().remove(name).ok_or("it never began")?;
        is_right(&stats)
            .then(|| stats.clone())
            .ok_or_else(|| format!("{stats:?}"))
    })
    .await
}

/// Never ends, and is never cut off.
struct Hangs;

impl Round for Hangs {
    const NAME: &'static str = "hangs";
    const TIMEOUT: Duration = Duration::from_secs(3600);
    const PERIOD: Period = OFTEN;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, _: &Term) -> Result<(), RoundError> {
        std::future::pending().await
    }
}

/// Never ends on its own.
struct TooSlow;

impl Round for TooSlow {
    const NAME: &'static str = "too slow";
    const TIMEOUT: Duration = Duration::from_millis(50);
    const PERIOD: Period = OFTEN;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, _: &Term) -> Result<(), RoundError> {
        std::future::pending().await
    }
}

struct Fails;

impl Round for Fails {
    const NAME: &'static str = "fails";
    const PERIOD: Period = OFTEN;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, _: &Term) -> Result<(), RoundError> {
        Err(Error::no_answer("a round", "planted").into())
    }
}

/// Panics in the second round after each start.
struct Panics {
    rounds: u64,
}

impl Round for Panics {
    const NAME: &'static str = "panics";
    const PERIOD: Period = OFTEN;

    fn begin(_: &Term) -> Self {
        Self { rounds: 0 }
    }

    async fn round(&mut self, _: &Term) -> Result<(), RoundError> {
        self.rounds += 1;
        assert!(self.rounds < 2, "planted");
        Ok(())
    }
}

fn planted(term: &Term) -> Vec<Task> {
    let mut rounds = vec![
        round::<Hangs>(term),
        round::<TooSlow>(term),
        round::<Fails>(term),
        round::<Panics>(term),
    ];
    rounds.extend(all(term));
    rounds
}

/// Fails if one task runs all rounds, if a panic or an error ends more than its own round, or if a hanging round keeps
/// the leader from stopping.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_hangs_fails_or_panics_leaves_the_others_running() {
    let server = TestServer::start().await;
    let cx = context(server.url()).await;
    declared(&cx.mesh, "1.0.0").await;
    let leader = lead(&cx, planted);
    let often = [
        "observe",
        "rollouts",
        "drains",
        "misrouted",
        "readiness",
        "alarms",
        "load",
        "sweep",
        "archive",
    ];
    for name in often {
        until(&cx, name, |stats| stats.ok >= 3).await;
    }
    for name in ["consumers", "tidy"] {
        until(&cx, name, |stats| stats.ok >= 1).await;
    }

    let hangs = until(&cx, Hangs::NAME, |stats| stats.running_since.is_some()).await;
    assert_eq!((hangs.ok, hangs.failed, hangs.skipped, hangs.last), (0, 0, 0, None));
    let why = |stats: RoundStats| {
        let last = stats.last.expect("one ended");
        assert_eq!(last.outcome, RoundOutcome::Failed);
        last.why.expect("a reason")
    };
    let slow = until(&cx, TooSlow::NAME, |stats| stats.failed >= 2).await;
    assert!(slow.took >= TooSlow::TIMEOUT * 2, "{slow:?}");
    assert_eq!(why(slow), "it did not end within 50 ms");
    assert!(why(until(&cx, Fails::NAME, |stats| stats.failed >= 2).await).contains("planted"));
    // After each panic it started over; otherwise no other round of it would have succeeded.
    let failed_last = |stats: &RoundStats| {
        stats
            .last
            .as_ref()
            .is_some_and(|last| last.outcome == RoundOutcome::Failed)
    };
    let panics = until(&cx, Panics::NAME, |stats| {
        stats.ok >= 2 && stats.failed >= 2 && failed_last(stats)
    });
    assert_eq!(why(panics.await), "it panicked: planted");

    stop(&cx, leader).await;
    assert_eq!(cx.stats.rounds()[Hangs::NAME].running_since, None);
}

async fn seen(term: &Term, ago: Duration) -> Observations {
    Observations {
        at: Instant::now().checked_sub(ago).expect("the machine runs for longer"),
        routes: term.cx.mesh.known_routes().await.unwrap(),
        open: BTreeMap::new(),
        tickets: BTreeMap::from([(agent(), BTreeMap::new())]),
        alone: BTreeMap::from([((agent(), version("2.0.0")), term.cx.mesh.now())]),
    }
}

/// Publishes observations that are too old.
struct ObservesLate;

impl Round for ObservesLate {
    const NAME: &'static str = "observes late";
    const PERIOD: Period = OFTEN;

    fn begin(_: &Term) -> Self {
        Self
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        term.observed(seen(term, FRESH + Duration::from_millis(1)).await);
        Ok(())
    }
}

fn late(term: &Term) -> Vec<Task> {
    vec![
        round::<ObservesLate>(term),
        round::<Rollouts>(term),
        round::<Drains>(term),
        round::<Misrouted>(term),
        round::<Readiness>(term),
        round::<Alarms>(term),
        round::<Load>(term),
    ]
}

/// Fails if a round decides by observations older than two seconds, or by none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_observations_decide_nothing() {
    let server = TestServer::start().await;
    let cx = context(server.url()).await;
    declared(&cx.mesh, "1.0.0").await;
    declared(&cx.mesh, "2.0.0").await;
    assert_eq!(state(&cx.mesh, "2.0.0").await, Some(VersionState::Ready));
    let leader = lead(&cx, late);
    for name in ["rollouts", "drains", "misrouted", "readiness", "alarms", "load"] {
        let stats = until(&cx, name, |stats| stats.skipped >= 2).await;
        assert_eq!((stats.ok, stats.failed), (0, 0), "{name}");
        let why = stats.last.expect("one ended").why.expect("a reason");
        assert!(why.starts_with("the observations are"), "{why}");
    }
    assert_eq!(state(&cx.mesh, "2.0.0").await, Some(VersionState::Ready));

    // The same observations, made just now, make it declared again.
    let term = Term::begin(&cx);
    let unobserved = Readiness::begin(&term).round(&term).await;
    assert!(matches!(unobserved, Err(RoundError::Unobserved)), "{unobserved:?}");
    term.observed(seen(&term, Duration::ZERO).await);
    Readiness::begin(&term).round(&term).await.unwrap();
    assert_eq!(state(&cx.mesh, "2.0.0").await, Some(VersionState::Declared));
    stop(&cx, leader).await;
}

static TERMS: AtomicU64 = AtomicU64::new(0);
static NOTED: Mutex<Vec<Noted>> = Mutex::new(Vec::new());

/// What a planted round noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noted {
    term: u64,
    round: u64,
    observed: bool,
}

/// Counts its rounds, and publishes observations to the other rounds of its term.
struct Remembers {
    term: u64,
    rounds: u64,
}

impl Round for Remembers {
    const NAME: &'static str = "remembers";
    const PERIOD: Period = OFTEN;

    fn begin(_: &Term) -> Self {
        let term = TERMS.fetch_add(1, Ordering::Relaxed) + 1;
        Self { term, rounds: 0 }
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        self.rounds += 1;
        let noted = Noted {
            term: self.term,
            round: self.rounds,
            observed: term.observations().is_ok(),
        };
        NOTED.lock().unwrap().push(noted);
        term.observed(Observations {
            at: Instant::now(),
            routes: Vec::new(),
            open: BTreeMap::new(),
            tickets: BTreeMap::new(),
            alone: BTreeMap::new(),
        });
        Ok(())
    }
}

fn remembering(term: &Term) -> Vec<Task> {
    vec![round::<Remembers>(term)]
}

/// Fails if anything a leader knew survives into its next term, if a round runs between two terms, or if one can write
/// there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_fresh_after_a_change_of_leader() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.url()).await;
    let cx = context(proxy.url()).await;
    let leader = lead(&cx, remembering);
    let noted = async |term: u64, round: u64| {
        let what = format!("round {round} of term {term}");
        eventually(&what, PATIENCE, async || {
            let noted = NOTED.lock().unwrap();
            let found = noted.iter().find(|one| one.term == term && one.round == round);
            found.copied().ok_or_else(|| format!("{:?}", noted.last()))
        })
        .await
    };
    assert!(!noted(1, 1).await.observed);
    assert!(noted(1, 3).await.observed);

    proxy.cut();
    eventually("it leads no more", PATIENCE, async || {
        let is_leading = cx.leadership.is_leading();
        (!is_leading).then_some(()).ok_or_else(|| "it does".to_owned())
    })
    .await;
    let refused = Term::begin(&cx).in_charge().map(drop);
    assert!(matches!(refused, Err(RoundError::NotLeading)), "{refused:?}");
    proxy.heal();
    leads(&cx).await;
    assert_eq!(
        noted(2, 1).await,
        Noted {
            term: 2,
            round: 1,
            observed: false
        }
    );
    assert!(noted(2, 3).await.observed);
    // Nothing came from the first term after the second began.
    let order: Vec<u64> = NOTED.lock().unwrap().iter().map(|one| one.term).collect();
    assert!(order.is_sorted(), "{order:?}");
    stop(&cx, leader).await;
}
