//! SIGTERM: running hops finish or are handed back, and no attempt is burnt.

use baton_jetstream::ControllerMesh;
use std::time::Duration;

use baton_agent::Outcome;
use baton_e2e::chaos::{NO_ACK_WAIT, Program, Running, SOON, agent, assert_legal, count, events, ready, workers};
use baton_e2e::{TestMesh, connect};
use baton_envelope::Event;
use baton_testkit::{Proxy, eventually};
use tokio::sync::oneshot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_shorter_than_the_grace_finishes() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let mut worker = program.worker(&mesh, "steps", "only", &["--json", "--drain-timeout", "20s"]);
    let intent = mesh.submit("short", "steps", r#"{"gate":"three"}"#).await;
    mesh.until_events(&intent, &Event::Step, 2, SOON).await;
    let mut beats = ControllerMesh::of(&mesh.mesh).heartbeats().await.expect("heartbeats");

    worker.terminate();
    // The worker drains from here on.
    let stopping = async { while !beats.next().await.expect("a heartbeat").stopping {} };
    tokio::time::timeout(SOON, stopping)
        .await
        .expect("the worker says that it stops");
    let later = mesh.submit("later", "steps", "{}").await;
    program.open_gate(&intent, 1);

    mesh.until(&intent, "completed", SOON).await;
    assert!(worker.wait(SOON).await.success());
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    assert_eq!(history.last().map(|head| head.record.snapshot.attempt), Some(1));
    assert!(!events(&history).contains(&"released"), "{:?}", events(&history));
    assert_eq!(program.runs(&intent), 1);
    assert_eq!(program.runs(&later), 0, "a draining worker took new work");

    let _next = program.worker(&mesh, "steps", "next", &["--json"]);
    let head = mesh.until(&later, "completed", NO_ACK_WAIT).await;
    assert_eq!(head.record.snapshot.attempt, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_longer_than_the_grace_is_handed_back_at_once() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let mut first = program.worker(&mesh, "steps", "first", &["--json", "--drain-timeout", "200ms"]);
    let intent = mesh.submit("long", "steps", r#"{"gate":"three"}"#).await;
    mesh.until_events(&intent, &Event::Step, 2, SOON).await;
    let second = program.worker(&mesh, "steps", "second", &["--json"]);
    ready(&second).await;

    first.terminate();
    mesh.until_events(&intent, &Event::Claimed, 1, NO_ACK_WAIT).await;
    assert!(first.wait(NO_ACK_WAIT).await.success());
    program.open_gate(&intent, 2);
    mesh.until(&intent, "completed", SOON).await;

    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    assert!(events(&history).contains(&"released"), "{:?}", events(&history));
    assert_eq!(history.last().map(|head| head.record.snapshot.attempt), Some(1));
    assert_eq!(workers(&history).len(), 2);
    assert_eq!(program.did(&intent), ["one 1", "two 1", "three 2", "outcome 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_again_and_again_burns_no_attempt() {
    const INTENTS: usize = 50;
    let mesh = TestMesh::start().await;
    // Makes the agent known, so that the queue exists before any worker.
    let program = Program::shell("sleep 0.1; echo done >> {dir}/log; echo 1");
    let args = ["--concurrency", "2", "--drain-timeout", "20ms"];
    let mut worker = program.worker(&mesh, "short", "worker-0", &args);
    let mut intents = vec![mesh.submit("first", "short", "{}").await];
    let envelopes = (1..INTENTS)
        .map(|n| mesh.envelope(&format!("queued-{n}"), "short", "{}"))
        .collect();
    intents.extend(mesh.submit_all(envelopes).await);

    let done = || {
        std::fs::read_to_string(program.dir().join("log"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    for n in 1..=5 {
        eventually("some hops are done", SOON, async || match done() {
            count if count >= 6 * n => Ok(()),
            count => Err(format!("{count} done")),
        })
        .await;
        worker.terminate();
        assert!(worker.wait(NO_ACK_WAIT).await.success());
        worker = program.worker(&mesh, "short", &format!("worker-{n}"), &args);
    }
    assert!(done() < INTENTS, "the workers must be stopped in the middle");
    // If one ticket had to wait for the ack wait, this would take 10 s longer.
    mesh.until_all_completed(INTENTS, Duration::from_secs(9)).await;

    let mut released = 0;
    for history in mesh.histories(&intents).await {
        assert_legal(&history);
        let attempts: Vec<u32> = history.iter().map(|head| head.record.snapshot.attempt).collect();
        assert!(
            attempts.iter().all(|attempt| *attempt == 1),
            "{:?} {attempts:?}",
            events(&history)
        );
        released += count(&history, "released");
    }
    assert!(released > 0, "no stop hit a hop");
}

/// Tickets in flight when the worker is told to stop. They were queued before it connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_on_their_way_to_a_stopping_worker_burn_no_attempt() {
    const INTENTS: usize = 20;
    let mesh = TestMesh::start().await;
    let quick = || agent("quick", |_| async { Outcome::complete("done") });
    let known = Running::start(mesh.server.url(), quick()).await;
    let mut intents = vec![mesh.submit("known", "quick", "{}").await];
    mesh.until(&intents[0], "completed", SOON).await;
    known.stop().await;
    let envelopes = (1..INTENTS)
        .map(|n| mesh.envelope(&format!("queued-{n}"), "quick", "{}"))
        .collect();
    intents.extend(mesh.submit_all(envelopes).await);

    let proxy = Proxy::start(mesh.server.url()).await;
    let worker = quick().bind(&connect(proxy.url()).await).await.expect("bind");
    proxy.delay(Duration::from_millis(600));
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(worker.run_until(async move { stopped.await.expect("told to stop") }));
    let client = mesh.server.client().await;
    eventually("tickets are on the wire", SOON, async || {
        let info = client
            .request("$JS.API.CONSUMER.INFO.MESH_WORK_quick.1_0_0_p4-7", "".into())
            .await;
        let info = info.map_err(|error| error.to_string())?;
        let info: serde_json::Value = serde_json::from_slice(&info.payload).map_err(|error| error.to_string())?;
        let out = info["num_ack_pending"].as_u64().ok_or_else(|| info.to_string())?;
        (out > 0).then_some(()).ok_or(format!("{out} out"))
    })
    .await;
    stop.send(()).expect("the worker runs");
    running.await.expect("join").expect("worker");
    proxy.delay(Duration::ZERO);

    let _next = Running::start(mesh.server.url(), quick()).await;
    mesh.until_all_completed(INTENTS, NO_ACK_WAIT).await;
    let mut released = 0;
    for history in mesh.histories(&intents).await {
        assert_legal(&history);
        assert_eq!(
            history.last().map(|head| head.record.snapshot.attempt),
            Some(1),
            "{:?}",
            events(&history)
        );
        released += count(&history, "released");
    }
    assert!(released > 0, "no ticket was on the wire");
}
