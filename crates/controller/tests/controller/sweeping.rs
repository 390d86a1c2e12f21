//! Lost tickets and passed deadlines.

use std::time::Duration;

use baton_controller::ControllerConfig;
use baton_envelope::{Envelope, Json, Record};
use baton_jetstream::WaitEnd;

use crate::support::{
    PATIENCE, Running, TestServer, id, mesh_with_research, operator, puller, quiet, research, ticket,
};

fn eager() -> ControllerConfig {
    ControllerConfig {
        sweep_interval: Duration::from_millis(100),
        sweep_slack: Duration::from_millis(100),
        ..quiet("a")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ticket_is_written_again() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let (agent, version) = research();
    // A submitter that died between its two writes.
    let envelope = Envelope::first(mesh.clock().envelope_id(), id("lost"), agent, Json::null());
    let record = Record::submitted(mesh.record_id(), mesh.now(), operator(), version, envelope);
    mesh.write(&record, 0).await.unwrap();

    let controllers = [Running::start(&mesh, eager()), Running::start(&mesh, eager())];
    let mut tickets = puller(&mesh).await;
    let delivery = ticket(&mut tickets).await;
    assert_eq!(delivery.ticket.intent, id("lost"));
    assert!(
        delivery.ticket.facts.reissued,
        "it is read against the ledger before it is run"
    );
    for controller in controllers {
        controller.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_whose_deadline_passed_is_ended() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let mut envelope = Envelope::first(mesh.clock().envelope_id(), id("late"), research().0, Json::null());
    envelope.deadline = Some(mesh.now().plus(Duration::from_millis(500)));
    mesh.submit(envelope, operator()).await.unwrap();
    let controller = Running::start(&mesh, eager());
    let WaitEnd::Ended(head) = mesh.wait(&id("late"), PATIENCE).await.unwrap() else {
        panic!("the intent did not end");
    };
    assert_eq!(head.record.snapshot.status.name(), "timed_out");
    controller.stop().await;
}
