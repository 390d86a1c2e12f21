//! One hop in one process: steps, notes, faults, panics, and what the ledger says about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome, RetryPolicy, RunSummary, Wait};
use baton_e2e::TestMesh;
use baton_envelope::{Author, Role};
use baton_jetstream::{Error, Redrive};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::nats_cli::run;

const SOON: Duration = Duration::from_secs(15);

/// Counts the runs of its effect, and does what the payload says.
#[derive(Clone, Default)]
struct Probe {
    effects: Arc<AtomicU32>,
    mended: Arc<AtomicBool>,
}

impl Handler for Probe {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, how: String) -> Result<Outcome, Fault> {
        let count = hop.step("count", || async {
            Ok::<_, Fault>(self.effects.fetch_add(1, Ordering::SeqCst) + 1)
        });
        let count: u32 = count.await?;
        match (how.as_str(), hop.attempt()) {
            ("note late", _) => {
                // Longer than the time after which the ledger shows the holder of a running hop.
                tokio::time::sleep(Duration::from_millis(400)).await;
                hop.progress("after a while").await?;
            }
            ("panic once", 1) => panic!("a bug in the handler"),
            ("fail once", 1) => return Err(Fault::retry("not yet")),
            ("fail until redriven", _) if !self.mended.load(Ordering::SeqCst) => return Err(Fault::retry("not yet")),
            ("fail for good", _) => return Err(Fault::terminal("NO_WAY", "it cannot be done")),
            (_, _) => {}
        }
        Outcome::complete(&count)
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<RunSummary, Error>>,
}

async fn start(mesh: &TestMesh, probe: Probe) -> Running {
    let retry = RetryPolicy {
        unit: Duration::from_millis(20),
        ..RetryPolicy::default()
    };
    let builder = Agent::builder("probe", "1.0.0")
        .expect("names")
        .handler(probe)
        .retry(retry);
    let worker = builder.bind(&mesh.mesh).await.expect("bind");
    let (stop, stopped) = oneshot::channel();
    let worker = tokio::spawn(worker.run_until(async move {
        let _gone = stopped.await;
    }));
    Running { stop, worker }
}

