//! What the leader submits for an intent, and the mesh never takes: a child, a copy or an undo ends as refused, and what cannot go
//! on is set aside. Nobody waits for ever.
//!
//! A holder of today refuses most of this before it commits. What has changed since, and what another program wrote, it cannot; so
//! these tests write such records themselves.

use std::time::Duration;

use baton_agent::{Agent, Call, Calls, Fault, Handler, Hop, Outcome, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal};
use baton_e2e::gated::{id, result, result_as, said};
use baton_envelope::{
    Author, Broadcast, Child, Children, Draft, Extra, IllegalTransition, IntentId, JoinRule, Json, Protocol,
    ProtocolRange, RECEIVERS, Role, Snapshot, StepEntry, Undo, WaitSpec, act,
};
use baton_jetstream::{ControllerMesh, Decision, Error, Known, NewBroadcast};
use serde_json::json;

use crate::nats_cli::{publish, run, worker};

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);
/// Two of these fit into no message, and one does.
const LARGE: usize = 600_000;

/// Goes on with what its call came to, as one line.
struct Lead;

impl Handler for Lead {
    type Input = u32;

    async fn handle(&self, hop: &mut Hop, asked: u32) -> Result<Outcome, Fault> {
        let calls: Result<Vec<Call>, Fault> = (0..asked).map(|_| Call::new("help", "ok")).collect();
        let joined = hop.join(Calls::of(calls?)).await?;
        let said = joined.children().iter().map(said).collect::<Vec<_>>().join(" ");
        Outcome::complete(&said)
    }
}

/// Completes with its payload.
struct Echo;

impl Handler for Echo {
    type Input = String;

    async fn handle(&self, _: &mut Hop, said: String) -> Result<Outcome, Fault> {
        Outcome::complete(&said)
    }
}

/// Completes when it is told to go on.
struct Waits;

impl Handler for Waits {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, _: String) -> Result<Outcome, Fault> {
        hop.wait(Wait::signal("go")).await?;
        Outcome::complete("told")
    }
}

/// Starts an agent that takes work of the kind `help` and of none. It takes no payload by reference, so one can be too large for it.
async fn help(mesh: &TestMesh, name: &str) -> Running {
    let builder = Agent::builder(name, "1.0.0").expect("agent").kind("help");
    let reads = ProtocolRange::new(Protocol::new(1, 0, 0), Protocol::new(1, 6, 0)).expect("a range");
    let worker = Running::start(mesh.server.url(), builder.protocol(reads).handler(Echo)).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    worker
}

fn large() -> String {
    "x".repeat(LARGE)
}

/// Submits work for an agent that is known, and that no worker takes. With its constraints no large payload fits into a record.
async fn untaken(mesh: &TestMesh, intent: &str, agent: &str, payload: &str) -> IntentId {
    let constraints = Json::of(&json!({"note": large()})).expect("JSON");
    let envelope = mesh.envelope(intent, agent, payload).with_constraints(constraints);
    mesh.submit_envelope(envelope).await
}

/// Writes a record of a holder.
async fn write(
    mesh: &TestMesh,
    intent: &IntentId,
    draft: impl Fn(&Snapshot) -> Result<Draft, IllegalTransition> + Send + Sync,
) {
    let head = mesh.head_of(intent).await;
    let of = head.record.snapshot.agent.expect("an agent");
    let by = Author::worker(of, "1.0.0".parse().expect("a version"), "another-program");
    let written = mesh.mesh.advance(intent, &by, Known::Unread, |now, _| {
        let now = now.expect("a head");
        Ok::<_, Error>(Decision::from(draft(now.snapshot)?))
    });
    written.await.expect("written");
}

/// A child for an agent, with a payload.
fn child(to: &str, kind: Option<&str>, said: &str) -> Child {
    Child {
        to: Some(to.parse().expect("agent")),
        kind: kind.map(str::to_owned),
        ..Child::new(Json::string(said))
    }
}

/// Suspends the first hop of an intent on these children.
async fn suspend(mesh: &TestMesh, intent: &IntentId, children: Children) {
    let waits = [WaitSpec::for_children("calls", children)];
    write(mesh, intent, |head| act::claim(head, "another-program", 1)).await;
    write(mesh, intent, |head| act::suspend(head, &waits)).await;
}

/// Makes `lead` known, of which no worker is there.
async fn without_worker(mesh: &TestMesh) {
    let worker = lead(mesh).await;
    mesh.until_version_is("lead", "1.0.0", "active").await;
    worker.stop().await;
}

async fn lead(mesh: &TestMesh) -> Running {
    let builder = Agent::builder("lead", "1.0.0").expect("agent").handler(Lead);
    Running::start(mesh.server.url(), builder).await
}

