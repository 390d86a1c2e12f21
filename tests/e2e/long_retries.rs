//! A retry that is far away holds no delivery: its ticket is acked, and the leader writes another one when it is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Fault, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, agent, assert_legal};
use baton_envelope::{Author, ErrorInfo, Event, IntentId, LONG_RETRY, Timestamp, act};
use baton_jetstream::{Decision, Error, Head, Known};
use baton_testkit::{consumers, eventually};

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);
/// Just longer than a delivery is held for.
const FAR: Duration = LONG_RETRY.saturating_add(Duration::from_secs(1));

/// Fails with this delay until it has run once, and counts its runs.
async fn worker(mesh: &TestMesh, runs: &Arc<AtomicUsize>) -> Running {
    let runs = Arc::clone(runs);
    let slow = agent("slow", move |_| {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        async move {
            match run {
                0 => Err(Fault::retry("not yet").after(FAR)),
                _ => Outcome::complete(&run),
            }
        }
    });
    let worker = Running::start(mesh.server.url(), slow).await;
    mesh.until_version_is("slow", "1.0.0", "active").await;
    worker
}

/// Waits until no ticket is in the stream, and no consumer waits for an ack.
async fn until_acked(mesh: &TestMesh) {
    let client = mesh.server.client().await;
    eventually("no delivery is held", SOON, async || {
        let state = mesh.stream_state("MESH_WORK_slow").await;
        let unacked: usize = consumers(&client, "MESH_WORK_slow")
            .await?
            .iter()
            .map(|consumer| consumer.unacked)
            .sum();
        match (state["messages"].as_u64(), unacked) {
            (Some(0), 0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// The one record that puts an attempt off, and when that is due.
fn put_off(history: &[Head]) -> Timestamp {
    let of_retry = history
        .iter()
        .filter(|head| head.record.event == Event::RetryScheduled)
        .collect::<Vec<_>>();
    assert_eq!(of_retry.len(), 1);
    of_retry[0].record.snapshot.wake_at.expect("a time")
}

/// It is done in its second attempt, which began at its time.
async fn is_done_in_time(mesh: &TestMesh, intent: &IntentId) {
    let head = mesh.until(intent, "completed", SOON).await;
    let history = mesh.history_of(intent).await;
    assert_legal(&history);
    let due = put_off(&history);
    let claimed = history
        .iter()
        .filter(|head| head.record.event == Event::Claimed && head.record.at >= due);
    assert_eq!(claimed.count(), 1, "whoever takes the new ticket claims the hop");
    assert_eq!(head.record.snapshot.attempt, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_is_far_away_holds_no_delivery_and_the_leader_writes_its_ticket() {
    let mesh = TestMesh::start().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let first = worker(&mesh, &runs).await;
    let intent = mesh.submit("far-1", "slow", "1").await;
    mesh.until_events(&intent, &Event::RetryScheduled, 1, SOON).await;
    until_acked(&mesh).await;
    first.stop().await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    // A worker that died between that record and its ack has left a ticket: whoever gets it acks it.
    let died = mesh.submit("far-2", "slow", "2").await;
    let by = Author::worker(
        "slow".parse().expect("agent"),
        "1.0.0".parse().expect("version"),
        "died",
    );
    let due = mesh.mesh.now().plus(FAR);
    let put = mesh.mesh.advance(&died, &by, Known::Unread, |head, _| {
        let now = head.expect("a head").snapshot;
        Ok::<_, Error>(Decision::from(act::retry(
            now,
            due,
            ErrorInfo::new("RETRY", "not yet"),
        )?))
    });
    put.await.expect("written");
    let second = worker(&mesh, &runs).await;
    until_acked(&mesh).await;
    for intent in [&intent, &died] {
        is_done_in_time(&mesh, intent).await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3, "each ran once more");
    second.stop().await;
}
