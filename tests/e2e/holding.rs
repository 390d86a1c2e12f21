//! A version does not drain while anything open names it, whatever the cause: `baton rollout status` names the cause
//! and the intent, `baton agents retire` refuses, and only the end of the cause makes the version drained (I8).
//!
//! Each test here fails when its cause is not counted (the version would be drained within a second, or `held` would
//! not find it), when the cause is not released (the version would never be drained), or when a ticket of ended work
//! keeps the version until a timer runs out (it would not be drained promptly).

use std::time::Duration;

use baton_agent::RetryPolicy;
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::rolling::{AGENT, NEW, OLD, PROMPT, Stage, code, id, never_undone, version};
use baton_envelope::{Event, IntentId, Pinning, WaitReason};

/// A mesh where 1.0.0 of `code` is active and has a worker.
async fn begin() -> (TestMesh, Stage, Running) {
    let (mesh, stage) = (TestMesh::start().await, Stage::default());
    let old = stage.code(&mesh, OLD).await;
    mesh.until_state(OLD, "active", SOON).await;
    (mesh, stage, old)
}

/// Rolls 2.0.0 out while `intent` holds 1.0.0, checks that it does, ends that, and checks that nothing else held it.
async fn drains(mesh: &TestMesh, stage: &Stage, cause: &str, intent: &IntentId, end: impl AsyncFnOnce()) -> Running {
    let new = stage.code(mesh, NEW).await;
    mesh.roll_out().await;
    mesh.held(OLD, cause, intent).await;
    mesh.stays(OLD, &["draining"]).await;
    mesh.held(OLD, cause, intent).await;
    end().await;
    is_drained(mesh, cause).await;
    new
}

