//! Raw messages in the order of a key, of which an earlier one has lost its ack.

use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_jetstream::{ControllerMesh, Intake, IntakeMessage, IntakeReader, Submitted};
use baton_testkit::eventually;
use tempfile::TempDir;

use super::{Log, client, controller, payload, worker};

const SUBJECT: &str = "mesh.intent.work";

/// Publishes a raw message with a key.
async fn publish(mesh: &TestMesh, number: u64) -> u64 {
    let headers = vec![("Baton-Order-Key".to_owned(), "k".to_owned())];
    let body = payload("k", number).into_bytes().into();
    mesh.mesh
        .publish_raw(SUBJECT.to_owned(), headers, body)
        .await
        .expect("published")
}

async fn pulled(reader: &IntakeReader) -> IntakeMessage {
    loop {
        if let Some(message) = reader.next_batch(1).await.expect("a batch").pop() {
            return message;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_routed_message_without_its_ack_keeps_nobody_waiting() {
    let mesh = TestMesh::start_without_controller().await;
    let (log, dir) = (Log::default(), TempDir::new().expect("a folder"));
    let mut before = controller(&mesh, "before", &dir);
    let worker = Running::start(mesh.server.url(), worker(&log, "1.0.0", Duration::ZERO)).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    before.kill();
    let first = publish(&mesh, 0).await;
    // A router that writes the record and dies before the ack.
    let as_router = ControllerMesh::of(&mesh.mesh);
    let reader = as_router.read_intake(Intake::Router).await.expect("the intake");
    let message = pulled(&reader).await;
    let raw = message.raw().expect("a raw intent");
    let (agent, id) = ("work".parse().expect("agent"), mesh.mesh.clock().envelope_id());
    let envelope = raw.to_envelope(id, &agent, raw.stored_at).expect("an envelope");
    let routed = as_router.submit_routed(envelope, client("test"), true, first);
    let routed = routed.await.expect("submitted");
    assert!(matches!(routed, Submitted::New { .. }), "{routed:?}");
    // Also what comes after it, and after one that was not routed, keeps its place.
    for number in 1..4 {
        publish(&mesh, number).await;
    }
    let _after = controller(&mesh, "after", &dir);
    log.until_done(4).await;
    assert_eq!(log.line("k").begun, [0, 1, 2, 3]);
    assert_eq!(log.line("k").most, 1);
    // It was not the redelivery that helped: the message is still there, and goes with its ack.
    assert_eq!(mesh.mesh.intake_waiting().await.expect("the intake"), 1);
    message.ack().await;
    eventually("the intake is empty", SOON, async || {
        let waiting = mesh.mesh.intake_waiting().await.expect("the intake");
        (waiting == 0).then_some(()).ok_or_else(|| format!("{waiting} wait"))
    })
    .await;
    worker.stop().await;
}
