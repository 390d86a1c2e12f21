//! Senders with old routes: the version that takes work now runs what they send to a drained or retired version, once,
//! and that version keeps its state (I7, I8).

use std::sync::Arc;
use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{SOON, assert_legal, count, events};
use baton_e2e::rolling::{AGENT, NEW, OLD, Stage, version};
use baton_envelope::IntentId;
use baton_testkit::eventually;
use tokio::sync::watch;
use tokio::time::Instant;

/// Checks, until it is passed to `finish`, that a version is never in any other state.
struct Watch {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    fn start(mesh: &Arc<TestMesh>, states: &'static [&'static str]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mesh = Arc::clone(mesh);
        let task = tokio::spawn(async move {
            while !*stopped.borrow() {
                let state = mesh.state(OLD).await;
                assert!(states.contains(&&*state), "{OLD} became {state}, and was {states:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { stop, task }
    }

    async fn finish(self) {
        self.stop.send_replace(true);
        self.task.await.expect("it stayed what it was");
    }
}

/// Waits until misrouted work has completed, and checks that it was rerouted.
async fn was_rerouted(mesh: &TestMesh, stage: &Stage, intent: &IntentId) {
    let head = mesh.until(intent, "completed", SOON).await;
    let history = mesh.history_of(intent).await;
    assert_legal(&history);
    assert_eq!(count(&history, "rerouted"), 1, "{:?}", events(&history));
    assert_eq!(head.record.by.version, Some(version(NEW)), "{:?}", head.record);
    assert_eq!(stage.runs(intent), 1, "{intent} was run more than once");
}

/// Would fail if misrouted work waited for a worker that takes nothing (`until` runs out), ran on 1.0.0, ran twice, or gave
/// 1.0.0 another state; and, at the end, if a ticket of it stayed in the queue of 1.0.0 until that version takes work
/// again.
async fn misrouted(state: &'static str, with_old_worker: bool) {
    // On the heap, as its state is large.
    Box::pin(is_rerouted(state, with_old_worker)).await;
}

async fn is_rerouted(state: &'static str, with_old_worker: bool) {
    let (mesh, stage) = (Arc::new(TestMesh::start().await), Stage::default());
    let mut old = Some(stage.code(&mesh, OLD).await);
    mesh.until_state(OLD, "active", SOON).await;
    let _new = stage.code(&mesh, NEW).await;
    mesh.roll_out().await;
    mesh.until_state(OLD, "drained", SOON).await;
    if !with_old_worker && let Some(worker) = old.take() {
        worker.stop().await;
    }
    if state == "retired" {
        mesh.retires(OLD).await;
    }
    let watch = Watch::start(&mesh, if state == "retired" { &["retired"] } else { &["drained"] });

    let started = Instant::now();
    let submitted = mesh
        .submitted_for(OLD, mesh.envelope("submitted", AGENT, "\"quick\""), true)
        .await;
    let handed_off = mesh.handed_off_to(OLD, "handed-off").await;
    // A sender that died between its two writes.
    let cut_off = mesh
        .submitted_for(OLD, mesh.envelope("cut-off", AGENT, "\"quick\""), false)
        .await;
    for intent in [&submitted, &handed_off, &cut_off] {
        was_rerouted(&mesh, &stage, intent).await;
    }
    let worker = if with_old_worker { "with" } else { "without" };
    println!(
        "{state}, {worker} a worker: three pieces of misrouted work were done in {} ms",
        started.elapsed().as_millis()
    );
    assert_eq!(stage.ran(OLD), [], "1.0.0 ran misrouted work");
    mesh.stays(OLD, &[state]).await;
    eventually("no ticket is left", SOON, async || {
        let left = mesh
            .mesh
            .queued_tickets(&AGENT.parse().expect("name"), &version(OLD))
            .await;
        let left = left.map_err(|error| error.to_string())?;
        left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}"))
    })
    .await;
    watch.finish().await;

    let back = mesh.run_baton(&["rollout", "rollback", AGENT]).await;
    assert!(back.status.success(), "{back:?}");
    mesh.until_state(OLD, "active", SOON).await;
    if old.is_none() {
        old = Some(stage.code(&mesh, OLD).await);
    }
    let fresh = mesh.submit("fresh", AGENT, "\"quick\"").await;
    mesh.until(&fresh, "completed", SOON).await;
    assert_eq!(stage.ran(OLD), [fresh], "1.0.0 ran work that is over");
    drop(old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misrouted_work_at_a_drained_version_with_workers() {
    misrouted("drained", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misrouted_work_at_a_drained_version_without_workers() {
    misrouted("drained", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misrouted_work_at_a_retired_version_with_workers() {
    misrouted("retired", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misrouted_work_at_a_retired_version_without_workers() {
    misrouted("retired", false).await;
}

/// An old sender goes on while 1.0.0 drains, is drained, and is retired: before, between and after. Would fail if work
/// were lost or done twice between the two versions, if 1.0.0 were reported drained while it had work, or if it did
/// anything afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_submits_race_with_the_end_of_their_version() {
    const ALL: usize = 200;
    const BEFORE: usize = 40;
    /// At least this many are sent once 1.0.0 is known to be drained.
    const AFTER: usize = 60;
    /// And this many once it is known to be retired.
    const LAST: usize = 20;
    let (mesh, stage) = (Arc::new(TestMesh::start().await), Stage::default());
    let _old = stage.code(&mesh, OLD).await;
    mesh.until_state(OLD, "active", SOON).await;
    let _new = stage.code(&mesh, NEW).await;
    let (sent, mut progress) = watch::channel(0);
    let (drained, mut is_drained) = watch::channel(false);
    let (retired, mut is_retired) = watch::channel(false);
    let sender = {
        let mesh = Arc::clone(&mesh);
        tokio::spawn(async move {
            let mut intents = Vec::new();
            for n in 0..ALL {
                if n >= ALL - AFTER {
                    is_drained.wait_for(|drained| *drained).await.expect("the test runs");
                }
                if n >= ALL - LAST {
                    is_retired.wait_for(|retired| *retired).await.expect("the test runs");
                }
                let envelope = mesh.envelope(&format!("stale-{n}"), AGENT, "\"quick\"");
                intents.push(mesh.submitted_for(OLD, envelope, true).await);
                sent.send_replace(n + 1);
                // Unevenly, so that they meet the leader's rounds at every moment.
                tokio::time::sleep(Duration::from_millis(5 + n as u64 * 7 % 40)).await;
            }
            intents
        })
    };
    progress.wait_for(|sent| *sent >= BEFORE).await.expect("it sends");
    mesh.roll_out().await;
    // The sender pauses after about 3 s; from then on nothing holds the version.
    mesh.until_state(OLD, "drained", Duration::from_secs(15)).await;
    let watch = Watch::start(&mesh, &["drained", "retired"]);
    drained.send_replace(true);
    let at_drained = *progress.borrow();
    // Each piece of misrouted work holds the version until it is rerouted, so the command may be refused a few times.
    eventually("it is retired", SOON, async || match mesh.retire(OLD).await {
        (Some(0), _) => Ok(()),
        (Some(4), said) => Err(said),
        other => panic!("{other:?}"),
    })
    .await;
    retired.send_replace(true);
    let at_retired = *progress.borrow();
    let intents = sender.await.expect("the sender");

    mesh.until_all_completed(ALL, Duration::from_secs(30)).await;
    watch.finish().await;
    assert_eq!(mesh.state(OLD).await, "retired");
    mesh.assert_drained_was_true(OLD).await;
    let mut rerouted = 0;
    for (intent, history) in intents.iter().zip(mesh.histories(&intents).await) {
        assert_legal(&history);
        assert_eq!(stage.runs(intent), 1, "{intent}: {:?}", events(&history));
        // The version that ends the hop is the one that the last record with an envelope names.
        let authorised = history.iter().rev().find(|head| head.record.envelope.is_some());
        let authorised = authorised.and_then(|head| head.record.snapshot.version.clone());
        let last = history.last().expect("records");
        assert_eq!(last.record.by.version, authorised, "{:?}", events(&history));
        rerouted += usize::from(events(&history).contains(&"rerouted"));
    }
    println!(
        "{at_drained} were sent before 1.0.0 was seen drained, {} more before it was retired, {} after; {rerouted} rerouted",
        at_retired - at_drained,
        ALL - at_retired
    );
    assert!(
        rerouted >= AFTER,
        "{rerouted} of the {AFTER} that came too late were rerouted"
    );
}
