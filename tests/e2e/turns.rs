//! Work in the order of a key, and in turn of its submitters: one at a time, in order, whoever dies; by CLI, SDK and `nats`.

mod fleet;
mod rates;
mod unacked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_agent::{AgentBuilder, Fault, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent_at, assert_legal, events, logged};
use baton_e2e::gated::{Gate, id};
use baton_envelope::{Author, Envelope, IntentId, Role};
use baton_jetstream::{Error, Submitted};
use baton_testkit::{Headers, ProcessGuard, eventually};
use futures::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::nats_cli::{Run, run};

/// How long the whole of a test's work may take on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// What ran: of each key the numbers in the order in which they began, and the most at a time.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<BTreeMap<String, Line>>>);

#[derive(Debug, Clone, Default)]
struct Line {
    /// Each number once, when it first began.
    begun: Vec<u64>,
    now: usize,
    most: usize,
    done: BTreeSet<u64>,
    failed: BTreeSet<u64>,
}

/// One run, until it ends or is dropped.
struct Runs(Log, String);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.with(&self.1, |line| line.now -= 1);
    }
}

impl Log {
    fn with<T>(&self, key: &str, change: impl FnOnce(&mut Line) -> T) -> T {
        let mut lines = self.0.lock().expect("the log");
        change(lines.entry(key.to_owned()).or_default())
    }

    fn enter(&self, key: &str, number: u64) -> Runs {
        self.with(key, |line| {
            line.now += 1;
            line.most = line.most.max(line.now);
            if !line.begun.contains(&number) {
                line.begun.push(number);
            }
        });
        Runs(self.clone(), key.to_owned())
    }

    fn line(&self, key: &str) -> Line {
        self.with(key, |line| line.clone())
    }

    fn done(&self) -> usize {
        let lines = self.0.lock().expect("the log");
        lines.values().map(|line| line.done.len()).sum()
    }

    async fn until_done(&self, count: usize) {
        eventually(&format!("{count} are done"), LONG, async || match self.done() {
            done if done >= count => Ok(()),
            done => Err(format!("{done}")),
        })
        .await;
    }
}

/// An agent whose hops take this long.
fn worker(log: &Log, version: &str, takes: Duration) -> AgentBuilder {
    let log = log.clone();
    // What takes a moment fails once in a while.
    let fails = !takes.is_zero();
    let builder = agent_at("work", version, move |envelope: Envelope| {
        let log = log.clone();
        async move {
            let payload: Value = serde_json::from_str(envelope.payload.get()).expect("JSON");
            let (key, number) = (
                payload["key"].as_str().unwrap_or("-"),
                payload["n"].as_u64().unwrap_or(0),
            );
            let _runs = log.enter(key, number);
            tokio::time::sleep(takes).await;
            if number % 5 == 3 && fails && log.with(key, |line| line.failed.insert(number)) {
                return Err(Fault::retry("once more"));
            }
            log.with(key, |line| line.done.insert(number));
            Outcome::complete(&number)
        }
    });
    builder.concurrency(8).retry(RetryPolicy {
        unit: Duration::from_millis(5),
        ..RetryPolicy::default()
    })
}

fn payload(key: &str, number: u64) -> String {
    json!({ "key": key, "n": number }).to_string()
}

fn keyed(mesh: &TestMesh, key: &str, number: u64) -> Envelope {
    let mut envelope = mesh.envelope(&format!("{key}-{number}"), "work", &payload(key, number));
    envelope.order_key = Some(key.to_owned());
    envelope
}

fn client(name: &str) -> Author {
    Author::of(Role::Client, name)
}

/// Submits so many of a key, one after the other.
async fn submit(mesh: &TestMesh, key: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let submitted = mesh.mesh.submit(keyed(mesh, key, number), client("test")).await;
        assert!(matches!(submitted, Ok(Submitted::New { .. })), "{submitted:?}");
    }
}

fn controller(mesh: &TestMesh, name: &str, dir: &TempDir) -> ProcessGuard {
    let mut command = mesh.baton(&["controller", "--sweep-interval", "300ms"]);
    command.env("BATON_LOG", "info,async_nats=off");
    ProcessGuard::spawn(name, command, dir.path())
}

async fn send(mesh: &TestMesh, args: &[&str]) -> Run {
    let line: Vec<&str> = ["send", "work"].iter().chain(args).copied().collect();
    run(mesh.baton(&line)).await
}

async fn limit(mesh: &TestMesh, args: &[&str]) -> String {
    let line: Vec<&str> = ["agents", "limit", "work"].iter().chain(args).copied().collect();
    run(mesh.baton(&line)).await.exits(0).stdout
}

