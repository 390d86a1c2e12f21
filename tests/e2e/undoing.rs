//! What an intent did is undone: in reverse order, each once, when it fails for good or is cancelled so; what happens when an
//! undo fails; and what cannot be named.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Outcome, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, events};
use baton_envelope::{AgentVersion, Author, Envelope, Event, IntentId, OnExhausted, Policy, Role, Status, act};
use baton_jetstream::{Decision, Error, Head, Known};
use baton_testkit::eventually;
use serde_json::json;

use crate::nats_cli::{run, worker};

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);

/// What was done, in its order.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: String) {
        self.0.lock().expect("lock").push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("lock").clone()
    }

    fn with(&self, start: &str) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| line.starts_with(start))
            .collect()
    }
}

/// Books what its payload says, each with an undo. `bad` fails for good, `wait` waits for a signal `go`, `on` hands off to itself
/// with the rest, `ask` asks another trip for a hotel that waits, `lost` names an undo that nobody is.
struct Trip(Log);

impl Handler for Trip {
    type Input = Vec<String>;

    async fn handle(&self, hop: &mut Hop, things: Vec<String>) -> Result<Outcome, Fault> {
        for (at, thing) in things.iter().enumerate() {
            match thing.as_str() {
                "bad" => return Err(Fault::terminal("NO_WAY", "none is left")),
                "wait" => drop(hop.wait(Wait::signal("go")).await?),
                "ask" => drop(hop.call("trip", &["hotel", "wait"]).await?),
                "on" => {
                    let rest = things.get(at + 1..).unwrap_or_default();
                    return Outcome::hand_off("trip", rest)?.with_undo("take-back", "the hop");
                }
                thing => {
                    let log = &self.0;
                    let book = || async move {
                        log.note(format!("book {thing}"));
                        Ok::<_, Fault>(thing.to_owned())
                    };
                    let agent = if thing == "lost" { "nobody-at-all" } else { "take-back" };
                    hop.step_undoable(thing, book, agent, String::clone).await?;
                }
            }
        }
        Outcome::complete("booked")
    }
}

/// Takes back what its payload says. What is `stuck` it cannot, until somebody has mended it.
struct TakeBack(Log);

impl Handler for TakeBack {
    type Input = String;

    async fn handle(&self, _: &mut Hop, thing: String) -> Result<Outcome, Fault> {
        if thing == "stuck" && !self.0.lines().contains(&"mended".to_owned()) {
            return Err(Fault::terminal("STUCK", "it cannot be taken back"));
        }
        self.0.note(format!("undo {thing}"));
        Outcome::complete(&thing)
    }
}

fn builder(name: &str) -> AgentBuilder {
    Agent::builder(name, "1.0.0").expect("agent")
}

