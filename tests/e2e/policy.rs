//! How failures are treated: what a worker declares, what an operator changes while it runs, and what an intent asks for.

use std::time::Duration;

use baton_agent::{Fault, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal, at_most, count, events};
use baton_e2e::gated::{Gate, agent_of, id, result, teller};
use baton_envelope::{Event, HistoryEntry, Status};
use baton_testkit::eventually;
use tempfile::TempDir;

use crate::nats_cli::{run, worker};

/// Sets the policy of an agent.
async fn set(mesh: &TestMesh, agent: &str, flags: &[&str]) {
    let arguments = [&["agents", "policy", agent], flags].concat();
    run(mesh.baton(&arguments)).await.exits(0);
}

/// Submits by the command.
async fn send(mesh: &TestMesh, intent: &str, agent: &str, flags: &[&str]) {
    let arguments = [&["send", agent, "otter", "--id", intent], flags].concat();
    run(mesh.baton(&arguments)).await.exits(0);
}

/// The history that the present envelope of an intent carries.
async fn carried(mesh: &TestMesh, intent: &str) -> Vec<HistoryEntry> {
    let history = mesh.history_of(&id(intent)).await;
    let last = history.into_iter().rev().find_map(|head| head.record.envelope);
    last.expect("an envelope").history
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_follows_what_an_operator_changes_and_an_intent_stays_within_it() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(&mesh, dir.path(), "flaky", &["--exec", "exit 3", "--max-attempts", "4"]).await;
    let attempts = async |intent: &str| {
        let head = mesh.until(&id(intent), "parked", SOON).await;
        assert_eq!(
            head.record.snapshot.status,
            Status::Parked {
                code: "EXIT_3".to_owned()
            }
        );
        assert!(head.record.exhausted, "the record says that the attempts are used up");
        let history = mesh.history_of(&id(intent)).await;
        assert_eq!(
            count(&history, "retry_scheduled") + 1,
            usize::try_from(head.record.snapshot.attempt).expect("fits")
        );
        head.record.snapshot.attempt
    };
    send(&mesh, "declared", "flaky", &[]).await;
    assert_eq!(attempts("declared").await, 4, "what the worker declares");
    run(mesh.baton(&["agents", "breaker", "flaky"])).await.exits(0);

    set(
        &mesh,
        "flaky",
        &[
            "--attempts",
            "2",
            "--backoff",
            "10ms",
            "--longest",
            "20ms",
            "--reason",
            "noise",
        ],
    )
    .await;
    send(&mesh, "changed", "flaky", &[]).await;
    assert_eq!(
        attempts("changed").await,
        2,
        "what the operator has set, without a restart"
    );
    let shown = run(mesh.baton(&["agents", "policy", "flaky"])).await.exits(0);
    let lines: Vec<String> = shown
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "set by operator",
        "attempts 2",
        "set by workers of 1.0.0",
        "attempts 4",
        "in force for 1.0.0",
    ] {
        assert!(lines.iter().any(|one| one == line), "{line}: {}", shown.stdout);
    }
    let history = run(mesh.baton(&["rollout", "history", "flaky", "--output", "json"]))
        .await
        .exits(0);
    assert!(
        history.stdout.contains("\"policy\"") && history.stdout.contains("noise"),
        "{}",
        history.stdout
    );

    set(&mesh, "flaky", &["--reset"]).await;
    run(mesh.baton(&["agents", "breaker", "flaky"])).await.exits(0);
    send(&mesh, "fewer", "flaky", &["--attempts", "1"]).await;
    assert_eq!(attempts("fewer").await, 1, "an intent may ask for fewer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_hold_is_refused_by_name() {
    let (mesh, gate) = (TestMesh::start().await, Gate::open());
    let _agent = Running::start(mesh.server.url(), teller("code", "1.0.0", &gate)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    for (flags, exit, said) in [
        (&["--attempts", "0"][..], 2, "from 1 to 1000"),
        (&["--attempts", "1001"], 2, "from 1 to 1000"),
        (&["--on-exhausted", "pray"], 2, "escalate:AGENT"),
        (&["--on-exhausted", "escalate:code"], 2, "cannot escalate to itself"),
        (&["--on-exhausted", "escalate:nobody"], 3, "nobody"),
        (&["--alternatives", "nobody"], 3, "nobody"),
        (&["--alternatives", "code"], 2, "stand in for itself"),
        (&["--on-open", "alternative"], 2, "--alternatives"),
        (&["--accept-within", "10ms"], 2, "accept_within_ms 10"),
    ] {
        let arguments = [&["agents", "policy", "code"], flags].concat();
        let refused = run(mesh.baton(&arguments)).await.exits(exit);
        assert!(refused.stderr.contains(said), "{flags:?}: {}", refused.stderr);
    }
    let nobody = run(mesh.baton(&["agents", "policy", "nobody", "--attempts", "2"])).await;
    nobody.exits(3).says(&["nobody"]);
    let route = mesh
        .mesh
        .route(&"code".parse().expect("name"))
        .await
        .expect("read")
        .expect("a route")
        .0;
    assert_eq!(route.policy, None, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_runs_too_long_is_ended_and_tried_again() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let told = dir.path().join("told");
    let program = format!(
        "if [ \"$BATON_ATTEMPT\" = 1 ]; then trap 'echo ended > {}; exit' TERM; sleep 60 & wait; fi; echo done",
        told.display()
    );
    let flags = ["--exec", program.as_str(), "--attempt-timeout", "400ms"];
    let _program = worker(&mesh, dir.path(), "slow", &flags).await;
    send(&mesh, "program", "slow", &[]).await;
    assert_eq!(result(&mesh.until(&id("program"), "completed", SOON).await), "done");
    assert_legal(&mesh.history_of(&id("program")).await);
    assert!(told.exists(), "the program was told to end");
    let timed_out = async |intent: &str| {
        let history = mesh.history_of(&id(intent)).await;
        let retried = history.iter().find(|head| head.record.event == Event::RetryScheduled);
        let error = retried.and_then(|head| head.record.error.clone()).expect("an error");
        assert_eq!(error.code, "ATTEMPT_TIMED_OUT");
    };
    timed_out("program").await;

    // A handler in this process is dropped; the policy is an operator's here, and the intent's own.
    let stuck = agent("stuck", |_| async { std::future::pending().await });
    let _stuck = Running::start(mesh.server.url(), stuck).await;
    mesh.until_version_is("stuck", "1.0.0", "active").await;
    set(
        &mesh,
        "stuck",
        &["--attempts", "2", "--backoff", "10ms", "--attempt-timeout", "1h"],
    )
    .await;
    send(&mesh, "handler", "stuck", &["--attempt-timeout", "300ms"]).await;
    let head = mesh.until(&id("handler"), "parked", SOON).await;
    assert_eq!(
        head.record.snapshot.status,
        Status::Parked {
            code: "ATTEMPT_TIMED_OUT".to_owned()
        }
    );
    timed_out("handler").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_whose_attempts_are_used_up_fails_or_goes_to_whom_it_is_escalated() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(
        &mesh,
        dir.path(),
        "flaky",
        &["--exec", "echo broken >&2; exit 3", "--max-attempts", "2"],
    )
    .await;
    let chief = agent("chief", |envelope| async move { Outcome::complete(&envelope.payload) });
    let _chief = Running::start(mesh.server.url(), chief).await;
    mesh.until_version_is("chief", "1.0.0", "active").await;

    set(&mesh, "flaky", &["--on-exhausted", "escalate:chief"]).await;
    send(&mesh, "escalated", "flaky", &[]).await;
    let head = mesh.until(&id("escalated"), "completed", SOON).await;
    assert_eq!((agent_of(&head), result(&head).as_str()), ("chief".to_owned(), "otter"));
    let history = mesh.history_of(&id("escalated")).await;
    assert_legal(&history);
    let handed = history
        .iter()
        .find(|head| head.record.event == Event::HandedOff)
        .expect("handed off");
    assert!(handed.record.exhausted);
    assert_eq!(handed.record.error.as_ref().expect("an error").code, "EXIT_3");
    assert!(
        handed.record.snapshot.error.is_none(),
        "the next agent begins without an error"
    );
    let told = carried(&mesh, "escalated").await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].agent.as_str(), told[0].hop), ("flaky", Some(1)));
    let why = told[0].why.as_deref().unwrap_or_default();
    assert!(why.contains("EXIT_3") && why.contains("broken"), "{why}");

    // No room for another hop: a person finds it, with the path.
    let envelope = at_most(mesh.envelope("no-room", "flaky", "1"), 1);
    mesh.submit_envelope(envelope).await;
    let head = mesh.until(&id("no-room"), "parked", SOON).await;
    assert_eq!(
        head.record.snapshot.status,
        Status::Parked {
            code: "HOP_LIMIT".to_owned()
        }
    );
    assert!(head.record.exhausted);

    run(mesh.baton(&["agents", "policy", "flaky", "--on-exhausted", "fail"]))
        .await
        .exits(0);
    mesh.submit_to("chief", &id("between")).await;
    run(mesh.baton(&["agents", "breaker", "flaky"])).await.exits(0);
    send(&mesh, "failed", "flaky", &[]).await;
    let head = mesh.until(&id("failed"), "failed", SOON).await;
    assert_eq!(
        head.record.snapshot.status,
        Status::Failed {
            code: "EXIT_3".to_owned()
        }
    );
    assert!(head.record.exhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn declined_work_goes_to_the_alternatives_in_turn_or_back_to_who_sent_it() {
    let mesh = TestMesh::start().await;
    let mut running = Vec::new();
    for name in ["first", "second"] {
        let declines = agent(name, move |_| async move {
            Ok(Outcome::reject("NOT_MINE", format!("not for {name}")))
        });
        running.push(Running::start(mesh.server.url(), declines).await);
    }
    running.push(Running::start(mesh.server.url(), teller("third", "1.0.0", &Gate::open())).await);
    for name in ["first", "second", "third"] {
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    send(&mesh, "ends", "first", &[]).await;
    mesh.until(&id("ends"), "rejected", SOON).await;

    set(
        &mesh,
        "first",
        &["--on-rejected", "alternative", "--alternatives", "second,third"],
    )
    .await;
    send(&mesh, "in-turn", "first", &[]).await;
    let head = mesh.until(&id("in-turn"), "completed", SOON).await;
    assert_eq!(result(&head), "third@1.0.0");
    let path: Vec<String> = head
        .record
        .snapshot
        .path
        .iter()
        .map(|entry| entry.agent.to_string())
        .collect();
    assert_eq!(path, ["first", "second", "third"]);
    let told: Vec<String> = carried(&mesh, "in-turn")
        .await
        .iter()
        .map(|entry| entry.agent.to_string())
        .collect();
    assert_eq!(told, ["first", "second"]);
    assert_legal(&mesh.history_of(&id("in-turn")).await);

    set(&mesh, "first", &["--alternatives", "second"]).await;
    send(&mesh, "none-left", "first", &[]).await;
    let head = mesh.until(&id("none-left"), "rejected", SOON).await;
    assert_eq!(
        head.record.snapshot.status,
        Status::Rejected {
            code: "NOT_MINE".to_owned()
        }
    );
    assert_eq!(agent_of(&head), "second");

    // Back to who sent it, as often as the limit on hops allows.
    let stubborn = agent("stubborn", |envelope| async move {
        Outcome::hand_off("second", &envelope.payload)
    });
    running.push(Running::start(mesh.server.url(), stubborn).await);
    mesh.until_version_is("stubborn", "1.0.0", "active").await;
    set(&mesh, "second", &["--on-rejected", "return"]).await;
    let envelope = at_most(mesh.envelope("back", "stubborn", "1"), 4);
    mesh.submit_envelope(envelope).await;
    let head = mesh.until(&id("back"), "parked", SOON).await;
    assert_eq!(
        head.record.snapshot.status,
        Status::Parked {
            code: "HOP_LIMIT".to_owned()
        }
    );
    let path: Vec<String> = head
        .record
        .snapshot
        .path
        .iter()
        .map(|entry| entry.agent.to_string())
        .collect();
    assert_eq!(path, ["stubborn", "second", "stubborn", "second"]);
    let told = carried(&mesh, "back").await;
    assert!(
        told.iter()
            .any(|entry| entry.agent.as_str() == "second" && entry.did.is_some()),
        "{told:?}"
    );
    send(&mesh, "nobody-before", "second", &[]).await;
    mesh.until(&id("nobody-before"), "rejected", SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_nobody_takes_goes_to_an_alternative_or_is_set_aside() {
    let (mesh, gate) = (TestMesh::start().await, Gate::open());
    let away = Running::start(mesh.server.url(), teller("away", "1.0.0", &gate)).await;
    mesh.until_version_is("away", "1.0.0", "active").await;
    let _here = Running::start(mesh.server.url(), teller("here", "1.0.0", &gate)).await;
    mesh.until_version_is("here", "1.0.0", "active").await;
    let waits = ["send", "away", "1", "--wait-for", "accepted", "--timeout", "20s"];
    run(mesh.baton(&waits)).await.exits(0);
    away.stop().await;

    let waits = [
        "send",
        "away",
        "1",
        "--id",
        "patient",
        "--wait-for",
        "accepted",
        "--timeout",
        "1s",
    ];
    run(mesh.baton(&waits)).await.exits(5).says(&["no worker has taken"]);
    send(&mesh, "parked", "away", &["--accept-within", "1s"]).await;
    let head = mesh.until(&id("parked"), "parked", SOON).await;
    assert_eq!(
        head.record.snapshot.status,
        Status::Parked {
            code: "NOT_ACCEPTED".to_owned()
        }
    );
    let waited = head.record.snapshot.updated_at.since(head.record.snapshot.submitted_at);
    assert!(
        waited >= Duration::from_secs(3),
        "after three offers, not before: {waited:?}"
    );
    assert_eq!(
        mesh.head_of(&id("patient")).await.record.snapshot.status,
        Status::Pending,
        "it asked for nothing"
    );

    let flags = [
        "--accept-within",
        "1s",
        "--alternatives",
        "here",
        "--on-unaccepted",
        "alternative",
    ];
    set(&mesh, "away", &flags).await;
    // What waits already is offered by the new policy, too.
    for intent in ["patient", "new"] {
        if intent == "new" {
            send(&mesh, intent, "away", &[]).await;
        }
        let head = mesh.until(&id(intent), "completed", SOON).await;
        assert_eq!(result(&head), "here@1.0.0");
        let path: Vec<String> = head
            .record
            .snapshot
            .path
            .iter()
            .map(|entry| entry.agent.to_string())
            .collect();
        assert_eq!(path, ["away", "here"]);
        let history = mesh.history_of(&id(intent)).await;
        assert_legal(&history);
        assert!(events(&history).contains(&"rerouted"), "{:?}", events(&history));
        assert_eq!(carried(&mesh, intent).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_failure_is_parked_for_a_person_under_one_code() {
    let mesh = TestMesh::start().await;
    let broken = agent("broken", |_| async {
        Err(Fault::retry("out of paper").with_code("NO_PAPER"))
    });
    let _broken = Running::start(mesh.server.url(), broken).await;
    mesh.until_version_is("broken", "1.0.0", "active").await;
    set(&mesh, "broken", &["--attempts", "1", "--on-exhausted", "human"]).await;
    send(&mesh, "asks", "broken", &[]).await;
    let head = mesh.until(&id("asks"), "parked", SOON).await;
    assert_eq!(
        head.record.snapshot.status,
        Status::Parked {
            code: "EXHAUSTED".to_owned()
        }
    );
    let message = head.record.snapshot.error.expect("an error").message;
    assert!(message.contains("NO_PAPER"), "{message}");
    eventually("the policy is in the list", SOON, async || {
        let shown = run(mesh.baton(&["agents", "policy", "broken"])).await.exits(0).stdout;
        if shown.contains("human") { Ok(()) } else { Err(shown) }
    })
    .await;
}
