//! A paused version gets nothing, stays paused whatever restarts, and works on at once when it is resumed.

use std::time::Duration;

use baton_envelope::Bands;
use baton_jetstream::{ControllerMesh, Delivery, Pulled, Puller, Target, WorkerMesh};
use baton_testkit::Cluster;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{TestServer, agent, completed, connect, mesh, shout, start, status, submit, version};

/// In how long a worker must have done what waited for it: far less than the 30 s of a pull that waits at the server.
const AT_ONCE: Duration = Duration::from_millis(900);

/// Pauses, lets work pile up, resumes, and sees it done; with many slots and with one, which pull in different ways.
async fn pause_and_resume(slots: u32, before: usize) {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let worker = start(&server, shout().concurrency(slots)).await;
    completed(&mesh, &submit(&mesh, "first").await, Duration::from_secs(10)).await;
    for number in 0..before {
        // So that a band has been drained just before: such a band is asked in another way.
        completed(
            &mesh,
            &submit(&mesh, &format!("before-{number}")).await,
            Duration::from_secs(10),
        )
        .await;
    }

    assert_eq!(
        ControllerMesh::of(&mesh)
            .pause_version(&agent(), &version())
            .await
            .unwrap(),
        3
    );
    assert_eq!(
        ControllerMesh::of(&mesh)
            .pause_version(&agent(), &version())
            .await
            .unwrap(),
        0
    );
    let mut waiting = Vec::new();
    for number in 0..5 {
        waiting.push(submit(&mesh, &format!("waits-{number}")).await);
    }
    // Long enough for abandoned pulls to be opened again on the paused consumers.
    sleep(Duration::from_secs(5)).await;
    for intent in &waiting {
        assert_eq!(status(&mesh, intent).await, "pending");
    }
    let counts = mesh.agent_counts(&agent()).await.unwrap()[&version()];
    assert_eq!((counts.backlog, counts.in_flight), (5, 0));
    assert!(counts.waiting_pulls >= 3, "the worker goes on pulling: {counts:?}");

    assert_eq!(
        ControllerMesh::of(&mesh)
            .resume_version(&agent(), &version())
            .await
            .unwrap(),
        3
    );
    for intent in &waiting {
        completed(&mesh, intent, AT_ONCE).await;
    }
    assert_eq!(
        ControllerMesh::of(&mesh)
            .resume_version(&agent(), &version())
            .await
            .unwrap(),
        0
    );
    worker.abort();
}

#[tokio::test]
async fn a_paused_version_gets_nothing_and_works_at_once_when_it_is_resumed() {
    pause_and_resume(8, 3).await;
}

#[tokio::test]
async fn so_it_is_with_a_single_slot() {
    pause_and_resume(1, 3).await;
}

#[tokio::test]
async fn it_is_resumed_at_once_when_nothing_new_wakes_the_server() {
    // The worker starts on paused consumers with the work there already: its pulls wait, and nothing else comes.
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    mesh.ensure_agent(&agent(), &version(), Bands::default()).await.unwrap();
    ControllerMesh::of(&mesh)
        .pause_version(&agent(), &version())
        .await
        .unwrap();
    let intent = submit(&mesh, "waits").await;
    let _worker = start(&server, shout()).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(status(&mesh, &intent).await, "pending", "a new worker does not open it");
    ControllerMesh::of(&mesh)
        .resume_version(&agent(), &version())
        .await
        .unwrap();
    completed(&mesh, &intent, AT_ONCE).await;
}

#[tokio::test]
async fn a_version_stays_paused_when_the_server_dies_and_a_consumer_is_made_again() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let _worker = start(&server, shout()).await;
    completed(&mesh, &submit(&mesh, "first").await, Duration::from_secs(10)).await;
    ControllerMesh::of(&mesh)
        .pause_version(&agent(), &version())
        .await
        .unwrap();
    server.kill().await;
    server.restart().await;
    let client = server.client().await;
    client
        .request("$JS.API.CONSUMER.DELETE.MESH_WORK_shout.1_0_0_p4-7", "".into())
        .await
        .unwrap();
    let intent = submit(&mesh, "waits").await;
    // The worker makes its consumer again when it is told that it is gone.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(status(&mesh, &intent).await, "pending");
    assert_eq!(
        ControllerMesh::of(&mesh)
            .pause_version(&agent(), &version())
            .await
            .unwrap(),
        0,
        "all three are there, and paused"
    );
    assert_eq!(
        ControllerMesh::of(&mesh)
            .resume_version(&agent(), &version())
            .await
            .unwrap(),
        3
    );
    completed(&mesh, &intent, AT_ONCE).await;
}