fn in_order(line: &Line, count: u64, what: &str) {
    assert_eq!(line.begun, (0..count).collect::<Vec<_>>(), "{what}: out of order");
    assert_eq!(line.most, 1, "{what}: two at a time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_is_in_order_and_keys_go_side_by_side_whoever_dies() {
    let mesh = TestMesh::start_without_controller().await;
    let dir = TempDir::new().expect("a folder");
    let mut controllers = vec![controller(&mesh, "one", &dir)];
    logged(&controllers[0], "controller started").await;
    controllers.push(controller(&mesh, "two", &dir));
    logged(&controllers[1], "controller started").await;
    let log = Log::default();
    let takes = Duration::from_millis(10);
    let mut fleet = Vec::new();
    for _ in 0..3 {
        fleet.push(Running::start(mesh.server.url(), worker(&log, "1.0.0", takes)).await);
    }
    mesh.until_version_is("work", "1.0.0", "active").await;
    // By the SDK, several keys at once, each in its order.
    let keys: Vec<String> = (0..8).map(|key| format!("key-{key}")).collect();
    join_all(keys.iter().map(|key| submit(&mesh, key, 0..15))).await;
    // By `nats` alone: two controllers route them in any order.
    let bare = mesh.server.client().await;
    for number in 0..40 {
        let mut headers = Headers::new();
        headers.insert("Baton-Order-Key", "raw");
        headers.insert("Baton-Intent", format!("raw-{number}").as_str());
        let body = payload("raw", number).into();
        bare.publish_with_headers("mesh.intent.work", headers, body)
            .await
            .expect("published");
    }
    bare.flush().await.expect("flushed");
    // One of each dies in the middle.
    log.until_done(30).await;
    controllers[0].kill();
    drop(fleet.pop());
    log.until_done(8 * 15 + 40).await;
    for key in &keys {
        in_order(&log.line(key), 15, key);
        for number in 0..15 {
            mesh.until(&id(&format!("{key}-{number}")), "completed", SOON).await;
        }
    }
    in_order(&log.line("raw"), 40, "raw");
    for number in [0, 20, 39] {
        let history = mesh.history_of(&id(&format!("raw-{number}"))).await;
        assert_legal(&history);
        assert_eq!(events(&history)[..3], ["submitted", "placed", "resumed"], "{number}");
    }
    // By the CLI, behind what is there.
    let first = send(&mesh, &[&payload("cli", 0), "--order-key", "cli"]).await.exits(0);
    assert!(first.stdout.contains("waiting(order)"), "{first:?}");
    let args = ["--order-key", "cli", "--wait"];
    let last = send(&mesh, &[&[payload("cli", 1).as_str()], &args[..]].concat())
        .await
        .exits(0);
    assert_eq!(last.stdout.trim(), "1");
    in_order(&log.line("cli"), 2, "cli");
    for worker in fleet {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_still_keeps_its_place_and_what_ends_leaves_it() {
    let mesh = TestMesh::start().await;
    let log = Log::default();
    let gate = Gate::shut();
    let (gated, at_gate) = (log.clone(), gate.clone());
    let builder = agent_at("work", "1.0.0", move |envelope: Envelope| {
        let (log, gate) = (gated.clone(), at_gate.clone());
        async move {
            let payload: Value = serde_json::from_str(envelope.payload.get()).expect("JSON");
            let number = payload["n"].as_u64().unwrap_or(0);
            let _runs = log.enter("k", number);
            gate.pass().await;
            log.with("k", |line| line.done.insert(number));
            match number {
                2 => Err(Fault::terminal("NO_LUCK", "not today")),
                _ => Outcome::complete(&number),
            }
        }
    });
    let worker = Running::start(mesh.server.url(), builder.concurrency(8)).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    submit(&mesh, "k", 0..6).await;
    let of = |number: u64| -> IntentId { id(&format!("k-{number}")) };
    mesh.until(&of(0), "in_progress", SOON).await;
    // One is paused before its turn, one is cancelled, and neither has begun.
    run(mesh.baton(&["intents", "pause", "k-1", "--reason", "wait"]))
        .await
        .exits(0);
    run(mesh.baton(&["intents", "cancel", "k-3", "--reason", "not any more"]))
        .await
        .exits(0);
    // It is no attempt that waits, so there is none to hurry.
    run(mesh.baton(&["intents", "retry", "k-4"])).await.exits(4);
    gate.lift();
    mesh.until(&of(0), "completed", SOON).await;
    // What is parked keeps its place: whoever redrives it finds that nothing has overtaken it.
    let still = mesh.head_of(&of(2)).await;
    assert_eq!(still.record.snapshot.status.to_string(), "waiting(order)");
    run(mesh.baton(&["intents", "resume", "k-1"])).await.exits(0);
    for (number, status) in [
        (1, "completed"),
        (2, "failed"),
        (3, "cancelled"),
        (4, "completed"),
        (5, "completed"),
    ] {
        mesh.until(&of(number), status, SOON).await;
        assert_legal(&mesh.history_of(&of(number)).await);
    }
    let line = log.line("k");
    assert_eq!((line.begun, line.most), (vec![0, 1, 2, 4, 5], 1));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_in_the_middle_keeps_the_order() {
    let mesh = TestMesh::start().await;
    let log = Log::default();
    let takes = Duration::from_millis(20);
    let old = Running::start(mesh.server.url(), worker(&log, "1.0.0", takes)).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    submit(&mesh, "a", 0..20).await;
    let new = Running::start(mesh.server.url(), worker(&log, "2.0.0", takes)).await;
    mesh.until_version_is("work", "2.0.0", "ready").await;
    log.until_done(3).await;
    run(mesh.baton(&["route", "set", "work", "2.0.0"])).await.exits(0);
    submit(&mesh, "a", 20..30).await;
    log.until_done(30).await;
    in_order(&log.line("a"), 30, "a");
    old.stop().await;
    new.stop().await;
}

/// Submits keys of twelve, one after the other, until so many of one have run at a time: the leader sees a new limit within about a
/// second. Gives that key, and how many keys it took.
async fn until_at_a_time(mesh: &TestMesh, log: &Log, want: usize) -> String {
    let until = Instant::now() + LONG;
    let before = log.done();
    for number in 1.. {
        let key = format!("at-{want}-{number}");
        submit(mesh, &key, 0..12).await;
        log.until_done(before + 12 * number).await;
        let most = log.line(&key).most;
        if most == want {
            return key;
        }
        assert!(most <= 3 && Instant::now() < until, "{most} at a time");
    }
    unreachable!("numbers do not end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_of_a_key_at_a_time_as_the_agent_allows() {
    let mesh = TestMesh::start().await;
    let log = Log::default();
    let worker = Running::start(mesh.server.url(), worker(&log, "1.0.0", Duration::from_millis(60))).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    let said = limit(&mesh, &["--per-key", "3"]).await;
    assert!(said.contains("3 at a time of each order key"), "{said}");
    let key = until_at_a_time(&mesh, &log, 3).await;
    let turns: Vec<u64> = turns(&mesh, &key, 12).await.into_iter().map(|(_, turn)| turn).collect();
    assert!(turns.is_sorted(), "{key}: {turns:?}");
    // And one again.
    limit(&mesh, &["--per-key", "0"]).await;
    let key = until_at_a_time(&mesh, &log, 1).await;
    in_order(&log.line(&key), 12, &key);
    worker.stop().await;
}

/// Where in the ledger each of these was submitted and had its turn.
async fn turns(mesh: &TestMesh, name: &str, count: u64) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for number in 0..count {
        let history = mesh.history_of(&id(&format!("{name}-{number}"))).await;
        let turn = history.iter().find(|head| head.record.event.name() == "resumed");
        found.push((history[0].seq, turn.expect("its turn").seq));
    }
    found
}

/// Submits work without a key until it waits for a turn, or waits for none any more: whoever submits goes by a table of routes.
async fn until_turns(mesh: &TestMesh, waits: bool) {
    let until = Instant::now() + LONG;
    for number in 0.. {
        let probe = format!("probe-{waits}-{number}");
        mesh.submit_envelope(mesh.envelope(&probe, "work", &payload("probe", 0)))
            .await;
        mesh.until(&id(&probe), "completed", SOON).await;
        if events(&mesh.history_of(&id(&probe)).await).contains(&"resumed") == waits {
            return;
        }
        assert!(Instant::now() < until, "the limit does not show");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_many_keeps_nobody_waiting_who_sends_few() {
    let mesh = TestMesh::start().await;
    let log = Log::default();
    let worker = Running::start(
        mesh.server.url(),
        worker(&log, "1.0.0", Duration::from_millis(20)).concurrency(2),
    )
    .await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    let said = limit(&mesh, &["--fair", "4"]).await;
    assert!(said.contains("4 in the queues"), "{said}");
    until_turns(&mesh, true).await;
    let all = |name: &'static str, count: u64| {
        let mesh = &mesh;
        let each = (0..count).map(move |number| async move {
            let envelope = mesh.envelope(&format!("{name}-{number}"), "work", &payload(name, number));
            mesh.mesh
                .submit(envelope, client(&format!("{name}@host:{number}")))
                .await
        });
        join_all(each)
    };
    for submitted in all("many", 400).await {
        assert!(matches!(submitted, Ok(Submitted::New { .. })), "{submitted:?}");
    }
    log.until_done(20).await;
    let queues = mesh.stream_state("MESH_WORK_work").await;
    assert!(queues["messages"].as_u64().is_some_and(|count| count <= 8), "{queues}");
    all("few", 10).await;
    eventually("the few are done", LONG, async || match log.line("few").done.len() {
        10 => Ok(()),
        done => Err(format!("{done}")),
    })
    .await;
    // Without turns, what waits is let go.
    limit(&mesh, &["--fair", "0"]).await;
    eventually("the many are done", LONG, async || match log.line("many").done.len() {
        400 => Ok(()),
        done => Err(format!("{done}")),
    })
    .await;
    until_turns(&mesh, false).await;
    // From when the last of the few was there until it had its turn, the many had about as many turns as the few.
    let few = turns(&mesh, "few", 10).await;
    let (there, turn) = *few.iter().max().expect("ten");
    let of_many = turns(&mesh, "many", 400).await;
    let between = of_many.iter().filter(|(_, at)| (there..turn).contains(at)).count();
    assert!(between <= 24, "{between} of the many had their turn first");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_key_is_refused_whichever_way_it_comes() {
    let mesh = TestMesh::start().await;
    let log = Log::default();
    let worker = Running::start(mesh.server.url(), worker(&log, "1.0.0", Duration::ZERO)).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    let long = "k".repeat(10_000);
    for (bad, said) in [
        (&["1", "--order-key", &long][..], "at most 256 bytes"),
        (&["1", "--order-key", ""], "is empty"),
        (&["1", "--order-key", "k", "--delay", "1h"], "--delay"),
        (&["--capability", "x", "--order-key", "k", "1"], "names none"),
    ] {
        let line: Vec<&str> = match bad.first() {
            Some(&"--capability") => ["send"].iter().chain(bad).copied().collect(),
            _ => ["send", "work"].iter().chain(bad).copied().collect(),
        };
        run(mesh.baton(&line)).await.exits(2).says(&[said]);
    }
    let bare = mesh.server.client().await;
    for (intent, key, more) in [
        ("long", long.as_str(), None),
        ("empty", "", None),
        ("later", "k", Some(("Baton-Not-Before", "10m"))),
    ] {
        let mut headers = Headers::new();
        headers.insert("Baton-Intent", intent);
        headers.insert("Baton-Order-Key", key);
        if let Some((name, value)) = more {
            headers.insert(name, value);
        }
        let stored = bare.request_with_headers("mesh.intent.work", headers, "1".into());
        stored.await.expect("stored");
        let head = mesh.until(&id(intent), "rejected", SOON).await;
        let error = head.record.snapshot.error.expect("why");
        assert_eq!(error.code, "BAD_HEADER", "{error:?}");
        assert!(error.message.contains("Baton-Order-Key"), "{error:?}");
    }
    let mut envelope = mesh.envelope("sdk", "work", "1");
    envelope.order_key = Some(long);
    let refused = mesh.mesh.submit(envelope.clone(), client("test")).await;
    assert!(matches!(refused, Err(Error::BadText(_))), "{refused:?}");
    envelope.order_key = Some("k".to_owned());
    envelope.not_before = Some(mesh.mesh.now().plus(Duration::from_secs(60)));
    let refused = mesh.mesh.submit(envelope, client("test")).await;
    let is_said = matches!(refused, Err(Error::BadEnvelope { field: "order_key", .. }));
    assert!(is_said, "{refused:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_are_fast_enough() {
    let mesh = TestMesh::start().await;
    let log = Log::default();
    let worker = Running::start(mesh.server.url(), worker(&log, "1.0.0", Duration::ZERO).concurrency(64)).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    let began = Instant::now();
    submit(&mesh, "one", 0..200).await;
    log.until_done(200).await;
    let one = 200.0 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let keys: Vec<String> = (0..100).map(|key| format!("k{key}")).collect();
    join_all(keys.iter().map(|key| submit(&mesh, key, 0..20))).await;
    log.until_done(2_200).await;
    let many = 2_000.0 / began.elapsed().as_secs_f64();
    println!("intents a second: one key {one:.0}, 100 keys {many:.0}");
    for key in &keys {
        in_order(&log.line(key), 20, key);
    }
    worker.stop().await;
}
