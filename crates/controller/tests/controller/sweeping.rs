//! Lost tickets and passed deadlines.

use std::time::Duration;

use baton_controller::ControllerConfig;
use baton_envelope::{Envelope, Event, Json};
use baton_jetstream::{Mesh, WaitEnd};
use baton_testkit::{eventually, records};

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
    let record = records::submitted(mesh.record_id(), mesh.now(), operator(), version, envelope);
    records::put(mesh.url(), &record, 0).await;

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

/// A power cut can bring an acknowledged ticket back into the stream while its consumer remembers that it is done with
/// it. It stays for ever, and must not pass for the oldest ticket of the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_came_back_keeps_no_other_from_being_written_again() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    tickets_come_back(&server, &mesh, &["back", "after"]).await;
    let envelope = Envelope::first(mesh.clock().envelope_id(), id("lost"), research().0, Json::null());
    let record = records::submitted(mesh.record_id(), mesh.now(), operator(), research().1, envelope);
    records::put(mesh.url(), &record, 0).await;
    let controller = Running::start(&mesh, eager());
    let mut tickets = puller(&mesh).await;
    let delivery = ticket(&mut tickets).await;
    assert!(delivery.ticket.facts.reissued);
    controller.stop().await;
}

/// The next cut can take the ticket that was written again, and what came back at the first must not pass for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_came_back_does_not_pass_for_the_one_that_was_written_again() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    tickets_come_back(&server, &mesh, &["back", "after"]).await;
    let controller = Running::start(&mesh, eager());
    // The stream forgets them with the server, as nothing of them is in it any more. More than once: a sweep asks whether what the
    // one before it wrote is there.
    for _ in 0..3 {
        let mut tickets = puller(&mesh).await;
        for _ in 0..2 {
            let delivery = ticket(&mut tickets).await;
            assert!(delivery.ticket.facts.reissued);
            delivery.ack().await;
        }
        mesh.flush().await.unwrap();
        drop(tickets);
        server.terminate().await;
        server.restart().await;
    }
    controller.stop().await;
}

/// Submits, acknowledges the tickets, and brings them back.
async fn tickets_come_back(server: &TestServer, mesh: &Mesh, names: &[&str]) {
    let (agent, version) = research();
    let mut tickets = puller(mesh).await;
    for name in names {
        let envelope = Envelope::first(mesh.clock().envelope_id(), id(name), agent.clone(), Json::null());
        mesh.submit(envelope, operator()).await.unwrap();
    }
    // The messages as they are on the disk now, and the consumers as they are after the acks.
    server.terminate().await;
    let stream = server.dir().join("jetstream/$G/streams/MESH_WORK_research");
    let (messages, before) = (stream.join("msgs"), server.dir().join("before"));
    copy(&messages, &before);
    server.restart().await;
    for _ in names {
        ticket(&mut tickets).await.ack().await;
    }
    mesh.flush().await.unwrap();
    eventually("they are gone", PATIENCE, async || {
        let counts = mesh.agent_counts(&agent).await.map_err(|error| error.to_string())?;
        let is_empty = counts
            .get(&version)
            .is_some_and(|of| of.in_flight == 0 && of.backlog == 0);
        is_empty.then_some(()).ok_or_else(|| format!("{counts:?}"))
    })
    .await;
    drop(tickets);
    server.terminate().await;
    std::fs::remove_dir_all(&messages).unwrap();
    copy(&before, &messages);
    server.restart().await;
    let left = baton_testkit::stream_size(&server.client().await, "MESH_WORK_research")
        .await
        .unwrap();
    assert_ne!(left, 0, "some came back");
}

/// A record after the end of an intent opens it, and a foreign writer could run finished work again with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_that_is_opened_after_its_end_is_closed_again() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let (agent, version) = research();
    let controller = Running::start(&mesh, eager());
    let envelope = Envelope::first(mesh.clock().envelope_id(), id("ended"), agent, Json::null());
    let first = records::submitted(mesh.record_id(), mesh.now(), operator(), version, envelope);
    let seq = records::put(mesh.url(), &first, 0).await;
    let (record, event) = (mesh.record_id(), Event::Completed);
    let ended = records::following(&first.snapshot, seq, record, id("ended"), event, mesh.now(), operator());
    let end = records::put(mesh.url(), &ended, seq).await;
    // Once it has read all of the ledger and swept again.
    let mut tickets = puller(&mesh).await;
    let envelope = Envelope::first(mesh.clock().envelope_id(), id("lost"), research().0, Json::null());
    let lost = records::submitted(mesh.record_id(), mesh.now(), operator(), research().1, envelope);
    records::put(mesh.url(), &lost, 0).await;
    assert_eq!(ticket(&mut tickets).await.ticket.intent, id("lost"));
    let opened = records::put(mesh.url(), &first, end).await;
    eventually("it is closed again", PATIENCE, async || {
        let head = mesh.head(&id("ended")).await.map_err(|error| error.to_string())?;
        let (seq, status) = head.map_or((0, String::new()), |head| {
            (head.seq, head.record.snapshot.status.to_string())
        });
        (seq > opened && status == "completed")
            .then_some(())
            .ok_or_else(|| format!("{status} at {seq}"))
    })
    .await;
    controller.stop().await;
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