async fn next(puller: &mut Puller, max: Duration) -> Option<Delivery> {
    match timeout(max, puller.next()).await {
        Ok(Ok(Pulled::Ticket(delivery))) => Some(delivery),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    }
}

#[tokio::test]
async fn what_a_paused_version_holds_is_not_delivered_again_and_may_be_finished() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let open = async || {
        let mesh = connect(&server).await;
        Puller::open(&WorkerMesh::of(&mesh), &agent(), &version(), Bands::default(), 8)
            .await
            .unwrap()
    };
    let mut first = open().await;
    submit(&mesh, "acked").await;
    submit(&mesh, "silent").await;
    submit(&mesh, "handed-back").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut first, Duration::from_secs(5)).await.unwrap());
    }
    let mut second = open().await;
    ControllerMesh::of(&mesh)
        .pause_version(&agent(), &version())
        .await
        .unwrap();
    held.pop().unwrap().hand_back(Duration::ZERO).await;
    let silent = held.pop().unwrap();
    held.pop().unwrap().ack().await;
    // Longer than the 10 s of the ack wait.
    let (a, b) = tokio::join!(
        next(&mut first, Duration::from_secs(13)),
        next(&mut second, Duration::from_secs(13))
    );
    assert!(a.is_none() && b.is_none(), "{a:?} {b:?}");
    let counts = mesh.agent_counts(&agent()).await.unwrap()[&version()];
    assert_eq!(
        (counts.backlog, counts.in_flight),
        (0, 2),
        "an ack is taken while it is paused"
    );
    drop(silent);

    ControllerMesh::of(&mesh)
        .resume_version(&agent(), &version())
        .await
        .unwrap();
    let mut again = Vec::new();
    let until = Instant::now() + AT_ONCE;
    while again.len() < 2 && Instant::now() < until {
        tokio::select! {
            Some(delivery) = next(&mut first, AT_ONCE) => again.push(delivery),
            Some(delivery) = next(&mut second, AT_ONCE) => again.push(delivery),
            else => break,
        }
    }
    let mut seen: Vec<_> = again
        .iter()
        .map(|delivery| (delivery.ticket.intent.as_str(), delivery.ticket.facts.delivered))
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [("handed-back", 2), ("silent", 2)],
        "nothing was counted while it was paused"
    );
}

#[tokio::test]
async fn so_it_is_in_a_cluster_where_the_answer_comes_before_the_deed() {
    let cluster = Cluster::start(3).await;
    let target = Target {
        replicas: Some(3),
        ..Target::at(cluster.urls())
    };
    let mesh = target.connect().await.unwrap();
    mesh.ensure_topology(mesh.limits()).await.unwrap();
    ControllerMesh::of(&mesh)
        .set_route(&agent(), &version(), "test", true)
        .await
        .unwrap();
    let worker = shout().bind(&target.connect().await.unwrap()).await.unwrap();
    let worker = tokio::spawn(worker.run_until(std::future::pending()));
    completed(&mesh, &submit(&mesh, "first").await, Duration::from_secs(20)).await;
    for round in 0..5 {
        assert_eq!(
            ControllerMesh::of(&mesh)
                .pause_version(&agent(), &version())
                .await
                .unwrap(),
            3
        );
        let intent = submit(&mesh, &format!("waits-{round}")).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(status(&mesh, &intent).await, "pending");
        assert_eq!(
            ControllerMesh::of(&mesh)
                .resume_version(&agent(), &version())
                .await
                .unwrap(),
            3
        );
        completed(&mesh, &intent, AT_ONCE).await;
    }
    worker.abort();
}
