//! Who may steer a rollout, what each act does, and what the history records; bad builds are quarantined.

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::{Gate, ids_in, result, teller, version_of};
use baton_envelope::IntentId;
use baton_testkit::eventually;
use serde_json::Value;

use crate::nats_cli::{Run, run};

/// A `baton` command run by a person.
async fn by(mesh: &TestMesh, person: &str, args: &[&str]) -> Run {
    let mut command = mesh.baton(args);
    command.env("USER", person);
    run(command).await
}

/// The same, with a document as the answer.
async fn told(mesh: &TestMesh, person: &str, args: &[&str]) -> Value {
    let mut args = args.to_vec();
    args.extend(["--output", "json"]);
    by(mesh, person, &args).await.exits(0).json()
}

async fn two_versions(mesh: &TestMesh) -> [Running; 2] {
    let url = mesh.server.url();
    let old = Running::start(url, teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let new = Running::start(url, teller("code", "2.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    [old, new]
}

/// The decisions since the first rollout began: what, by whom, and whether with numbers. Leaves out what controllers do
/// by themselves when a version is drained.
async fn decisions(mesh: &TestMesh) -> Vec<(String, String, bool)> {
    let history = told(mesh, "carol", &["rollout", "history", "code"]).await;
    let decisions = history["decisions"].as_array().expect("a list").clone();
    let revisions: Vec<_> = decisions.iter().map(|one| one["revision"].as_u64()).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    decisions
        .iter()
        .map(|one| &one["decision"])
        .filter(|decision| decision["at"].is_string())
        .filter(|decision| !["declared", "drained"].contains(&text(&decision["what"]).as_str()))
        .map(|decision| {
            let who = text(&decision["by"]);
            let who = who.split('@').next().unwrap_or_default().to_owned();
            (text(&decision["what"]), who, !decision["numbers"].is_null())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_owns_a_rollout_and_anyone_may_roll_back() {
    let mesh = TestMesh::start().await;
    let _workers = two_versions(&mesh).await;
    let start = ["rollout", "start", "code", "2.0.0", "--manual", "--steps", "10,50,100"];
    let started = told(&mesh, "alice", &start).await;
    assert_eq!(started["canary"]["percent"], 10, "{started}");
    assert_eq!(started["rollout"]["phase"], "ramping", "{started}");

    // Bob learns who is steering, and nothing that he tries changes anything.
    for args in [
        &start[..],
        &["rollout", "promote", "code"],
        &["rollout", "promote", "code", "--to-end"],
        &["rollout", "pause", "code"],
        &["rollout", "resume", "code"],
        &["rollout", "abort", "code"],
        &["route", "set", "code", "2.0.0"],
    ] {
        let refused = by(&mesh, "bob", args).await;
        assert_eq!(refused.code, Some(4), "{args:?}: {refused:#?}");
        refused.says(&["alice@", "1.0.0", "2.0.0"]);
    }
    let status = told(&mesh, "bob", &["rollout", "status", "code"]).await;
    assert_eq!(status["canary"]["percent"], 10, "{status}");

    let paused = told(&mesh, "alice", &["rollout", "pause", "code"]).await;
    assert_eq!(
        (&paused["rollout"]["phase"], &paused["canary"]["percent"]),
        (&"paused".into(), &10.into())
    );
    let resumed = told(&mesh, "alice", &["rollout", "resume", "code"]).await;
    assert_eq!(resumed["rollout"]["phase"], "ramping", "{resumed}");
    let advanced = told(&mesh, "alice", &["rollout", "promote", "code"]).await;
    assert_eq!(advanced["canary"]["percent"], 50);
    let taken = told(&mesh, "bob", &["rollout", "pause", "code", "--take-over"]).await;
    assert_eq!(taken["rollout"]["phase"], "paused");
    let back = told(&mesh, "bob", &["rollout", "rollback", "code"]).await;
    assert_eq!(
        (&back["active"], &back["canary"]),
        (&"1.0.0".into(), &Value::Null),
        "{back}"
    );
    assert_eq!(back["rollout"]["phase"], "rolled_back");
    by(&mesh, "bob", &["rollout", "rollback", "code"]).await.exits(4);
    by(&mesh, "alice", &["rollout", "promote", "code"])
        .await
        .exits(4)
        .says(&["no rollout"]);

    let decisions = decisions(&mesh).await;
    let expected = [
        ("started", "alice"),
        ("paused", "alice"),
        ("resumed", "alice"),
        ("advanced", "alice"),
        ("paused", "bob"),
        ("rolled_back", "bob"),
    ];
    let expected: Vec<_> = expected
        .map(|(what, who)| (what.to_owned(), who.to_owned(), true))
        .into();
    assert_eq!(decisions, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_rollout_leaves_the_old_version_and_promoted_to_its_end_the_new_one() {
    let mesh = TestMesh::start().await;
    let _workers = two_versions(&mesh).await;
    let start = ["rollout", "start", "code", "2.0.0", "--manual", "--steps", "10,50,100"];
    told(&mesh, "alice", &start).await;
    let aborted = told(&mesh, "alice", &["rollout", "abort", "code"]).await;
    assert_eq!(
        (&aborted["active"], &aborted["canary"]),
        (&"1.0.0".into(), &Value::Null)
    );
    assert_eq!(aborted["rollout"]["phase"], "aborted");
    mesh.until_version_is("code", "2.0.0", "drained").await;

    // A drained version may be tried again, by another person.
    told(&mesh, "bob", &start).await;
    let promoted = told(&mesh, "bob", &["rollout", "promote", "code", "--to-end"]).await;
    assert_eq!(
        (&promoted["active"], &promoted["canary"]),
        (&"2.0.0".into(), &Value::Null)
    );
    for intent in ids_in("new", 0..100).take(20) {
        mesh.submit_to("code", &intent).await;
        assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "code@2.0.0");
    }
    mesh.until_version_is("code", "1.0.0", "drained").await;
    let status = told(&mesh, "bob", &["rollout", "status", "code"]).await;
    assert_eq!(status["rollout"]["phase"], "done", "{status}");
    let what: Vec<_> = decisions(&mesh)
        .await
        .into_iter()
        .map(|(what, who, _)| format!("{what} {who}"))
        .collect();
    assert_eq!(what, ["started alice", "aborted alice", "started bob", "promoted bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_version_gets_nothing_new_keeps_what_is_open_and_goes_on_when_lifted() {
    let (mesh, gate) = (TestMesh::start().await, Gate::shut());
    let url = mesh.server.url();
    let _old = Running::start(url, teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let _bad = Running::start(url, teller("code", "2.0.0", &gate).concurrency(2)).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    mesh.start_rollout("code", "2.0.0", &[]).await;
    mesh.until_version_is("code", "1.0.0", "drained").await;

    let open: Vec<IntentId> = ids_in("open", 0..100).take(6).collect();
    for intent in &open {
        mesh.submit_to("code", intent).await;
    }
    eventually("two run", SOON, async || {
        (gate.came() == 2).then_some(()).ok_or(gate.came().to_string())
    })
    .await;
    let set_aside = by(&mesh, "alice", &["agents", "quarantine", "code", "2.0.0"])
        .await
        .exits(0);
    set_aside.says(&["paused", "baton intents move --agent code --from 2.0.0 --to 1.0.0"]);
    mesh.until_version_is("code", "2.0.0", "quarantined").await;
    mesh.until_held("code", "2.0.0", "4 that are paused", |drain| {
        let paused = drain.holds.iter().find(|hold| hold.cause.to_string() == "paused");
        paused.is_some_and(|hold| hold.count == 4) && drain.open == 6
    })
    .await;

    // What ran at the quarantine ends. Its slots are free then, and nothing arrives for them.
    gate.lift();
    let mut new = ids_in("new", 0..100);
    eventually("two are done", SOON, async || {
        let done = ended(&mesh, &open).await;
        (done == 2).then_some(()).ok_or(format!("{done}"))
    })
    .await;
    for intent in new.by_ref().take(20) {
        mesh.submit_to("code", &intent).await;
        assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "code@1.0.0");
    }
    assert_eq!((gate.came(), ended(&mesh, &open).await), (2, 2));
    by(&mesh, "alice", &["rollout", "start", "code", "2.0.0"])
        .await
        .exits(4)
        .says(&["quarantined"]);

    by(&mesh, "bob", &["agents", "quarantine", "code", "2.0.0", "--lift"])
        .await
        .exits(0);
    for intent in &open {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(
            (version_of(&head), result(&head)),
            ("2.0.0".to_owned(), "code@2.0.0".to_owned())
        );
    }
    // It is no longer the active version.
    let intent = new.next().expect("an id");
    mesh.submit_to("code", &intent).await;
    assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "code@1.0.0");
    mesh.until_version_is("code", "2.0.0", "drained").await;
    let what: Vec<_> = decisions(&mesh)
        .await
        .into_iter()
        .map(|(what, who, _)| format!("{what} {who}"))
        .collect();
    assert_eq!(what, ["started alice", "quarantined alice", "lifted bob"]);
}

async fn ended(mesh: &TestMesh, intents: &[IntentId]) -> usize {
    let mut done = 0;
    for intent in intents {
        let head = mesh.head_of(intent).await;
        done += usize::from(head.record.snapshot.status.name() == "completed");
    }
    done
}
