//! What a puller that stops leaves behind.

use std::time::Duration;

use baton_envelope::Bands;
use baton_jetstream::{Delivery, Mesh, Pulled, Puller, Target, WorkerMesh};
use baton_testkit::Proxy;
use tokio::task::JoinSet;

use crate::support::{TestServer, agent, mesh_with_research, submit, version};

/// As many as one standing pull takes of 256 slots.
const AT_ONCE: usize = 16;
/// When nothing came for so long, nothing is on its way: longer than a bulk pull waits.
const QUIET: Duration = Duration::from_secs(1);
/// How long a message is on its way to the puller that stops, and back.
const FAR: Duration = Duration::from_millis(150);

async fn open(mesh: &Mesh) -> Puller {
    Puller::open(
        &WorkerMesh::of(mesh),
        &agent(),
        &version("1.0.0"),
        Bands::default(),
        256,
    )
    .await
    .unwrap()
}

async fn next(puller: &mut Puller) -> Option<Delivery> {
    match tokio::time::timeout(QUIET, puller.next()).await.ok()?.unwrap() {
        Pulled::Ticket(delivery) => Some(delivery),
        Pulled::Closed => panic!("closed"),
    }
}

/// A ticket that is delivered while its pull is withdrawn is handed out as left over, or was never counted as
/// delivered: lost on the way, it would wait for the ack wait, and then look like one that a dead worker had.
#[tokio::test]
async fn no_ticket_is_lost_between_one_that_stops_and_the_next() {
    let server = TestServer::start().await;
    let near = mesh_with_research(&server).await;
    let proxy = Proxy::start(server.url()).await;
    let far = Target::at(proxy.url()).connect().await.unwrap();
    let mut puller = open(&far).await;
    assert!(
        next(&mut puller).await.is_none(),
        "only its standing pulls are open from here on"
    );

    proxy.delay(FAR);
    let submits: JoinSet<_> = (0..AT_ONCE)
        .map(|number| {
            let near = near.clone();
            async move { submit(&near, &format!("intent-{number}")).await }
        })
        .collect();
    // Whatever else its process sends meanwhile must not make the client forget the subscriptions.
    let busy = async {
        loop {
            far.publish_plain("elsewhere".to_owned(), "".into()).await.unwrap();
            tokio::time::sleep(FAR / 10).await;
        }
    };
    tokio::select! {
        biased;
        () = puller.stop() => {}
        () = busy => {}
    }
    let mut taken = Vec::new();
    while let Some(delivery) = puller.leftover().await {
        taken.push(delivery);
    }
    assert!(!taken.is_empty(), "no ticket was on its way when the puller stopped");

    submits.join_all().await;
    let mut following = open(&near).await;
    while taken.len() < AT_ONCE
        && let Some(delivery) = next(&mut following).await
    {
        taken.push(delivery);
    }
    taken.sort_by(|a, b| a.ticket.intent.as_str().cmp(b.ticket.intent.as_str()));
    taken.dedup_by(|a, b| a.ticket.intent == b.ticket.intent);
    assert_eq!(taken.len(), AT_ONCE, "a ticket was lost");
    for delivery in &taken {
        assert_eq!(delivery.ticket.facts.delivered, 1, "{}", delivery.ticket.intent);
    }
}
