//! Limits of an agent for its whole fleet: never passed, whoever dies, and changed while work goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_agent::{AgentBuilder, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent_at, logged};
use baton_envelope::control::ShowArchive;
use baton_jetstream::{ControllerMesh, Shares};
use baton_testkit::{ProcessGuard, eventually};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::nats_cli::run;

/// How long the whole of a test's work may take on a busy machine.
const LONG: Duration = Duration::from_secs(90);

/// What runs at this moment, the most that ever did, and when each hop was started.
#[derive(Debug, Clone, Default)]
struct Gauge {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    starts: Arc<Mutex<Vec<Instant>>>,
}

/// One hop, until it ends or is dropped.
struct Runs(Gauge);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gauge {
    fn enter(&self) -> Runs {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.starts.lock().expect("the list").push(Instant::now());
        Runs(self.clone())
    }

    /// The most since the last call.
    fn most(&self) -> usize {
        self.most.swap(self.now.load(Ordering::SeqCst), Ordering::SeqCst)
    }

    fn started(&self) -> usize {
        self.starts.lock().expect("the list").len()
    }
}

fn worker(gauge: &Gauge, version: &str, takes: Duration) -> AgentBuilder {
    let gauge = gauge.clone();
    let builder = agent_at("work", version, move |_| {
        let gauge = gauge.clone();
        async move {
            let _runs = gauge.enter();
            tokio::time::sleep(takes).await;
            Outcome::complete(&"done")
        }
    });
    builder.concurrency(8)
}

async fn limit(mesh: &TestMesh, args: &[&str]) -> String {
    let line: Vec<&str> = ["agents", "limit", "work"].iter().chain(args).copied().collect();
    run(mesh.baton(&line)).await.exits(0).stdout
}

fn controller(mesh: &TestMesh, name: &str, dir: &TempDir) -> ProcessGuard {
    let mut command = mesh.baton(&["controller", "--sweep-interval", "300ms"]);
    command.env("BATON_LOG", "info,async_nats=off");
    ProcessGuard::spawn(name, command, dir.path())
}

/// Submits so many intents at once.
async fn submit(mesh: &TestMesh, begin: &str, count: usize) {
    let envelopes = (0..count).map(|number| mesh.envelope(&format!("{begin}-{number}"), "work", "1"));
    mesh.submit_all(envelopes.collect()).await;
}

/// Waits until so many hops have been started in all and none runs.
async fn until_done(gauge: &Gauge, count: usize) {
    eventually(&format!("{count} hops are done"), LONG, async || {
        let (started, now) = (gauge.started(), gauge.now.load(Ordering::SeqCst));
        match started >= count && now == 0 {
            true => Ok(()),
            false => Err(format!("{started} started, {now} run")),
        }
    })
    .await;
}

async fn shares(mesh: &TestMesh) -> Result<Shares, String> {
    let agent = "work".parse().expect("agent");
    let shares = ControllerMesh::of(&mesh.mesh).shares(&agent).await;
    shares.map_err(|error| error.to_string())
}

/// Waits until so many workers have a share, and all of the limit is shared.
async fn until_shared(mesh: &TestMesh, workers: usize, limit: u64) {
    eventually(&format!("{workers} workers share {limit}"), SOON, async || {
        let bounds = shares(mesh).await?.bounds;
        let sum: u64 = bounds.values().map(|bound| bound.in_flight).sum();
        match bounds.len() == workers && sum == limit {
            true => Ok(()),
            false => Err(format!("{bounds:?}")),
        }
    })
    .await;
}

