//! Work that cannot go on is parked with its reason, and `baton dead redrive` completes it once the cause is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use baton_agent::{Fault, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Program, Running, SOON, TAKEOVER, agent, assert_legal, at_most, events};
use baton_envelope::{AgentVersion, Author, Role, Status, act};
use baton_jetstream::{Decision, Known};
use baton_testkit::eventually;

use crate::nats_cli::run;

fn parked(code: &str) -> Status {
    Status::Parked { code: code.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chain_past_its_hop_limit_is_parked_with_its_path() {
    let mesh = TestMesh::start().await;
    let cured = Arc::new(AtomicBool::new(false));
    let mut agents = Vec::new();
    for (name, to) in [("ping", "pong"), ("pong", "ping")] {
        let cured = Arc::clone(&cured);
        let run = move |_| {
            let cured = cured.load(Ordering::SeqCst);
            async move {
                if cured {
                    Outcome::complete("enough")
                } else {
                    Outcome::hand_off(to, "back")
                }
            }
        };
        agents.push(Running::start(mesh.server.url(), agent(name, run)).await);
    }
    // Both must be known before the first hands over; otherwise the unknown agent causes a retry.
    for (id, name) in [("known-1", "ping"), ("known-2", "pong")] {
        let intent = mesh.submit_envelope(at_most(mesh.envelope(id, name, "1"), 1)).await;
        let head = mesh.until(&intent, "parked", SOON).await;
        assert_eq!(head.record.snapshot.status, parked("HOP_LIMIT"));
    }

    let intent = mesh
        .submit_envelope(at_most(mesh.envelope("loop", "ping", "1"), 4))
        .await;
    let head = mesh.until(&intent, "parked", SOON).await;
    assert_eq!(head.record.snapshot.status, parked("HOP_LIMIT"));
    assert_eq!(head.record.snapshot.hop, 4);
    let message = head.record.snapshot.error.expect("an error").message;
    let path = "ping@1.0.0 -> pong@1.0.0 -> ping@1.0.0 -> pong@1.0.0 -> ping";
    assert!(message.contains(path), "{message}");
    let shown = mesh.run_baton(&["dead", "show", intent.as_str()]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("HOP_LIMIT") && shown.contains(path), "{shown}");

    // More hops alone only lead to the next limit.
    mesh.redrive(&intent, &["--max-hops", "6"]).await;
    eventually("parked again", SOON, async || {
        let at = mesh.head_of(&intent).await.record.snapshot;
        (at.hop == 6 && at.status == parked("HOP_LIMIT"))
            .then_some(())
            .ok_or(format!("{} at {}", at.status, at.hop))
    })
    .await;

    cured.store(true, Ordering::SeqCst);
    mesh.redrive(&intent, &["--max-hops", "8"]).await;
    mesh.until(&intent, "completed", SOON).await;
    assert_legal(&mesh.history_of(&intent).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_that_fails_three_times_is_parked_with_its_error() {
    let mesh = TestMesh::start().await;
    let (cured, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let builder = {
        let (cured, runs) = (Arc::clone(&cured), Arc::clone(&runs));
        agent("fragile", move |_| {
            let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
            let cured = cured.load(Ordering::SeqCst);
            async move {
                if cured {
                    Outcome::complete("well")
                } else {
                    Err(Fault::retry(format!("disk full at try {run}")))
                }
            }
        })
        .retry(RetryPolicy {
            unit: Duration::from_millis(20),
            ..RetryPolicy::default()
        })
    };
    let _worker = Running::start(mesh.server.url(), builder).await;
    let intent = mesh.submit("fragile-1", "fragile", "{}").await;
    let head = mesh.until(&intent, "parked", SOON).await;
    assert_eq!(head.record.snapshot.status, parked("EXHAUSTED"));
    assert_eq!(head.record.snapshot.attempt, 3);
    let message = head.record.snapshot.error.expect("an error").message;
    assert!(message.contains("disk full at try 3"), "{message}");
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    let history = mesh.history_of(&intent).await;
    assert_eq!(
        events(&history)
            .iter()
            .filter(|event| **event == "retry_scheduled")
            .count(),
        2
    );

    cured.store(true, Ordering::SeqCst);
    mesh.redrive(&intent, &[]).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(head.record.snapshot.attempt, 1, "a redrive counts anew");
    assert!(head.record.snapshot.error.is_none());
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    assert_legal(&mesh.history_of(&intent).await);
}

/// Takes three ack waits of 10 s: a dead worker says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payload_that_kills_its_worker_three_times_is_parked_as_poison() {
    let mesh = TestMesh::start().await;
    let program =
        Program::shell("echo run >> {dir}/log; if [ -e {dir}/cured ]; then echo well; else kill -9 $PPID; fi");
    let start = |n: usize| program.worker(&mesh, "victim", &format!("victim-{n}"), &[]);
    let mut worker = start(0);
    let intent = mesh.submit("poison", "victim", "{}").await;
    for n in 1..=3 {
        worker.wait(TAKEOVER).await;
        worker = start(n);
    }
    let head = mesh.until(&intent, "parked", TAKEOVER).await;
    assert_eq!(head.record.snapshot.status, parked("POISON"));
    assert!(
        worker.try_wait().is_none(),
        "the fourth worker must not run the payload"
    );
    let runs = || {
        std::fs::read_to_string(program.dir().join("log"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    assert_eq!(runs(), 3);

    program.touch("cured");
    mesh.redrive(&intent, &[]).await;
    mesh.until(&intent, "completed", SOON).await;
    assert_eq!(runs(), 4);
    assert_legal(&mesh.history_of(&intent).await);
}

/// Would fail if a redrive took any version: the intent would wait for a worker that nobody can start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redrive_to_a_version_that_nobody_knows_is_refused_and_what_waits_for_one_is_told_and_moved() {
    let mesh = TestMesh::start().await;
    let parks = agent("frail", |_| async move { Err::<Outcome, _>(Fault::retry("not today")) });
    let parks = parks.retry(RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    });
    let worker = Running::start(mesh.server.url(), parks).await;
    let intent = mesh.submit("lost", "frail", "1").await;
    mesh.until(&intent, "parked", SOON).await;
    worker.stop().await;
    let redrive = ["dead", "redrive", "lost", "--version", "9.9.9"];
    run(mesh.baton(&redrive))
        .await
        .exits(3)
        .says(&["UNKNOWN_VERSION", "9.9.9", "1.0.0"]);
    assert_eq!(mesh.head_of(&intent).await.record.snapshot.status.name(), "parked");
    let nothing = [
        "intents", "move", "--agent", "frail", "--from", "9.9.9", "--to", "1.0.0",
    ];
    run(mesh.baton(&nothing)).await.exits(3).says(&["UNKNOWN_VERSION"]);

    // As an older build redrove it.
    let version: AgentVersion = "9.9.9".parse().expect("version");
    let operator = Author::of(Role::Operator, "ada");
    let redriven = mesh.mesh.advance(&intent, &operator, Known::Unread, |now, _| {
        let Some(now) = now else { return Ok(Decision::Nothing) };
        let Some(last) = now.envelope else {
            return Ok(Decision::ReadEnvelope);
        };
        let mut again = last.again(mesh.mesh.clock().envelope_id());
        again.to_version = Some(version.clone());
        Ok::<_, baton_jetstream::Error>(act::redrive(now.snapshot, again, version.clone())?.into())
    });
    redriven.await.expect("redriven");
    eventually("doctor tells of it", SOON, async || {
        let told = run(mesh.baton(&["doctor"])).await.stdout;
        match told.contains("UNKNOWN_VERSION") && told.contains("--from 9.9.9 --to 1.0.0") {
            true => Ok(()),
            false => Err(told),
        }
    })
    .await;
    let moved = run(mesh.baton(&nothing)).await.exits(0).stdout;
    assert!(moved.contains("lost"), "{moved}");
    let version = mesh.head_of(&intent).await.record.snapshot.version.clone();
    assert_eq!(version, Some("1.0.0".parse().expect("version")));
}
