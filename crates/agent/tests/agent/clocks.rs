//! Workers whose machine has another time than the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_envelope::Timestamp;
use baton_jetstream::{Clock, ControllerMesh, SystemClock, Target};

use crate::support::{TestServer, completed, eventually, mesh, shout, submit};

const OFF: Duration = Duration::from_secs(60);
/// Far less than the clocks are apart.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug)]
enum Off {
    Behind,
    Ahead,
}

impl Clock for Off {
    fn now(&self) -> Timestamp {
        match self {
            Self::Behind => SystemClock.now().minus(OFF),
            Self::Ahead => SystemClock.now().plus(OFF),
        }
    }

    fn random(&self) -> [u8; 10] {
        SystemClock.random()
    }
}

/// Fails once, and asks for another attempt after half a second.
struct FailsOnce(Arc<AtomicU32>);

impl Handler for FailsOnce {
    type Input = String;

    async fn handle(&self, _: &mut Hop, _: String) -> Result<Outcome, Fault> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(Fault::retry("not yet").after(Duration::from_millis(500)));
        }
        Outcome::complete("done")
    }
}

async fn retries_soon(clock: Off) {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let runs = Arc::new(AtomicU32::new(0));
    let agent = Agent::builder("shout", "1.0.0")
        .unwrap()
        .handler(FailsOnce(Arc::clone(&runs)));
    let elsewhere = Target::at(server.url()).connect_with(Arc::new(clock)).await.unwrap();
    let worker = agent.bind(&elsewhere).await.unwrap();
    let working = tokio::spawn(worker.run_until(std::future::pending()));

    let intent = submit(&mesh, "retried").await;
    let head = completed(&mesh, &intent, SOON).await;
    working.abort();

    assert_eq!(runs.load(Ordering::Relaxed), 2);
    // What it writes down is in the server's time, too.
    let apart = head.record.at.since(mesh.now()).max(mesh.now().since(head.record.at));
    assert!(apart < OFF / 2, "its record is {apart:?} off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_is_behind_retries_by_the_servers_clock() {
    retries_soon(Off::Behind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_is_ahead_retries_by_the_servers_clock() {
    retries_soon(Off::Ahead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_in_its_heartbeats_that_its_clock_is_off() {
    for (clock, expected) in [(Off::Behind, -60), (Off::Ahead, 60)] {
        let server = TestServer::start().await;
        let mesh = mesh(&server).await;
        let mut beats = ControllerMesh::of(&mesh).heartbeats().await.unwrap();
        let elsewhere = Target::at(server.url()).connect_with(Arc::new(clock)).await.unwrap();
        let worker = shout().bind(&elsewhere).await.unwrap();
        let beat = tokio::time::timeout(SOON, beats.next()).await.unwrap().unwrap();
        assert_eq!((beat.clock_ahead_ms + 500).div_euclid(1000), expected, "{beat:?}");
        assert!(!beat.host.is_empty(), "{beat:?}");
        drop(worker);
    }
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let mut beats = ControllerMesh::of(&mesh).heartbeats().await.unwrap();
    let _worker = shout().bind(&mesh).await.unwrap();
    let right = tokio::time::timeout(SOON, beats.next()).await.unwrap().unwrap();
    assert_eq!(
        (right.clock_ahead_ms, &*right.host),
        (0, ""),
        "a right clock costs no byte"
    );
}

/// While it is told to, it is set back by an hour before each reading.
#[derive(Debug, Default)]
struct SetBack {
    begun: AtomicBool,
    hours: AtomicU32,
}

impl Clock for SetBack {
    fn now(&self) -> Timestamp {
        let hours = match self.begun.load(Ordering::SeqCst) {
            true => self.hours.fetch_add(1, Ordering::SeqCst),
            false => 0,
        };
        SystemClock.now().minus(Duration::from_secs(60 * 60) * hours)
    }

    fn random(&self) -> [u8; 10] {
        SystemClock.random()
    }
}

/// As [`FailsOnce`], and from then on the clock is set back.
struct FailsAndSets(FailsOnce, Arc<SetBack>);

impl Handler for FailsAndSets {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, input: String) -> Result<Outcome, Fault> {
        self.1.begun.store(true, Ordering::SeqCst);
        self.0.handle(hop, input).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_during_a_write_makes_no_retry_late() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let clock = Arc::new(SetBack::default());
    let handler = FailsAndSets(FailsOnce(Arc::default()), Arc::clone(&clock));
    let agent = Agent::builder("shout", "1.0.0").unwrap().handler(handler);
    let elsewhere = Target::at(server.url());
    let elsewhere = elsewhere
        .connect_with(Arc::clone(&clock) as Arc<dyn Clock>)
        .await
        .unwrap();
    let worker = agent.bind(&elsewhere).await.unwrap();
    let working = tokio::spawn(worker.run_until(std::future::pending()));

    let intent = submit(&mesh, "retried").await;
    let delay = eventually("the retry is written", SOON, async || {
        let head = mesh.head(&intent).await.map_err(|error| error.to_string())?;
        let record = head.ok_or("no record")?.record;
        let wake_at = record.snapshot.wake_at.ok_or(record.event.name())?;
        Ok(wake_at.since(record.at))
    })
    .await;
    clock.begun.store(false, Ordering::SeqCst);
    completed(&mesh, &intent, SOON).await;
    working.abort();
    assert_eq!(delay, Duration::from_millis(500));
}