/// Waits until a worker has been told its share: as many slots as that run something at once.
async fn until_running(gauge: &Gauge, count: usize) {
    eventually(&format!("{count} run at a time"), LONG, async || {
        match gauge.most.load(Ordering::SeqCst) {
            most if most >= count => Ok(()),
            most => Err(format!("{most} at most")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_run_than_the_limit_whoever_dies_and_it_is_changed_while_they_work() {
    let mesh = TestMesh::start_without_controller().await;
    let dir = TempDir::new().expect("a folder");
    let mut controllers = vec![controller(&mesh, "one", &dir)];
    logged(&controllers[0], "controller started").await;
    let gauge = Gauge::default();
    let takes = Duration::from_millis(40);
    let mut fleet = Vec::new();
    for _ in 0..4 {
        fleet.push(Running::start(mesh.server.url(), worker(&gauge, "1.0.0", takes)).await);
    }
    mesh.until_version_is("work", "1.0.0", "active").await;
    let said = limit(&mesh, &["--in-flight", "3"]).await;
    assert!(said.contains("3 hops at a time"), "{said}");
    until_shared(&mesh, 4, 3).await;
    submit(&mesh, "a", 120).await;
    until_running(&gauge, 3).await;
    // The leader dies while work goes on, and a worker too.
    controllers[0].kill();
    drop(fleet.pop());
    controllers.push(controller(&mesh, "two", &dir));
    logged(&controllers[1], "controller started").await;
    fleet.push(Running::start(mesh.server.url(), worker(&gauge, "1.0.0", takes)).await);
    until_done(&gauge, 120).await;
    assert_eq!(gauge.most(), 3);

    // More, and then fewer.
    limit(&mesh, &["--in-flight", "9"]).await;
    // The share of the dead one is free after its time.
    until_shared(&mesh, 4, 9).await;
    submit(&mesh, "b", 200).await;
    until_running(&gauge, 9).await;
    until_done(&gauge, 320).await;
    assert_eq!(gauge.most(), 9);
    submit(&mesh, "c", 400).await;
    until_running(&gauge, 9).await;
    limit(&mesh, &["--in-flight", "1"]).await;
    // As soon as all have said that they keep to less; that nothing runs for a moment says nothing.
    until_shared(&mesh, 4, 1).await;
    gauge.most();
    let before = gauge.started();
    assert!(before < 710, "all was done before the limit was lowered");
    eventually("ten more were started", LONG, async || match gauge.started() {
        started if started >= before + 10 => Ok(()),
        started => Err(format!("{started} of {}", before + 10)),
    })
    .await;
    assert!(gauge.most() <= 1);
    // Lifted, nothing holds them back.
    let said = limit(&mesh, &["--in-flight", "0"]).await;
    assert!(said.contains("no limits"), "{said}");
    submit(&mesh, "d", 200).await;
    until_running(&gauge, 10).await;
    until_done(&gauge, 920).await;
    for worker in fleet {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_controller_shares_stay_and_a_new_worker_has_none() {
    let mesh = TestMesh::start_without_controller().await;
    let dir = TempDir::new().expect("a folder");
    let mut first = controller(&mesh, "one", &dir);
    logged(&first, "controller started").await;
    let (old, new) = (Gauge::default(), Gauge::default());
    let takes = Duration::from_millis(20);
    let worker_of_before = Running::start(mesh.server.url(), worker(&old, "1.0.0", takes)).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    limit(&mesh, &["--in-flight", "2"]).await;
    // A leader that dies before it has told a share leaves the worker with none.
    until_shared(&mesh, 1, 2).await;
    submit(&mesh, "a", 20).await;
    until_done(&old, 20).await;
    assert!(mesh.ask(&ShowArchive {}).await.is_ok());
    first.kill();
    let newcomer = Running::start(mesh.server.url(), worker(&new, "1.0.0", takes)).await;
    submit(&mesh, "b", 40).await;
    until_done(&old, 60).await;
    assert!(old.most() <= 8 && new.started() == 0, "{old:?} {new:?}");
    // A controller comes back, and gives the new one its share.
    let second = controller(&mesh, "two", &dir);
    logged(&second, "controller started").await;
    eventually("the new worker works", LONG, async || {
        submit(&mesh, &format!("c{}", old.started() + new.started()), 8).await;
        match new.started() {
            0 => Err(format!("{} by the old one", old.started())),
            _ => Ok(()),
        }
    })
    .await;
    worker_of_before.stop().await;
    newcomer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hops_are_started_no_faster_than_the_rate() {
    let mesh = TestMesh::start().await;
    let gauge = Gauge::default();
    let mut fleet = Vec::new();
    for version in ["1.0.0", "1.0.0", "1.0.0"] {
        fleet.push(Running::start(mesh.server.url(), worker(&gauge, version, Duration::ZERO)).await);
    }
    mesh.until_version_is("work", "1.0.0", "active").await;
    let said = limit(&mesh, &["--rate", "20/s"]).await;
    assert!(said.contains("20/s started"), "{said}");
    eventually("the rate is shared", SOON, async || {
        let bounds = shares(&mesh).await?.bounds;
        let rate: u64 = bounds.values().map(|bound| bound.rate_per_hour).sum();
        match bounds.len() == 3 && rate == 72_000 {
            true => Ok(()),
            false => Err(format!("{bounds:?}")),
        }
    })
    .await;
    submit(&mesh, "a", 80).await;
    until_done(&gauge, 80).await;
    let starts = gauge.starts.lock().expect("the list").clone();
    // In any second: the rate, and for each worker what it may start at once.
    let most = starts
        .iter()
        .map(|from| {
            let end = *from + Duration::from_secs(1);
            starts.iter().filter(|at| **at >= *from && **at < end).count()
        })
        .max();
    println!("at most {most:?} started in a second, of 20");
    assert!(most <= Some(20 + 2 * 3), "{most:?}");
    let (first, last) = (starts.iter().min(), starts.iter().max());
    let took = *last.expect("a start") - *first.expect("a start");
    assert!(took >= Duration::from_millis(3_500), "{took:?}");
    let said = limit(&mesh, &[]).await;
    assert!(said.contains("20/s started"), "{said}");
    for worker in fleet {
        worker.stop().await;
    }
}
