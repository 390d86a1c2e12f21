//! Consumers that an earlier build made are raised, and forget nothing of what is in flight; those of the controllers that
//! somebody edited are mended.

use std::time::Duration;

use baton_envelope::Bands;
use baton_jetstream::{ControllerMesh, Finding, Level, Limits, Mesh, Pulled, Puller, WorkerMesh, examine};
use serde_json::{Value, json};

use crate::support::{PATIENCE, TestServer, agent, connect, mesh_with_research, submit, version};

const WORK: &str = "MESH_WORK_research";
const GRACE: Duration = Duration::from_secs(600);

async fn ask(server: &TestServer, what: &str, body: &Value) -> Value {
    let client = server.client().await;
    let reply = client.request(format!("$JS.API.{what}"), body.to_string().into()).await;
    serde_json::from_slice(&reply.unwrap().payload).unwrap()
}

async fn config_of(server: &TestServer, stream: &str, name: &str) -> Value {
    let info = ask(server, &format!("CONSUMER.INFO.{stream}.{name}"), &json!({})).await;
    info.get("config").cloned().unwrap_or_default()
}

/// Changes settings of a consumer, as `nats consumer edit` does.
async fn edit(server: &TestServer, stream: &str, name: &str, change: impl FnOnce(&mut Value)) {
    let mut config = config_of(server, stream, name).await;
    change(&mut config);
    let request = json!({ "stream_name": stream, "config": config, "action": "update" });
    let answer = ask(server, &format!("CONSUMER.CREATE.{stream}.{name}"), &request).await;
    assert_eq!(answer.get("error"), None, "{answer}");
}

async fn names(server: &TestServer, stream: &str) -> Vec<String> {
    let listed = ask(server, &format!("CONSUMER.NAMES.{stream}"), &json!({})).await;
    let names = listed.get("consumers").cloned().unwrap_or_default();
    serde_json::from_value(names).unwrap_or_default()
}

/// As a build before consumers were marked made them, with room for less.
async fn of_an_earlier_build(server: &TestServer) {
    for name in names(server, WORK).await {
        edit(server, WORK, &name, |config| {
            let config = config.as_object_mut().unwrap();
            config.insert("metadata".to_owned(), json!({}));
            config.insert("max_ack_pending".to_owned(), json!(512));
        })
        .await;
    }
}

/// What the doctor says of consumers.
async fn of_consumers(mesh: &Mesh) -> Vec<Finding> {
    let mut found = examine(mesh, Limits::default()).await.unwrap();
    found.retain(|one| one.check.contains("consumer ") || (one.check == "topology" && one.level != Level::Ok));
    found
}