/// Checks that 1.0.0 is drained promptly and correctly, and may then be retired.
async fn is_drained(mesh: &TestMesh, after: &str) {
    let took = mesh.until_state(OLD, "drained", PROMPT).await;
    println!("{after}: drained {} ms after its end", took.as_millis());
    mesh.assert_drained_was_true(OLD).await;
    let drain = mesh.drain_of(OLD).await.expect("shown");
    assert_eq!((drain.open, drain.tickets), (0, 0), "{drain:?}");
    mesh.retires(OLD).await;
    mesh.stays(OLD, &["retired"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queued_work_holds_its_version_until_it_is_finished() {
    let (mesh, stage, old) = begin().await;
    old.stop().await;
    let intent = mesh.submit("queued", AGENT, "\"quick\"").await;
    let mut late = None;
    drains(&mesh, &stage, "queued", &intent, async || {
        late = Some(stage.code(&mesh, OLD).await);
        mesh.until(&intent, "completed", SOON).await;
    })
    .await;
    assert_eq!(stage.ran(OLD), [intent]);
    assert!(stage.ran(NEW).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_work_holds_its_version_until_it_is_finished() {
    let (mesh, stage, _old) = begin().await;
    let intent = mesh.submit("running", AGENT, "\"wait\"").await;
    drains(&mesh, &stage, "running", &intent, async || {
        stage.open();
        mesh.until(&intent, "completed", SOON).await;
    })
    .await;
    assert_eq!(stage.ran(OLD), [intent]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_retry_holds_its_version_until_it_was_made() {
    let (mesh, stage, _old) = begin().await;
    let intent = mesh.submit("delayed", AGENT, "\"20s\"").await;
    drains(&mesh, &stage, "delayed", &intent, async || {
        mesh.until(&intent, "completed", SOON * 2).await;
    })
    .await;
    assert_eq!(stage.ran(OLD), [intent.clone(), intent]);
}

/// Its ticket would come back only when the delay is over: nothing may wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_retry_that_is_cancelled_lets_its_version_go() {
    let (mesh, stage, _old) = begin().await;
    let intent = mesh.submit("delayed-long", AGENT, "\"60s\"").await;
    drains(&mesh, &stage, "delayed", &intent, async || {
        mesh.append(&intent, Event::Cancelled, |record| record).await;
    })
    .await;
    assert_eq!(stage.runs(&intent), 1);
}

/// The quarantine also keeps queued work from the worker that still runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_of_a_quarantined_version_is_paused_until_the_quarantine_is_lifted() {
    let (mesh, stage, old) = begin().await;
    old.stop().await;
    let intent = mesh.submit("paused", AGENT, "\"quick\"").await;
    let _new = stage.code(&mesh, NEW).await;
    mesh.roll_out().await;
    let set_aside = mesh.run_baton(&["agents", "quarantine", AGENT, OLD]).await;
    assert!(set_aside.status.success(), "{set_aside:?}");
    let _late = stage.code(&mesh, OLD).await;
    mesh.held(OLD, "paused", &intent).await;
    mesh.stays(OLD, &["quarantined"]).await;
    mesh.held(OLD, "paused", &intent).await;
    assert_eq!(stage.runs(&intent), 0, "the work of a quarantined version was run");

    let lifted = mesh.run_baton(&["agents", "quarantine", AGENT, OLD, "--lift"]).await;
    assert!(lifted.status.success(), "{lifted:?}");
    mesh.until(&intent, "completed", SOON).await;
    is_drained(&mesh, "paused").await;
    assert_eq!(stage.ran(OLD), [intent]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_work_holds_its_version_until_it_is_redriven() {
    let (mesh, stage) = (TestMesh::start().await, Stage::default());
    let once = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let _old = Running::start(mesh.server.url(), stage.agent(AGENT, OLD).retry(once)).await;
    mesh.until_state(OLD, "active", SOON).await;
    let intent = mesh.submit("parked", AGENT, "\"fail\"").await;
    mesh.until(&intent, "parked", SOON).await;
    drains(&mesh, &stage, "parked", &intent, async || {
        stage.open();
        mesh.redrive(&intent, &[]).await;
        mesh.until(&intent, "completed", SOON).await;
    })
    .await;
    assert_eq!((stage.ran(OLD).len(), stage.ran(NEW).len()), (1, 1));
}

/// The intent is at another agent, and will come here in the version pinned at its beginning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chain_that_is_elsewhere_holds_the_version_that_it_is_pinned_to() {
    let (mesh, stage, _old) = begin().await;
    let _plan = Running::start(mesh.server.url(), stage.agent("plan", "1.0.0")).await;
    let mut envelope = mesh.envelope("chain", "plan", "\"code\"");
    envelope.pinning = Some(Pinning::Chain);
    let intent = mesh.submit_envelope(envelope).await;
    drains(&mesh, &stage, "chain_pinned", &intent, async || {
        stage.open();
        mesh.until(&intent, "completed", SOON).await;
    })
    .await;
    // Once by `plan`, once by `code`, both in version 1.0.0.
    assert_eq!((stage.ran(OLD).len(), stage.ran(NEW).len()), (2, 0));
}

/// A pin can be moved; the chain goes on in the other version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pin_that_is_moved_lets_the_version_go() {
    let (mesh, stage, _old) = begin().await;
    let _plan = Running::start(mesh.server.url(), stage.agent("plan", "1.0.0")).await;
    let mut envelope = mesh.envelope("pinned", "plan", "\"code\"");
    envelope.pins.insert(code(), version(OLD));
    let intent = mesh.submit_envelope(envelope).await;
    let _new = drains(&mesh, &stage, "chain_pinned", &intent, async || {
        let moved = mesh
            .run_baton(&["intents", "move", "--agent", AGENT, "--from", OLD, "--to", NEW])
            .await;
        assert!(moved.status.success(), "{moved:?}");
    })
    .await;
    stage.open();
    mesh.until(&intent, "completed", SOON).await;
    assert_eq!(stage.ran(NEW), [intent]);
}

// --- what nothing produces yet, written through the ledger's own API ----------------------------------------------

/// An intent of 1.0.0 after this event; it has no ticket.
async fn after(mesh: &TestMesh, name: &str, event: Event) -> IntentId {
    let envelope = mesh.envelope(name, AGENT, "\"quick\"");
    let intent = mesh.submitted_for(OLD, envelope, false).await;
    mesh.append(&intent, event, |record| record).await;
    intent
}

async fn waits(reason: WaitReason, end: impl AsyncFnOnce(&TestMesh, &IntentId)) {
    // On the heap, as its state is large.
    Box::pin(waits_and_ends(reason, end)).await;
}

async fn waits_and_ends(reason: WaitReason, end: impl AsyncFnOnce(&TestMesh, &IntentId)) {
    let (mesh, stage, _old) = begin().await;
    let cause = if let WaitReason::Unknown(_) = &reason {
        "waiting_other".to_owned()
    } else {
        format!("waiting_{}", reason.name())
    };
    let intent = after(&mesh, &cause, Event::Waiting { reason }).await;
    drains(&mesh, &stage, &cause, &intent, async || end(&mesh, &intent).await).await;
    let head = mesh.head_of(&id(&cause)).await;
    assert!(head.record.snapshot.status.is_terminal(), "{:?}", head.record);
}

/// The wait is over: the work continues where it was, and finishes there.
async fn resumed(mesh: &TestMesh, intent: &IntentId) {
    let envelope = mesh.first_envelope(intent).await.again(mesh.mesh.clock().envelope_id());
    mesh.append(intent, Event::Resumed, |record| {
        baton_testkit::records::with_work(record, envelope, version(OLD))
    })
    .await;
    mesh.until(intent, "completed", SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_person_holds_the_version() {
    waits(WaitReason::Human, resumed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_time_holds_the_version() {
    waits(WaitReason::Time, resumed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_an_agent_holds_the_version() {
    waits(WaitReason::Agent, async |mesh, intent| {
        mesh.append(intent, Event::Cancelled, |record| record).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_tool_holds_the_version() {
    waits(WaitReason::Tool, async |mesh, intent| {
        let code = "NO_TOOL".to_owned();
        mesh.append(intent, Event::Failed { code }, |record| record).await;
    })
    .await;
}

/// One child of several does not end the wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_children_holds_the_version_until_the_last() {
    waits(WaitReason::Children, async |mesh, intent| {
        mesh.append(intent, Event::ChildDone, |record| record).await;
        mesh.stays(OLD, &["draining"]).await;
        mesh.held(OLD, "waiting_children", intent).await;
        mesh.append(intent, Event::Completed, |record| record).await;
    })
    .await;
}

/// A newer version of Baton may wait for things unknown here: better held than lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_something_unknown_holds_the_version() {
    waits(WaitReason::Unknown("moon".to_owned()), async |mesh, intent| {
        mesh.append(intent, Event::TimedOut, |record| record).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undoing_holds_the_version_until_it_is_done() {
    let (mesh, stage, _old) = begin().await;
    let envelope = mesh.envelope("undoing", AGENT, "\"quick\"");
    let intent = mesh.submitted_for(OLD, envelope, false).await;
    mesh.append(&intent, Event::Compensating, never_undone).await;
    drains(&mesh, &stage, "compensating", &intent, async || {
        mesh.append(&intent, Event::Progress, |record| record).await;
        mesh.stays(OLD, &["draining"]).await;
        mesh.append(&intent, Event::Compensated { code: None }, |record| record)
            .await;
    })
    .await;
}

/// Without open work a version is drained at once: the other tests wait for the work, and for nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_without_open_work_is_drained_at_once() {
    let (mesh, stage, _old) = begin().await;
    let intent = mesh.submit("done", AGENT, "\"quick\"").await;
    mesh.until(&intent, "completed", SOON).await;
    let _new = stage.code(&mesh, NEW).await;
    mesh.roll_out().await;
    let took = mesh.until_state(OLD, "drained", Duration::from_secs(3)).await;
    println!("nothing open: drained {} ms after the rollout", took.as_millis());
    is_drained(&mesh, "nothing").await;
}