impl Running {
    async fn end(self) -> RunSummary {
        self.stop.send(()).expect("running");
        self.worker.await.expect("no panic").expect("no error")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_was_shown_beside_its_handler_can_still_write() {
    let mesh = TestMesh::start().await;
    let running = start(&mesh, Probe::default()).await;
    let intent = mesh.submit("late", "probe", "note late").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(head.record.snapshot.result, Some(Json::parse("1").expect("json")));
    assert_eq!(
        mesh.events_of(&intent).await,
        ["submitted", "started", "step", "progress", "completed"]
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_recorded_does_not_run_again_in_a_later_attempt() {
    let mesh = TestMesh::start().await;
    let probe = Probe::default();
    let running = start(&mesh, probe.clone()).await;
    for how in ["fail once", "panic once"] {
        let before = probe.effects.load(Ordering::SeqCst);
        let intent = mesh.submit(&how.replace(' ', "-"), "probe", how).await;
        let head = mesh.until(&intent, "completed", SOON).await;
        assert_eq!(head.record.snapshot.attempt, 2, "{how}");
        assert_eq!(
            probe.effects.load(Ordering::SeqCst),
            before + 1,
            "{how}: the effect ran once"
        );
        let events = mesh.events_of(&intent).await;
        assert_eq!(
            events,
            [
                "submitted",
                "started",
                "step",
                "retry_scheduled",
                "claimed",
                "completed"
            ],
            "{how}"
        );
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_recorded_does_not_run_again_after_a_redrive() {
    let mesh = TestMesh::start().await;
    let probe = Probe::default();
    let running = start(&mesh, probe.clone()).await;
    let intent = mesh.submit("redriven", "probe", "fail until redriven").await;
    mesh.until(&intent, "parked", SOON).await;
    probe.mended.store(true, Ordering::SeqCst);
    let by = Author::of(Role::Operator, "test");
    mesh.mesh
        .redrive(&intent, &Redrive::default(), by)
        .await
        .expect("redrive");
    mesh.until(&intent, "completed", SOON).await;
    assert_eq!(probe.effects.load(Ordering::SeqCst), 1, "the effect ran once");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_fault_ends_the_intent_at_once() {
    let mesh = TestMesh::start().await;
    let running = start(&mesh, Probe::default()).await;
    let intent = mesh.submit("doomed", "probe", "fail for good").await;
    let head = mesh.until(&intent, "failed", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!((error.code.as_str(), head.record.snapshot.attempt), ("NO_WAY", 1));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_of_another_type_fails_and_says_so() {
    let mesh = TestMesh::start().await;
    let running = start(&mesh, Probe::default()).await;
    let intent = mesh.submit("odd", "probe", r#"{"not":"a string"}"#).await;
    let head = mesh.until(&intent, "failed", SOON).await;
    assert_eq!(head.record.snapshot.error.expect("an error").code, "BAD_PAYLOAD");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_from_before_the_worker_is_run_without_claims() {
    let mesh = TestMesh::start().await;
    start(&mesh, Probe::default()).await.end().await;
    let mut intents = Vec::new();
    for n in 0..20 {
        intents.push(mesh.submit(&format!("early-{n}"), "probe", "go").await);
    }
    let running = start(&mesh, Probe::default()).await;
    for intent in &intents {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(head.record.snapshot.attempt, 1);
        assert_eq!(
            mesh.events_of(intent).await,
            ["submitted", "started", "step", "completed"]
        );
    }
    running.end().await;
}

/// Hands off to itself until it has had enough.
struct Countdown;

impl Handler for Countdown {
    type Input = u32;

    async fn handle(&self, _hop: &mut Hop, left: u32) -> Result<Outcome, Fault> {
        if left == 0 {
            Outcome::complete(&"done")
        } else {
            Outcome::hand_off("countdown", &(left - 1))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_hand_off_to_itself() {
    let mesh = TestMesh::start().await;
    let builder = Agent::builder("countdown", "1.0.0").expect("names").handler(Countdown);
    let worker = builder.bind(&mesh.mesh).await.expect("bind");
    let worker = tokio::spawn(worker.run_until(std::future::pending()));
    let intent = mesh.submit("count", "countdown", "7").await;
    // Well below the ack wait: no ticket was mistaken for a repeat of the previous hop's.
    let head = mesh.until(&intent, "completed", Duration::from_secs(5)).await;
    assert_eq!((head.record.snapshot.hop, head.record.snapshot.attempt), (8, 1));
    worker.abort();
}

/// Publishes how far it is and where it is called back, and completes with what it is told there.
struct CalledBack;

impl Handler for CalledBack {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        hop.publish_state(&json!({ "pages": 3 })).await?;
        let subject = hop.callback_subject("scanned");
        hop.step("order", || async { Ok::<_, Fault>(subject) }).await?;
        let scanned = hop.wait(Wait::callback("scanned").within(SOON)).await?;
        Outcome::complete(&scanned.data::<String>()?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_publishes_is_shown_and_its_callback_is_one_bare_message() {
    let mesh = TestMesh::start().await;
    let builder = Agent::builder("scan", "1.0.0").expect("names").handler(CalledBack);
    let worker = baton_e2e::chaos::Running::start(mesh.server.url(), builder).await;
    let intent = mesh.submit("order-42", "scan", "1").await;
    mesh.until(&intent, "waiting", SOON).await;
    let shown = run(mesh.baton(&["intents", "state", "order-42", "--output", "json"])).await;
    assert_eq!(shown.exits(0).json()["state"], json!({ "pages": 3 }));
    let history = mesh.history_of(&intent).await;
    let ordered = history.iter().find_map(|head| head.record.step.as_ref());
    let subject: String = ordered.expect("a step").result.read().expect("a subject");
    let outside = mesh.server.client().await;
    outside.publish(subject, "42 pages".into()).await.expect("published");
    outside.flush().await.expect("flushed");
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(baton_e2e::gated::result(&head), "42 pages");
    worker.stop().await;
}
