//! A hop tells other intents something, and whoever watches it: what it tells twice, because it ran twice, counts once.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, logged};
use baton_e2e::gated::result;
use baton_envelope::{Author, Event, IntentId, Role};
use baton_testkit::{ProcessGuard, eventually};
use serde_json::json;

use crate::nats_cli::run;

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);

/// Waits for a signal, and completes with it.
struct Shop;

impl Handler for Shop {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let paid = hop.wait(Wait::signal("paid")).await?;
        Outcome::complete(paid.json())
    }
}

/// Tells the intent that its payload names, says so, and waits: then it runs again from its first line.
struct Teller;

impl Handler for Teller {
    type Input = IntentId;

    async fn handle(&self, hop: &mut Hop, to: IntentId) -> Result<Outcome, Fault> {
        hop.signal(&to, "paid", &"in full").await?;
        hop.publish_state(&json!({"told": to})).await?;
        hop.wait(Wait::callback("answer")).await?;
        Outcome::complete(&hop.callback_subject("answer"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hop_tells_again_is_taken_once_also_when_the_other_is_archived() {
    let mesh = TestMesh::start_without_controller().await;
    // The server forgets at once which messages it has: as it does when the hop waits for minutes.
    mesh.edit_stream("MESH_INTAKE", "duplicate_window", |_| json!(100_000_000))
        .await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = mesh.baton(&["controller", "--sweep-interval", "300ms"]);
    command.env("BATON_ARCHIVE__GRACE", "0s");
    let controller = ProcessGuard::spawn("controller", command, dir.path());
    logged(&controller, "controller started").await;
    let mut workers = Vec::new();
    for builder in [
        Agent::builder("shop", "1.0.0").expect("agent").handler(Shop),
        Agent::builder("teller", "1.0.0").expect("agent").handler(Teller),
    ] {
        workers.push(Running::start(mesh.server.url(), builder).await);
    }
    for agent in ["shop", "teller"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    // Once it is archived, the ledger keeps nothing of an id that Baton has made.
    let order = mesh.mesh.clock().intent_id();
    let envelope = mesh.envelope(order.as_str(), "shop", "1");
    let by = Author::of(Role::Client, "test");
    mesh.mesh.submit_new(envelope, by).await.expect("submitted");
    mesh.until(&order, "waiting", SOON).await;
    let teller = mesh.submit("teller-1", "teller", &json!(order).to_string()).await;
    mesh.until(&teller, "waiting", SOON).await;
    eventually("the order is archived", SOON, async || {
        match mesh.mesh.has_no_record(&order).await {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let shown = run(mesh.baton(&["intents", "state", "teller-1"])).await.exits(0).stdout;
    assert!(shown.contains(order.as_str()), "{shown}");

    let before = last_in_intake(&mesh).await;
    let answer = mesh.mesh.subjects().signal(&teller, "answer");
    mesh.mesh
        .publish_raw(answer.clone(), Vec::new(), "".into())
        .await
        .expect("stored");
    let head = mesh.until(&teller, "completed", SOON).await;
    assert_eq!(result(&head), answer);
    assert_eq!(last_in_intake(&mesh).await, before + 2, "it has told it again");
    mesh.until_intake_is_empty().await;
    let dead = run(mesh.baton(&["dead", "list", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(dead["dead"], json!([]), "{dead}");
    let trail = mesh.mesh.trail(&order).await.expect("the archive has it");
    assert_legal(&trail);
    let told = trail.iter().filter(|head| head.record.event == Event::Signalled);
    assert_eq!(told.count(), 1);
    assert_eq!(result(trail.last().expect("a record")), "in full");

    // Another message is another thing: it came too late.
    let late = [("Nats-Msg-Id".to_owned(), "late".to_owned())];
    let subject = mesh.mesh.subjects().signal(&order, "paid");
    mesh.mesh
        .publish_raw(subject, late.to_vec(), "again".into())
        .await
        .expect("stored");
    let head = mesh.until(&order.letter("late"), "rejected", SOON).await;
    assert_eq!(head.record.snapshot.error.expect("an error").code, "TOO_LATE");
    for worker in workers {
        worker.stop().await;
    }
}

/// The sequence of the last message that the intake has taken.
async fn last_in_intake(mesh: &TestMesh) -> u64 {
    mesh.stream_state("MESH_INTAKE").await["last_seq"]
        .as_u64()
        .expect("a sequence")
}