async fn started(mesh: &TestMesh) -> (Log, [Running; 2]) {
    let log = Log::default();
    let workers = [
        Running::start(mesh.server.url(), builder("trip").handler(Trip(log.clone()))).await,
        Running::start(mesh.server.url(), builder("take-back").handler(TakeBack(log.clone()))).await,
    ];
    for agent in ["trip", "take-back"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    (log, workers)
}

/// Submits a trip that is undone when it fails.
async fn booked(mesh: &TestMesh, id: &str, things: &[&str]) -> IntentId {
    let mut envelope = mesh.envelope(id, "trip", &json!(things).to_string());
    envelope.policy = Some(Box::new(Policy {
        attempts: Some(1),
        on_exhausted: Some(OnExhausted::Compensate),
        ..Policy::default()
    }));
    mesh.submit_envelope(envelope).await
}

async fn stop(workers: [Running; 2]) {
    for worker in workers {
        worker.stop().await;
    }
}

fn of(history: &[Head], event: &Event) -> usize {
    history
        .iter()
        .filter(|head| head.record.event.name() == event.name())
        .count()
}

/// The undo with this number and name is done, by one intent of its own.
async fn is_undone(mesh: &TestMesh, intent: &IntentId, hop: u32, name: &str) {
    let child = IntentId::of_child(intent, hop, name, 0);
    let history = mesh.history_of(&child).await;
    assert_legal(&history);
    let last = &history.last().expect("records").record.snapshot;
    assert_eq!(
        (&last.status, last.hop, last.parent.as_ref()),
        (&Status::Completed, 1, Some(intent))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_good_is_undone_in_reverse_and_once_and_then_has_failed() {
    let mesh = TestMesh::start().await;
    let (log, workers) = started(&mesh).await;
    let intent = booked(&mesh, "trip-1", &["flight", "on", "hotel", "car", "bad"]).await;
    let head = mesh.until(&intent, "failed", SOON).await;
    assert_eq!(
        log.lines(),
        [
            "book flight",
            "book hotel",
            "book car",
            "undo car",
            "undo hotel",
            "undo the hop",
            "undo flight"
        ]
    );
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    let tail: Vec<&str> = events(&history).into_iter().rev().take(7).collect();
    let expected = [
        "compensating",
        "progress",
        "child_done",
        "child_done",
        "child_done",
        "child_done",
        "compensated",
    ];
    assert_eq!(tail.into_iter().rev().collect::<Vec<_>>(), expected);
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("NO_WAY", "none is left")
    );
    let undo = head.record.snapshot.undo.expect("counts");
    assert_eq!((undo.named, undo.planned, undo.done), (4, Some(4), 4));
    for number in 1..=4 {
        is_undone(&mesh, &intent, 2, &format!("undo#{number}")).await;
    }
    let shown = run(mesh.baton(&["intents", "tree", "trip-1"])).await.exits(0).stdout;
    for part in ["trip-1  failed(NO_WAY)", "undo#1 (hop 2", "undo#4", "completed"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cancelled_so_is_undone_first_and_what_did_nothing_is_cancelled_at_once() {
    let mesh = TestMesh::start().await;
    let (log, workers) = started(&mesh).await;
    let intent = booked(&mesh, "trip-1", &["flight", "wait"]).await;
    let nothing = booked(&mesh, "trip-2", &["wait"]).await;
    for intent in [&intent, &nothing] {
        mesh.until(intent, "waiting", SOON).await;
    }
    let cancel = async |id: &str| {
        let flags = ["intents", "cancel", id, "--undo", "--reason", "ill", "--output", "json"];
        run(mesh.baton(&flags)).await.exits(0).json()
    };
    let said = cancel("trip-1").await;
    assert_eq!(
        (&said["was"], &said["now"]),
        (&json!("waiting(signal)"), &json!("compensating"))
    );
    let said = cancel("trip-2").await;
    assert_eq!(said["now"], json!("cancelled"));
    let head = mesh.until(&intent, "cancelled", SOON).await;
    assert_eq!(log.lines(), ["book flight", "undo flight"]);
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!((error.code.as_str(), error.message.as_str()), ("CANCELLED", "ill"));
    let history = mesh.history_of(&nothing).await;
    assert_eq!(of(&history, &Event::Compensating), 0);
    stop(workers).await;
}

/// What a `redrive` writes that knows nothing of undos.
async fn put_back_by_an_older_program(mesh: &TestMesh, intent: &IntentId) {
    let by = Author::of(Role::Operator, "old");
    let version: AgentVersion = "1.0.0".parse().expect("a version");
    let put = mesh.mesh.advance(intent, &by, Known::Unread, |head, _| {
        let head = head.expect("a head");
        let Some(last) = head.envelope else {
            return Ok(Decision::ReadEnvelope);
        };
        let again = Envelope {
            id: mesh.mesh.clock().envelope_id(),
            previous: Some(last.id),
            ..last.clone()
        };
        Ok::<_, Error>(act::redrive(head.snapshot, again, version.clone())?.into())
    });
    put.await.expect("put back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_undo_parks_the_whole_and_says_what_is_left_and_a_redrive_goes_on_with_it() {
    let mesh = TestMesh::start().await;
    let (log, workers) = started(&mesh).await;
    let intent = booked(&mesh, "trip-1", &["flight", "stuck", "car", "bad"]).await;
    let head = mesh.until(&intent, "parked", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, "COMPENSATION_FAILED");
    for part in [
        "the undo of step \"stuck\" of hop 1 failed",
        "it cannot be taken back",
        "not undone: step \"stuck\" of hop 1, step \"flight\" of hop 1",
    ] {
        assert!(error.message.contains(part), "{part}: {}", error.message);
    }
    assert_eq!(log.with("undo"), ["undo car"]);
    let flags = ["intents", "cancel", "trip-1", "--undo", "--reason", "ill"];
    run(mesh.baton(&flags)).await.exits(4).says(&["baton dead redrive"]);

    put_back_by_an_older_program(&mesh, &intent).await;
    let parked = async || match mesh.mesh.head(&intent).await {
        Ok(Some(now)) if now.seq > head.seq && now.record.snapshot.status.name() == "parked" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually("it is parked again, as that undo has failed", SOON, parked).await;
    assert_eq!(log.with("book").len(), 3, "what is undone is not done again");

    log.note("mended".to_owned());
    let said = run(mesh.baton(&["dead", "redrive", "trip-1"])).await.exits(0).stdout;
    assert!(said.contains("goes on being undone"), "{said}");
    mesh.until(&intent, "failed", SOON).await;
    assert_eq!(log.with("undo"), ["undo car", "undo stuck", "undo flight"]);
    assert_eq!(log.with("book").len(), 3, "no step ran again");
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    let again = history
        .iter()
        .rfind(|head| head.record.event == Event::Redriven)
        .expect("redriven");
    assert_eq!(again.record.snapshot.status, Status::Compensating);
    is_undone(&mesh, &intent, 1, "undo#2.1").await;
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_that_nobody_is_is_refused_before_the_effect() {
    let mesh = TestMesh::start().await;
    let (log, workers) = started(&mesh).await;
    let mut envelope = mesh.envelope("trip-1", "trip", r#"["flight","lost"]"#);
    envelope.policy = Some(Box::new(Policy {
        attempts: Some(1),
        ..Policy::default()
    }));
    let intent = mesh.submit_envelope(envelope).await;
    let head = mesh.until(&intent, "parked", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, "BAD_UNDO");
    assert!(error.message.contains("nobody-at-all"), "{}", error.message);
    assert_eq!(log.lines(), ["book flight"]);
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_are_closed_first_and_undone_with_their_parent() {
    let mesh = TestMesh::start().await;
    let (log, workers) = started(&mesh).await;
    let intent = booked(&mesh, "trip-1", &["flight", "ask"]).await;
    let child = IntentId::of_child(&intent, 1, "trip", 0);
    mesh.until(&child, "waiting", SOON).await;
    let flags = ["intents", "cancel", "trip-1", "--undo", "--reason", "ill"];
    run(mesh.baton(&flags)).await.exits(0);
    mesh.until(&intent, "cancelled", SOON).await;
    assert_eq!(log.lines(), ["book flight", "book hotel", "undo hotel", "undo flight"]);
    let (of_child, of_parent) = (mesh.history_of(&child).await, mesh.history_of(&intent).await);
    for history in [&of_child, &of_parent] {
        assert_legal(history);
        assert_eq!(
            (
                of(history, &Event::Compensating),
                of(history, &Event::Compensated { code: None })
            ),
            (1, 1)
        );
    }
    let ended = of_child.last().expect("the end").seq;
    let planned = of_parent
        .iter()
        .find(|head| !head.record.undos.is_empty())
        .expect("a plan")
        .seq;
    assert!(ended < planned, "the plan is fixed when all children are closed");
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_names_undos_by_lines_of_json() {
    let (mesh, dir) = (TestMesh::start().await, tempfile::tempdir().expect("a folder"));
    let done = dir.path().join("done");
    let books = r#"cat > /dev/null
        echo '{"step":"flight","result":7,"undo":{"agent":"back","payload":"flight "}}'
        echo '{"outcome":"hand_off","to":"fails","undo":{"agent":"back","payload":"hop "}}'"#;
    let passes =
        r#"cat > /dev/null; echo '{"outcome":"next","payload":"","undo":{"agent":"back","payload":"passed "}}'"#;
    let back = format!("tee -a {}", done.display());
    let mut workers = Vec::new();
    for (agent, flags) in [
        ("back", &["--exec", &back][..]),
        ("fails", &["--exec", "exit 65"]),
        ("books", &["--exec", books, "--json"]),
        ("passes", &["--exec", passes, "--json"]),
    ] {
        workers.push(worker(&mesh, dir.path(), agent, flags).await);
    }
    run(mesh.baton(&["agents", "policy", "fails", "--on-exhausted", "compensate"]))
        .await
        .exits(0);
    // The worker may follow that a moment later; the intent asks for it, too.
    let send = ["send", "books", "1", "--id", "trip-1", "--on-exhausted", "compensate"];
    run(mesh.baton(&send)).await.exits(0);
    let intent = baton_e2e::gated::id("trip-1");
    let head = mesh.until(&intent, "failed", SOON).await;
    assert_eq!(head.record.snapshot.status.to_string(), "failed(EXIT_65)");
    let told = std::fs::read_to_string(&done).expect("what was undone");
    assert_eq!(told.split_whitespace().collect::<Vec<_>>(), ["hop", "flight"]);
    let shown = run(mesh.baton(&["intents", "get", "trip-1"])).await.exits(0).stdout;
    for part in [
        "flight = 7, undone by back",
        "to undo: hop 1, step \"flight\" of hop 1",
        "2 of 2 done, because of EXIT_65",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Whoever is next has no part in it; where nobody is, there is nothing to undo.
    let next = [
        "send",
        "passes",
        "1",
        "--id",
        "trip-2",
        "--itinerary",
        "fails",
        "--on-exhausted",
        "compensate",
    ];
    run(mesh.baton(&next)).await.exits(0);
    mesh.until(&baton_e2e::gated::id("trip-2"), "failed", SOON).await;
    let told = std::fs::read_to_string(&done).expect("what was undone");
    assert_eq!(told.split_whitespace().collect::<Vec<_>>(), ["hop", "flight", "passed"]);
    run(mesh.baton(&["send", "passes", "1", "--id", "trip-3"]))
        .await
        .exits(0);
    mesh.until(&baton_e2e::gated::id("trip-3"), "completed", SOON).await;
    drop(workers);
}
