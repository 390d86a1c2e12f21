//! A mesh whose streams an earlier build made, of topology 2, is raised for signals and decisions: not while a controller of
//! that build follows the ledger, and without a raw intent lost or routed twice. A worker that reads less goes on in the same
//! chain.

use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome, RetryPolicy, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal, events};
use baton_e2e::gated::{id, result};
use baton_envelope::{IntentId, Protocol, ProtocolRange};
use baton_testkit::{TestServer, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::nats_cli::run;

const KEY: &str = "baton.topology";
/// How a consumer is described with which a controller follows the ledger.
const FOLLOWS: &str = "Baton: a controller follows the ledger";
const SIGNALS: &str = "mesh.signal.*.*";

/// Puts every stream back to topology 2, with the router of that build.
async fn as_topology_2(server: &TestServer) {
    let streams = server.api("STREAM.LIST", &json!({})).await;
    for stream in streams["streams"].as_array().expect("streams") {
        let mut config = stream["config"].clone();
        let name = config["name"].as_str().expect("a name").to_owned();
        config["metadata"][KEY] = "2".into();
        if name == "MESH_INTAKE" {
            let subjects = config["subjects"].as_array_mut().expect("subjects");
            subjects.retain(|subject| {
                let subject = subject.as_str().unwrap_or_default();
                !subject.contains(".signal.") && !subject.contains(".decide.")
            });
        }
        server.api(&format!("STREAM.UPDATE.{name}"), &config).await;
    }
    let router = json!({
        "durable_name": "router", "ack_policy": "explicit", "deliver_policy": "all", "ack_wait": 30_000_000_000_u64,
        "max_deliver": -1, "max_ack_pending": 10_000, "max_waiting": 512, "metadata": {KEY: "2"},
    });
    let body = json!({ "stream_name": "MESH_INTAKE", "config": router });
    server.api("CONSUMER.CREATE.MESH_INTAKE.router", &body).await;
}

/// A controller of that build: it follows the ledger, and does nothing else.
async fn older_controller(server: &TestServer) -> JoinHandle<()> {
    let follower = json!({
        "name": "older", "description": FOLLOWS, "ack_policy": "none", "deliver_policy": "by_start_sequence",
        "opt_start_seq": 1, "replay_policy": "instant", "inactive_threshold": 10_000_000_000_u64, "mem_storage": true,
        "num_replicas": 1, "metadata": {KEY: "2"},
    });
    let body = json!({ "stream_name": "MESH_LEDGER", "config": follower });
    server.api("CONSUMER.CREATE.MESH_LEDGER.older", &body).await;
    let client = server.client().await;
    tokio::spawn(async move {
        loop {
            let pull = client.request(
                "$JS.API.CONSUMER.MSG.NEXT.MESH_LEDGER.older",
                r#"{"batch":1,"no_wait":true}"#.into(),
            );
            drop(pull.await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
}

async fn subjects(server: &TestServer) -> Vec<Value> {
    let info = server.api("STREAM.INFO.MESH_INTAKE", &json!({})).await;
    info["config"]["subjects"].as_array().cloned().unwrap_or_default()
}

/// The consumers of the intake, with what each reads.
async fn readers(server: &TestServer) -> Vec<(String, Vec<Value>)> {
    let listed = server.api("CONSUMER.LIST.MESH_INTAKE", &json!({})).await;
    let all = listed["consumers"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<(String, Vec<Value>)> = all
        .iter()
        .map(|one| {
            let filters = one["config"]["filter_subjects"].as_array().cloned();
            (
                one["name"].as_str().unwrap_or_default().to_owned(),
                filters.unwrap_or_default(),
            )
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// Hands on to the agent that waits, and completes what comes back. It reads no minor that has waits.
fn older_worker() -> AgentBuilder {
    let reads = ProtocolRange::new(Protocol::new(1, 0, 0), Protocol::new(1, 3, 0)).expect("a range");
    let builder = agent("desk", |envelope| async move {
        match envelope.hop {
            1 => Outcome::hand_off("shop", &"order"),
            _ => Outcome::complete(&envelope.payload),
        }
    });
    builder.protocol(reads)
}

struct Shop;

impl Handler for Shop {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let paid = hop.wait(Wait::signal("paid")).await?;
        Outcome::hand_off("desk", paid.json())
    }
}

/// Publishes raw intents, each with an id of its own.
async fn publish(mesh: &TestMesh, batch: &str, ids: &mut Vec<IntentId>) {
    for number in 0..10 {
        let intent = id(&format!("raw-{batch}-{number}"));
        let headers = vec![("Baton-Intent".to_owned(), intent.to_string())];
        let sent = mesh
            .mesh
            .publish_raw("mesh.intent.echo".to_owned(), headers, "1".into());
        sent.await.expect("stored");
        ids.push(intent);
    }
}

async fn doctor(mesh: &TestMesh) -> String {
    run(mesh.baton(&["doctor"])).await.stdout
}

async fn until_told_that_the_mesh_is_too_old(mesh: &TestMesh, intent: &IntentId) {
    eventually("the hop is told that it cannot wait", SOON, async || {
        let history = mesh.history_of(intent).await;
        let errors = history.iter().filter_map(|head| head.record.error.as_ref());
        let codes: Vec<&str> = errors.map(|error| error.code.as_str()).collect();
        codes
            .contains(&"MESH_TOO_OLD")
            .then_some(())
            .ok_or(format!("{:?}", events(&history)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_of_topology_2_learns_of_waits_when_its_last_controller_is_gone() {
    let mut mesh = TestMesh::start_without_controller().await;
    as_topology_2(&mesh.server).await;
    let older = older_controller(&mesh.server).await;
    mesh.start_controller();
    // It tries for as long as the raise may take.
    let patient = RetryPolicy {
        max_attempts: 100,
        longest: Duration::from_secs(2),
        ..RetryPolicy::default()
    };
    let shop = Agent::builder("shop", "1.0.0")
        .expect("agent")
        .handler(Shop)
        .retry(patient);
    let echo = agent("echo", |envelope| async move { Outcome::complete(&envelope.payload) });
    let mut workers = Vec::new();
    for builder in [older_worker(), shop, echo] {
        workers.push(Running::start(mesh.server.url(), builder).await);
    }
    for name in ["desk", "shop", "echo"] {
        mesh.until_version_is(name, "1.0.0", "active").await;
    }

    // A controller of before could not live with it: it waits, and says so. Raw intents are routed meanwhile.
    let mut ids = Vec::new();
    publish(&mesh, "before", &mut ids).await;
    eventually("the doctor says what waits", SOON, async || {
        let said = doctor(&mesh).await;
        let is_said = said.contains("waits until no controller of an earlier build follows the ledger (1 do)");
        is_said.then_some(()).ok_or(said)
    })
    .await;
    let order = id("order");
    mesh.submit_to("desk", &order).await;
    // The agent that wants to wait is told that it cannot, and tries again later.
    until_told_that_the_mesh_is_too_old(&mesh, &order).await;
    for intent in &ids {
        mesh.until(intent, "completed", SOON).await;
    }
    assert!(
        !subjects(&mesh.server).await.contains(&SIGNALS.into()),
        "raised too early"
    );
    assert_eq!(readers(&mesh.server).await, [("router".to_owned(), Vec::new())]);

    // It goes, and the next leader raises the mesh.
    older.abort();
    mesh.server.api("CONSUMER.DELETE.MESH_LEDGER.older", &json!({})).await;
    publish(&mesh, "between", &mut ids).await;
    mesh.restart_everything().await;
    publish(&mesh, "while", &mut ids).await;
    eventually("the intake takes signals", Duration::from_secs(40), async || {
        let (subjects, readers) = (subjects(&mesh.server).await, readers(&mesh.server).await);
        let names: Vec<&str> = readers.iter().map(|(name, _)| name.as_str()).collect();
        let is_raised = subjects.contains(&SIGNALS.into()) && names == ["decisions", "router", "signals"];
        let is_narrow = readers.iter().all(|(_, filters)| !filters.is_empty());
        (is_raised && is_narrow)
            .then_some(())
            .ok_or(format!("{subjects:?} {readers:?}"))
    })
    .await;
    publish(&mesh, "after", &mut ids).await;
    for intent in &ids {
        mesh.until(intent, "completed", SOON).await;
        assert_eq!(mesh.events_of(intent).await, ["submitted", "completed"], "{intent}");
    }

    // The chain goes on, through the worker that reads less.
    mesh.until(&order, "waiting", Duration::from_secs(60)).await;
    run(mesh.baton(&["signal", "order", "paid", "yes"])).await.exits(0);
    let head = mesh.until(&order, "completed", SOON).await;
    assert_eq!(result(&head), "yes");
    assert_legal(&mesh.history_of(&order).await);
    eventually("the doctor has nothing more to raise", SOON, async || {
        let said = doctor(&mesh).await;
        let is_over = !said.contains("topology of") && !said.contains("waits until no controller");
        is_over.then_some(()).ok_or(said)
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
}