/// The text with which the mesh has refused an intent.
async fn refused(mesh: &TestMesh, intent: &IntentId, code: &str) -> String {
    let head = mesh.until(intent, "rejected", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, code, "{error:?}");
    assert_legal(&mesh.history_of(intent).await);
    error.message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_is_never_taken_ends_as_refused_and_its_parent_goes_on() {
    let mesh = TestMesh::start().await;
    let helper = help(&mesh, "help").await;
    without_worker(&mesh).await;
    let intent = untaken(&mesh, "order-42", "lead", "6").await;
    let of = |index| IntentId::of_child(&intent, 1, "calls", index);
    // The ids of the last two are taken: by other work, and by what nobody can read.
    mesh.submit(of(4).as_str(), "help", "\"other\"").await;
    publish(&mesh.server, &format!("mesh.ledger.0.{}", of(5)), &[], b"no record").await;
    let children = vec![
        child("help", Some("help"), "ok"),
        child("nobody-at-all", None, "ok"),
        child("help", Some("nope"), "ok"),
        child("help", None, &large()),
        child("help", None, "ok"),
        child("help", None, "ok"),
    ];
    suspend(&mesh, &intent, Children::new(children, JoinRule::Collect)).await;
    let lead = lead(&mesh).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(
        result(&head),
        "ok UNKNOWN_AGENT UNROUTABLE PAYLOAD_TOO_LARGE CONFLICT CONFLICT"
    );
    assert_legal(&mesh.history_of(&intent).await);
    for (index, code, says) in [
        (1, "UNKNOWN_AGENT", "\"nobody-at-all\" is unknown"),
        (2, "UNROUTABLE", "does not take kind \"nope\""),
        (3, "PAYLOAD_TOO_LARGE", "the server takes at most"),
    ] {
        let told = refused(&mesh, &of(index), code).await;
        assert!(told.contains(says), "{told}");
        let head = mesh.head_of(&of(index)).await;
        assert_eq!(head.record.snapshot.parent.as_ref(), Some(&intent));
    }
    let shown = run(mesh.baton(&["dead", "list"])).await.exits(0).stdout;
    assert!(shown.contains("UNROUTABLE"), "{shown}");
    for worker in [helper, lead] {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_child_that_is_never_taken_does_not_hold_its_parent() {
    let mesh = TestMesh::start().await;
    let helper = help(&mesh, "help").await;
    without_worker(&mesh).await;
    let intent = untaken(&mesh, "order-42", "lead", "2").await;
    let children = vec![child("help", None, "ok"), child("help", Some("nope"), "ok")];
    let mut children = Children::new(children, JoinRule::Any);
    children.detach = true;
    suspend(&mesh, &intent, children).await;
    let lead = lead(&mesh).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert!(result(&head).starts_with("ok "), "{}", result(&head));
    let told = refused(&mesh, &IntentId::of_child(&intent, 1, "calls", 1), "UNROUTABLE").await;
    assert!(told.contains("nope"), "{told}");
    for worker in [helper, lead] {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_never_taken_is_named_in_the_end_of_the_message() {
    let mesh = TestMesh::start().await;
    let helper = help(&mesh, "help").await;
    let root = id("news-1");
    let envelope = mesh.envelope("news-1", "help", "\"hear\"");
    let channel = "news".parse().expect("channel");
    let new = NewBroadcast {
        sent: Broadcast::of(channel, true, &envelope),
        receivers: vec!["help".parse().expect("agent"), "gone".parse().expect("agent")],
        envelope,
        generated: false,
    };
    // As a router does that knew the second one when it wrote the root.
    let by = Author::of(Role::Controller, "router");
    let written = ControllerMesh::of(&mesh.mesh).broadcast(new, &by).await;
    written.expect("the root is written");
    let head = mesh.until(&root, "completed", SOON).await;
    let copy = IntentId::of_child(&root, 0, RECEIVERS, 1);
    let expected = json!({"intent": root, "channel": "news", "receivers": 2, "completed": 1, "not_completed": [
        {"agent": "gone", "intent": copy, "state": "rejected", "code": "UNKNOWN_AGENT"}]});
    assert_eq!(result_as::<serde_json::Value>(&head), expected);
    helper.stop().await;
}

/// Takes an intent that is untaken, does a step with this undo, and is cancelled so.
async fn done_and_cancelled(mesh: &TestMesh, intent: &IntentId, undo: Undo) {
    write(mesh, intent, |head| act::claim(head, "another-program", 1)).await;
    for (step, undo) in [
        ("flight", Undo::new(undo.agent.clone(), Json::string("flight"))),
        ("hotel", undo),
    ] {
        let entry = StepEntry {
            result_ref: None,
            name: step.to_owned(),
            result: Json::string("booked"),
            undo: Some(Box::new(undo)),
            extra: Extra::new(),
        };
        write(mesh, intent, |head| act::step(head, entry.clone())).await;
    }
    let flags = ["intents", "cancel", intent.as_str(), "--undo", "--reason", "ill"];
    run(mesh.baton(&flags)).await.exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_that_is_never_taken_parks_the_whole_and_a_redrive_tries_it_again() {
    let mesh = TestMesh::start().await;
    let helper = help(&mesh, "back").await;
    without_worker(&mesh).await;
    let back = || "back".parse().expect("agent");
    let of_kind = Undo {
        kind: Some("nope".to_owned()),
        ..Undo::new(back(), Json::string("hotel"))
    };
    let cases = [
        ("trip-1", of_kind, ["UNROUTABLE", "does not take kind \"nope\""]),
        (
            "trip-2",
            Undo::new("nobody-at-all".parse().expect("agent"), Json::string("hotel")),
            ["UNKNOWN_AGENT", "\"nobody-at-all\" is unknown"],
        ),
        (
            "trip-3",
            Undo::new(back(), Json::string(&large())),
            ["PAYLOAD_TOO_LARGE", "the server takes at most"],
        ),
    ];
    for (trip, undo, [code, says]) in cases {
        let intent = untaken(&mesh, trip, "lead", "1").await;
        done_and_cancelled(&mesh, &intent, undo).await;
        let head = mesh.until(&intent, "parked", SOON).await;
        let error = head.record.snapshot.error.expect("an error");
        assert_eq!(error.code, "COMPENSATION_FAILED", "{error:?}");
        for part in [
            "the undo of step \"hotel\" of hop 1 failed",
            code,
            says,
            "not undone: step \"hotel\" of hop 1, step \"flight\" of hop 1",
        ] {
            assert!(error.message.contains(part), "{part}: {}", error.message);
        }
        refused(&mesh, &IntentId::of_child(&intent, 1, "undo#1", 0), code).await;
    }
    // A version takes it now.
    let able = Agent::builder("back", "2.0.0").expect("agent").handler(Echo);
    let able = Running::start(mesh.server.url(), able).await;
    mesh.until_version_is("back", "2.0.0", "ready").await;
    mesh.start_rollout("back", "2.0.0", &[]).await;
    mesh.until_version_is("back", "2.0.0", "active").await;
    run(mesh.baton(&["dead", "redrive", "trip-1"])).await.exits(0);
    mesh.until(&id("trip-1"), "cancelled", SOON).await;
    for number in ["undo#1.1", "undo#2.1"] {
        mesh.until(&IntentId::of_child(&id("trip-1"), 1, number, 0), "completed", SOON)
            .await;
    }
    for worker in [helper, able] {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_of_a_kind_that_nobody_takes_is_refused_before_anything_is_recorded() {
    let (mesh, dir) = (TestMesh::start().await, tempfile::tempdir().expect("a folder"));
    let helper = help(&mesh, "back").await;
    let step = r#"cat > /dev/null; echo '{"step":"flight","result":7,"undo":{"agent":"back","kind":"nope"}}'"#;
    let hop = r#"cat > /dev/null
        echo '{"outcome":"hand_off","to":"back","undo":{"agent":"back","kind":"nope"}}'"#;
    let mut workers = Vec::new();
    for (agent, program) in [("steps", step), ("hops", hop)] {
        workers.push(worker(&mesh, dir.path(), agent, &["--exec", program, "--json"]).await);
        run(mesh.baton(&["send", agent, "1", "--id", agent, "--attempts", "1"]))
            .await
            .exits(0);
        let head = mesh.until(&id(agent), "parked", SOON).await;
        let snapshot = head.record.snapshot;
        let error = snapshot.error.expect("an error");
        assert_eq!(error.code, "BAD_UNDO", "{error:?}");
        assert!(
            error.message.contains("does not take kind \"nope\""),
            "{}",
            error.message
        );
        assert_eq!(snapshot.undo, None);
    }
    helper.stop().await;
    drop(workers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_more_than_a_record_holds_is_set_aside() {
    let mesh = TestMesh::start().await;
    let waits = Agent::builder("waits", "1.0.0").expect("agent").handler(Waits);
    let waits = Running::start(mesh.server.url(), waits).await;
    mesh.until_version_is("waits", "1.0.0", "active").await;
    let mut envelope = mesh.envelope("order-42", "waits", "\"go on\"");
    envelope.extra.insert("x-large".to_owned(), Json::string(&large()));
    let intent = mesh.submit_envelope(envelope).await;
    mesh.until(&intent, "waiting", SOON).await;
    let told = mesh
        .mesh
        .publish_raw(format!("mesh.signal.{intent}.go"), Vec::new(), large().into());
    told.await.expect("stored");
    let head = mesh.until(&intent, "parked", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, "PAYLOAD_TOO_LARGE", "{error:?}");
    assert!(error.message.contains("cannot go on"), "{}", error.message);
    // The signal is there, unread, and is no dead letter.
    assert_eq!(head.record.snapshot.signals.len(), 1);
    mesh.until_intake_is_empty().await;
    let dead = run(mesh.baton(&["dead", "list", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(dead["dead"].as_array().map(Vec::len), Some(1), "{dead}");
    waits.stop().await;
}
