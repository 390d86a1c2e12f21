//! `baton intents cancel` ends an open intent, whatever its status; its holder learns so from the ledger.

use std::time::Duration;

use baton_agent::{Fault, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal, events};
use baton_e2e::gated::{Gate, id, teller};
use baton_e2e::rolling::never_undone;
use baton_envelope::{Event, IntentId, WaitReason};
use baton_testkit::eventually;

const REASON: &str = "ordered twice";

/// Cancels an intent; returns the exit code and the output.
async fn cancel(mesh: &TestMesh, intent: &IntentId) -> (Option<i32>, String) {
    let out = mesh
        .run_baton(&["intents", "cancel", intent.as_str(), "--reason", REASON])
        .await;
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (out.status.code(), said.concat())
}

/// Cancels an open intent, then tries again.
async fn is_cancelled_once(mesh: &TestMesh, intent: &IntentId, was: &str) {
    let (exit, said) = cancel(mesh, intent).await;
    assert_eq!(exit, Some(0), "{said}");
    assert!(said.contains(intent.as_str()) && said.contains(was), "{said}");
    let head = mesh.head_of(intent).await;
    let snapshot = &head.record.snapshot;
    assert_eq!((snapshot.status.name(), &snapshot.holder), ("cancelled", &None));
    assert_eq!(head.record.note.as_deref(), Some(REASON));
    assert_eq!(head.record.by.role.name(), "operator");

    let (exit, said) = cancel(mesh, intent).await;
    assert_eq!(exit, Some(4), "{said}");
    for part in ["cancelled", REASON, &head.record.by.instance] {
        assert!(said.contains(part), "{part:?} is not said: {said}");
    }
    assert_eq!(
        mesh.head_of(intent).await.seq,
        head.seq,
        "a second cancel writes nothing"
    );
    assert_legal(&mesh.history_of(intent).await);
}

/// Waits until no ticket is left in the work stream of an agent.
async fn until_no_ticket_is_left(mesh: &TestMesh, agent: &str) {
    eventually("no ticket is left", SOON, async || {
        let state = mesh.stream_state(&format!("MESH_WORK_{agent}")).await;
        match state["messages"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(state.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intent_that_nobody_has_taken_is_cancelled_and_its_ticket_goes() {
    let mesh = TestMesh::start().await;
    let worker = Running::start(mesh.server.url(), teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    worker.stop().await;
    let intent = id("queued");
    mesh.submit_to("code", &intent).await;
    is_cancelled_once(&mesh, &intent, "pending").await;

    // The next worker finds nothing to do.
    let worker = Running::start(mesh.server.url(), teller("code", "1.0.0", &Gate::open())).await;
    until_no_ticket_is_left(&mesh, "code").await;
    assert_eq!(mesh.events_of(&intent).await, ["submitted", "cancelled"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_holder_commits_after_a_cancel_is_refused() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let worker = Running::start(mesh.server.url(), teller("code", "1.0.0", &gate)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("held");
    mesh.submit_to("code", &intent).await;
    mesh.until(&intent, "in_progress", SOON).await;
    is_cancelled_once(&mesh, &intent, "in_progress").await;

    gate.lift();
    until_no_ticket_is_left(&mesh, "code").await;
    worker.stop().await;
    assert_eq!(mesh.events_of(&intent).await, ["submitted", "started", "cancelled"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed_parked_and_waiting_intents_are_cancelled() {
    let mesh = TestMesh::start().await;
    let never = RetryPolicy {
        max_attempts: 2,
        ..RetryPolicy::default()
    };
    let later = agent("later", |_| async {
        Err::<Outcome, _>(Fault::retry("not yet").after(Duration::from_secs(600)))
    });
    let never = agent("never", |_| async {
        Err::<Outcome, _>(Fault::retry("never").after(Duration::from_millis(1)))
    })
    .retry(never);
    let workers = [
        Running::start(mesh.server.url(), later).await,
        Running::start(mesh.server.url(), never).await,
    ];
    for name in ["later", "never"] {
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    let delayed = id("delayed");
    mesh.submit_to("later", &delayed).await;
    mesh.until_events(&delayed, &Event::RetryScheduled, 1, SOON).await;
    is_cancelled_once(&mesh, &delayed, "pending").await;

    let parked = id("parked");
    mesh.submit_to("never", &parked).await;
    mesh.until(&parked, "parked", SOON).await;
    is_cancelled_once(&mesh, &parked, "parked(EXHAUSTED)").await;
    assert!(events(&mesh.history_of(&parked).await).ends_with(&["parked", "cancelled"]));

    // Only its own ticket wakes it, and that is never written.
    let waiting = mesh
        .submitted_for("1.0.0", mesh.envelope("waiting", "never", "1"), false)
        .await;
    let human = Event::Waiting {
        reason: WaitReason::Human,
    };
    mesh.append(&waiting, human, |record| record).await;
    is_cancelled_once(&mesh, &waiting, "waiting(human)").await;
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intent_that_has_ended_or_never_was_is_not_cancelled() {
    let mesh = TestMesh::start().await;
    let worker = Running::start(mesh.server.url(), teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let done = id("done");
    mesh.submit_to("code", &done).await;
    let head = mesh.until(&done, "completed", SOON).await;
    let (exit, said) = cancel(&mesh, &done).await;
    assert_eq!(exit, Some(4), "{said}");
    assert!(said.contains("completed"), "its end is not named: {said}");
    assert_eq!(mesh.head_of(&done).await.seq, head.seq);

    let undone = mesh
        .submitted_for("1.0.0", mesh.envelope("undone", "code", "1"), false)
        .await;
    mesh.append(&undone, Event::Compensating, never_undone).await;
    let (exit, said) = cancel(&mesh, &undone).await;
    assert_eq!(exit, Some(4), "{said}");
    assert!(said.contains("compensating"), "{said}");

    let (exit, said) = cancel(&mesh, &id("ghost")).await;
    assert_eq!(exit, Some(3), "{said}");
    worker.stop().await;
}