async fn pulled(puller: &mut Puller) -> baton_jetstream::Delivery {
    match tokio::time::timeout(PATIENCE, puller.next()).await.unwrap().unwrap() {
        Pulled::Ticket(delivery) => delivery,
        Pulled::Closed => panic!("the connection was closed"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_raised_delivers_nothing_in_flight_as_fresh() {
    let server = TestServer::start().await;
    let mesh = ControllerMesh::of(&mesh_with_research(&server).await);
    of_an_earlier_build(&server).await;
    let worker = WorkerMesh::of(&mesh);
    let mut puller = Puller::open(&worker, &agent(), &version("1.0.0"), Bands::default(), 1)
        .await
        .unwrap();
    submit(&mesh, "held").await;
    let held = pulled(&mut puller).await;
    assert_eq!(held.ticket.facts.delivered, 1);
    let left = of_consumers(&mesh).await;
    assert_eq!(left.len(), 3, "each of the three is named: {left:?}");
    assert!(
        left.iter()
            .all(|one| one.found.contains("max_ack_pending becomes 100000, from 512")),
        "{left:?}"
    );

    let raised = mesh.raise(Limits::default(), GRACE, || true).await.unwrap();
    let consumers = raised.changed.iter().filter(|what| what.starts_with("consumer "));
    assert_eq!((consumers.count(), raised.refused.len()), (3, 0), "{raised:?}");
    for name in names(&server, WORK).await {
        let config = config_of(&server, WORK, &name).await;
        assert_eq!(config["metadata"]["baton.topology"], "4", "{config}");
        assert_eq!(config["max_ack_pending"], 100_000, "{config}");
    }
    assert_eq!(of_consumers(&mesh).await.len(), 0);

    // The server knows that it was delivered before, and whoever gets it reads the ledger first.
    held.hand_back(Duration::ZERO).await;
    let again = pulled(&mut puller).await;
    assert_eq!(again.ticket.intent.as_str(), "held");
    assert_eq!(again.ticket.facts.delivered, 2);
    again.ack().await;
    submit(&mesh, "next").await;
    let next = pulled(&mut puller).await;
    assert_eq!((next.ticket.intent.as_str(), next.ticket.facts.delivered), ("next", 1));
    let again = mesh.raise(Limits::default(), GRACE, || true).await.unwrap();
    assert_eq!(again.changed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_router_is_named_and_mended_and_its_pause_is_left_to_a_person() {
    let server = TestServer::start().await;
    let mesh = ControllerMesh::of(&mesh_with_research(&server).await);
    let reader = mesh.read_intake(baton_jetstream::Intake::Router).await.unwrap();
    assert_eq!(of_consumers(&mesh).await.len(), 0);
    edit(&server, "MESH_INTAKE", "router", |config| {
        config["max_deliver"] = json!(2);
        config["ack_wait"] = json!(1_000_000_000);
        config["max_ack_pending"] = json!(1);
    })
    .await;
    let until = json!({ "pause_until": "2200-01-01T00:00:00Z" });
    ask(&server, "CONSUMER.PAUSE.MESH_INTAKE.router", &until).await;
    let found = of_consumers(&mesh).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|one| one.level == Level::Problem), "{found:?}");
    for setting in ["max_deliver is 2", "ack_wait is 1s", "max_ack_pending is 1"] {
        assert!(found[0].found.contains(setting), "no {setting} in {found:?}");
    }
    assert!(
        found[1].remedy.contains("nats consumer resume -f MESH_INTAKE router"),
        "{found:?}"
    );

    let nobody = mesh.mend_consumers(|| false).await.unwrap();
    assert_eq!(nobody.mended.len(), 0, "it does not lead");
    let mended = mesh.mend_consumers(|| true).await.unwrap();
    assert_eq!((mended.mended.len(), mended.refused.len()), (1, 0), "{mended:?}");
    let left = of_consumers(&mesh).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].found.contains("paused until 2200-01-01"), "{left:?}");
    ask(&server, "CONSUMER.PAUSE.MESH_INTAKE.router", &json!({})).await;
    assert_eq!(of_consumers(&mesh).await.len(), 0);

    // Whoever read before goes on.
    let subject = mesh.subjects().intent(&agent());
    mesh.publish_raw(subject, Vec::new(), "otters".into()).await.unwrap();
    let batch = tokio::time::timeout(PATIENCE, reader.next_batch(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(batch.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_with_another_filter_passed_over_is_read_after_all() {
    let server = TestServer::start().await;
    let mesh = ControllerMesh::of(&mesh_with_research(&server).await);
    drop(mesh.read_intake(baton_jetstream::Intake::Router).await.unwrap());
    edit(&server, "MESH_INTAKE", "router", |config| {
        config["filter_subjects"] = json!(["mesh.intent.nobody"]);
    })
    .await;
    let found = of_consumers(&mesh).await;
    assert!(found[0].found.contains("mesh.intent.nobody"), "{found:?}");
    let publish = |agent: &str, body: &'static str| {
        let subject = mesh.subjects().intent(&agent.parse().unwrap());
        mesh.publish_raw(subject, Vec::new(), body.into())
    };
    publish("research", "passed over").await.unwrap();
    publish("nobody", "matches").await.unwrap();
    let reader = mesh.read_intake(baton_jetstream::Intake::Router).await.unwrap();
    let first = tokio::time::timeout(PATIENCE, reader.next_batch(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first[0].subject(), "mesh.intent.nobody", "it has passed over the other");

    let mended = mesh.mend_consumers(|| true).await.unwrap();
    assert_eq!((mended.mended.len(), mended.refused.len()), (1, 0), "{mended:?}");
    let reader = mesh.read_intake(baton_jetstream::Intake::Router).await.unwrap();
    let first = tokio::time::timeout(PATIENCE, reader.next_batch(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first[0].subject(), "mesh.intent.research");
}

/// The server changes some settings of no consumer: an operator removed it, and made it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_somebody_made_is_made_again() {
    let server = TestServer::start().await;
    let mesh = ControllerMesh::of(&mesh_with_research(&server).await);
    let config =
        json!({ "durable_name": "router", "ack_policy": "explicit", "deliver_policy": "all", "max_waiting": 1 });
    let request = json!({ "stream_name": "MESH_INTAKE", "config": config });
    ask(&server, "CONSUMER.CREATE.MESH_INTAKE.router", &request).await;
    let mended = mesh.mend_consumers(|| true).await.unwrap();
    assert_eq!((mended.mended.len(), mended.refused.len()), (1, 0), "{mended:?}");
    mesh.read_intake(baton_jetstream::Intake::Router).await.unwrap();
    assert_eq!(of_consumers(&mesh).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_consumer_that_follows_the_ledger_is_named_and_made_again() {
    let server = TestServer::start().await;
    let mesh = ControllerMesh::of(&mesh_with_research(&server).await);
    let other = connect(&server).await;
    let end = mesh.ledger_end().await.unwrap();
    let mut tail = mesh.tail_ledger(&end.created, baton_jetstream::LedgerMark::default());
    submit(&other, "before").await;
    tokio::time::timeout(PATIENCE, tail.next_batch())
        .await
        .unwrap()
        .unwrap();
    let [name] = &names(&server, "MESH_LEDGER").await[..] else {
        panic!("one consumer");
    };
    assert_eq!(of_consumers(&mesh).await.len(), 0);
    edit(&server, "MESH_LEDGER", name, |config| {
        config["filter_subject"] = json!("mesh.ledger.0.nobody");
        config["headers_only"] = json!(true);
    })
    .await;
    let found = of_consumers(&mesh).await;
    assert_eq!(found.len(), 1, "{found:?}");
    for setting in ["filter_subjects is", "headers_only is true"] {
        assert!(found[0].found.contains(setting), "no {setting} in {found:?}");
    }
    assert_eq!(mesh.mend_consumers(|| true).await.unwrap().mended.len(), 1);
    let after = submit(&other, "after").await;
    let until = tokio::time::Instant::now() + PATIENCE;
    // The first answer may be that its consumer was removed; whoever follows asks again.
    let followed = loop {
        match tokio::time::timeout_at(until, tail.next_batch()).await.unwrap() {
            Ok(batch) => break batch.unwrap(),
            Err(error) => println!("{error}"),
        }
    };
    assert_eq!(followed.through.seq, after.seq);
    assert_eq!(of_consumers(&mesh).await.len(), 0);
}
