//! Tickets are read and cleared without a delivery, and only those that the ledger has superseded.

use std::time::Duration;

use baton_envelope::control::Counts;
use baton_envelope::{Bands, Event, Record};
use baton_jetstream::{ControllerMesh, Head, Mesh, Pulled, Puller, WorkerMesh};
use baton_testkit::records;

use crate::support::{TestServer, agent, connect, mesh_with_research, operator, submit, version};

/// Writes what follows a head.
async fn follow(mesh: &Mesh, head: &Head, event: Event, fill: impl Fn(Record) -> Record) {
    let (id, intent) = (mesh.record_id(), head.record.intent.clone());
    let record = records::following(
        &head.record.snapshot,
        head.seq,
        id,
        intent,
        event,
        mesh.now(),
        operator(),
    );
    records::put(mesh.url(), &fill(record), head.seq).await;
}

#[tokio::test]
async fn only_tickets_that_the_ledger_has_superseded_are_dropped() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let (one, two) = (version("1.0.0"), version("2.0.0"));
    mesh.ensure_agent(&agent(), &two, Bands::default()).await.unwrap();

    let over = submit(&mesh, "over").await;
    let moved = submit(&mesh, "moved").await;
    let held = submit(&mesh, "held").await;
    let waiting = submit(&mesh, "waiting").await;
    follow(&mesh, &over, Event::Cancelled, |record| record).await;
    follow(&mesh, &moved, Event::Moved, |record| {
        let mut envelope = *moved.record.envelope.clone().unwrap();
        envelope.previous = Some(envelope.id);
        envelope.id = mesh.clock().envelope_id();
        envelope.to_version = Some(two.clone());
        records::with_work(record, envelope, two.clone())
    })
    .await;
    follow(&mesh, &held, Event::Started, |record| record).await;

    let queued = mesh.queued_tickets(&agent(), &one).await.unwrap();
    let seen: Vec<_> = queued
        .iter()
        .map(|ticket| (ticket.intent.as_str(), ticket.ledger_seq))
        .collect();
    assert_eq!(
        seen,
        [
            ("over", over.seq),
            ("moved", moved.seq),
            ("held", held.seq),
            ("waiting", waiting.seq)
        ]
    );
    assert_eq!(queued[0].envelope, over.record.snapshot.envelope);

    assert_eq!(
        ControllerMesh::of(&mesh).drop_superseded(&agent(), &one).await.unwrap(),
        2
    );
    assert_eq!(
        ControllerMesh::of(&mesh).drop_superseded(&agent(), &one).await.unwrap(),
        0
    );
    let left = mesh.queued_tickets(&agent(), &one).await.unwrap();
    let left: Vec<_> = left.iter().map(|ticket| ticket.intent.as_str()).collect();
    assert_eq!(left, ["held", "waiting"]);
    // What the head implies was written: the ticket of the other version.
    let moved = mesh.queued_tickets(&agent(), &two).await.unwrap();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].intent.as_str(), "moved");

    let counts = mesh.agent_counts(&agent()).await.unwrap();
    let backlog = |backlog| Counts {
        backlog,
        running: true,
        ..Counts::default()
    };
    assert_eq!((counts[&one], counts[&two]), (backlog(2), backlog(1)));

    // No delivery was counted.
    let mut puller = Puller::open(&WorkerMesh::of(&mesh), &agent(), &one, Bands::default(), 8)
        .await
        .unwrap();
    for _ in 0..2 {
        let Pulled::Ticket(delivery) = puller.next().await.unwrap() else {
            panic!("closed");
        };
        assert_eq!(delivery.ticket.facts.delivered, 1);
    }
    let counts = mesh.agent_counts(&agent()).await.unwrap();
    assert_eq!((counts[&one].backlog, counts[&one].in_flight), (0, 2));
}

#[tokio::test]
async fn an_agent_without_a_stream_has_no_counts_and_no_tickets() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    assert!(mesh.agent_counts(&agent()).await.unwrap().is_empty());
    assert_eq!(mesh.queued_tickets(&agent(), &version("1.0.0")).await.unwrap(), []);
    assert_eq!(
        ControllerMesh::of(&mesh)
            .pause_version(&agent(), &version("1.0.0"))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        ControllerMesh::of(&mesh)
            .resume_version(&agent(), &version("1.0.0"))
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn more_tickets_than_one_answer_holds_and_more_consumers_than_one_page() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    for number in 0..300 {
        submit(&mesh, &format!("intent-{number}")).await;
    }
    // Ten consumers for each version: 30 versions are more than the 256 of a page.
    for minor in 1..=30 {
        let version = version(&format!("1.{minor}.0"));
        mesh.ensure_agent(&agent(), &version, Bands::Ten).await.unwrap();
    }
    let queued = mesh.queued_tickets(&agent(), &version("1.0.0")).await.unwrap();
    assert_eq!(queued.len(), 300);
    assert!(queued.is_sorted_by_key(|ticket| ticket.seq));
    let counts = mesh.agent_counts(&agent()).await.unwrap();
    assert_eq!((counts.len(), counts[&version("1.0.0")].backlog), (31, 300));
    let started = tokio::time::Instant::now();
    assert_eq!(
        ControllerMesh::of(&mesh)
            .pause_version(&agent(), &version("1.7.0"))
            .await
            .unwrap(),
        10
    );
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
