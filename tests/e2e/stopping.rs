//! What an operator may do to one intent: pause it, let it go on, skip its delay, begin it again; and which command fits
//! which status.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal, events};
use baton_e2e::gated::{Gate, id, passer, result, teller};
use baton_e2e::rolling::never_undone;
use baton_envelope::{Event, IntentId, WaitReason, codes};
use baton_jetstream::Head;
use baton_testkit::eventually;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::nats_cli::{Run, run};

/// How soon a handler must hear that its hop was taken away.
const AT_ONCE: Duration = Duration::from_secs(1);
const REASON: &str = "look at it first";
const PROTOCOL: &str = include_str!("../../docs/protocol.md");

/// Runs a command of `baton` against a mesh.
pub(crate) async fn baton(mesh: &TestMesh, args: &[&str]) -> Run {
    run(mesh.baton(args)).await
}

/// Waits for `hop.cancelled()`, says when, and goes on as if it had not heard: whoever drops it, drops it later.
struct Hears(watch::Sender<Option<Instant>>);

impl Handler for Hears {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        hop.cancelled().await;
        assert!(hop.is_cancelled());
        self.0.send_replace(Some(Instant::now()));
        std::future::pending().await
    }
}

/// An agent that hears when its hop is taken away, and the moments in which it did.
pub(crate) fn hearing(name: &str) -> (AgentBuilder, watch::Receiver<Option<Instant>>) {
    let (said, heard) = watch::channel(None);
    let builder = Agent::builder(name, "1.0.0").expect("agent").handler(Hears(said));
    (builder, heard)
}

/// How long after `since` the handler heard of it.
pub(crate) async fn heard_after(heard: &mut watch::Receiver<Option<Instant>>, since: Instant) -> Duration {
    let at = tokio::time::timeout(SOON, heard.wait_for(Option::is_some));
    let at = *at.await.expect("it hears in time").expect("the handler is there");
    at.expect("a moment").saturating_duration_since(since)
}

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

/// Would fail without the fence, with a resume to another version, or with one that runs recorded steps again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_intent_stands_still_and_goes_on_where_it_was() {
    let (mesh, gate) = (TestMesh::start().await, Gate::shut());
    let url = mesh.server.url();
    let old = Running::start(url, teller("code", "1.0.0", &gate)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("held");
    mesh.submit_to("code", &intent).await;
    mesh.until(&intent, "in_progress", SOON).await;
    let paused = baton(&mesh, &["intents", "pause", "held", "--reason", REASON])
        .await
        .exits(0);
    assert!(paused.stdout.contains("in_progress"), "{paused:#?}");
    paused.says(&["baton intents resume held"]);
    let head = mesh.head_of(&intent).await;
    let snapshot = &head.record.snapshot;
    assert_eq!(snapshot.status.to_string(), "parked(PAUSED)");
    assert_eq!((&snapshot.holder, head.record.note.as_deref()), (&None, Some(REASON)));
    assert_eq!(head.record.by.role.name(), "operator");

    // What the holder commits now is refused, and its ticket goes.
    gate.lift();
    until_no_ticket_is_left(&mesh, "code").await;
    assert_eq!(mesh.events_of(&intent).await, ["submitted", "started", "parked"]);
    let dead = baton(&mesh, &["dead", "list"]).await.exits(0);
    assert!(dead.stdout.contains("PAUSED"), "{dead:#?}");

    // Another version takes the new work; what was paused goes on where it was.
    let new = Running::start(url, teller("code", "2.0.0", &gate)).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    mesh.start_rollout("code", "2.0.0", &[]).await;
    mesh.until_version_is("code", "1.0.0", "draining").await;
    let resumed = baton(&mesh, &["intents", "resume", "held", "--reason", "it is right"]).await;
    assert!(resumed.exits(0).stdout.contains("version 1.0.0"));
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "code@1.0.0");
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    assert_eq!(events(&history)[2..4], ["parked", "redriven"]);
    assert_eq!(history[3].record.note.as_deref(), Some("it is right"));
    old.stop().await;
    new.stop().await;
}

/// Would fail if nobody told the worker, or if it did not look: the handler writes nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_hears_within_a_second_that_its_hop_was_taken_away() {
    let mesh = TestMesh::start().await;
    for (number, command) in ["cancel", "pause"].into_iter().enumerate() {
        let name = format!("code-{number}");
        let (builder, mut heard) = hearing(&name);
        let worker = Running::start(mesh.server.url(), builder).await;
        mesh.until_version_is(&name, "1.0.0", "active").await;
        let intent = id(&format!("stopped-by-{command}"));
        mesh.submit_to(&name, &intent).await;
        // Visible, so that no write of the worker can be what it hears of.
        mesh.until(&intent, "in_progress", SOON).await;
        assert_eq!(*heard.borrow_and_update(), None);
        let since = Instant::now();
        baton(&mesh, &["intents", command, intent.as_str(), "--reason", REASON])
            .await
            .exits(0);
        let took = heard_after(&mut heard, since).await;
        println!("{command}: heard {} ms after the command began", took.as_millis());
        assert!(took < AT_ONCE, "{command}: {took:?}");
        // It goes on as if it had not heard, and is dropped: its ticket is acked.
        until_no_ticket_is_left(&mesh, &name).await;
        worker.stop().await;
    }
}

/// Would fail if the old ticket were waited for: its delay is ten minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_skips_the_delay_and_burns_no_attempt() {
    let mesh = TestMesh::start().await;
    let gate = Gate::open();
    let later = {
        let gate = gate.clone();
        agent("code", move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                match gate.came() {
                    1 => Err(Fault::retry("not yet").after(Duration::from_secs(600))),
                    came => Outcome::complete(&came),
                }
            }
        })
    };
    let worker = Running::start(mesh.server.url(), later).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("delayed");
    mesh.submit_to("code", &intent).await;
    mesh.until_events(&intent, &Event::RetryScheduled, 1, SOON).await;
    baton(&mesh, &["intents", "retry", "delayed", "--reason", "it is back"])
        .await
        .exits(0);
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(head.record.snapshot.attempt, 2);
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    let told = ["submitted", "retry_scheduled", "released", "claimed", "completed"];
    assert_eq!(events(&history), told);
    let (released, delayed) = (&history[2].record, &history[1].record);
    assert_eq!(
        (released.snapshot.wake_at, released.note.as_deref()),
        (None, Some("it is back"))
    );
    assert_ne!(released.snapshot.envelope, delayed.snapshot.envelope);
    worker.stop().await;
}

/// The text of the payload that a hop received.
fn received(history: &[Head], hop: u32) -> String {
    let mut envelopes = history.iter().filter_map(|head| head.record.envelope.as_ref());
    let of_hop = envelopes.rfind(|envelope| envelope.hop == hop);
    of_hop.expect("an envelope").payload.get().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_begins_a_hop_again_as_a_new_intent_and_both_name_each_other() {
    let (mesh, gate) = (TestMesh::start().await, Gate::shut());
    let url = mesh.server.url();
    let first = agent("research", |_| async { Outcome::hand_off("code", &"found otters") });
    let workers = [
        Running::start(url, first).await,
        Running::start(url, teller("code", "1.0.0", &gate)).await,
    ];
    for name in ["research", "code"] {
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    let old = mesh.submit("order", "research", "\"otters\"").await;
    mesh.until_events(&old, &Event::Started, 1, SOON).await;

    // Open: the old one goes on, and has a note.
    let restarted = baton(
        &mesh,
        &["intents", "restart", "order", "--from-hop", "2", "--reason", "again"],
    )
    .await;
    let restarted = restarted.exits(0);
    assert!(restarted.stdout.contains("order-restart-1"), "{restarted:#?}");
    restarted.says(&["open still"]);
    let new = id("order-restart-1");
    let head = mesh.head_of(&old).await;
    assert_eq!(
        (head.record.event.name(), head.record.snapshot.status.name()),
        ("repinned", "in_progress")
    );
    let note = head.record.note.expect("a note");
    assert!(note.contains("order-restart-1") && note.contains("again"), "{note}");
    gate.lift();
    for intent in [&old, &new] {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(result(&head), "code@1.0.0");
        assert_legal(&mesh.history_of(intent).await);
    }
    let (was, is) = (mesh.history_of(&old).await, mesh.history_of(&new).await);
    assert_eq!(received(&is, 1), received(&was, 2));
    let origin = is.last().and_then(|head| head.record.snapshot.restarted_from.clone());
    let origin = origin.expect("an origin, to the end");
    assert_eq!((&origin.intent, origin.hop), (&old, 2));

    // Closed: from its beginning, under an id of one's own or the next one that is free.
    let json = ["intents", "restart", "order", "--from-hop", "1", "--output", "json"];
    let again = baton(&mesh, &json).await.exits(0).json();
    assert_eq!(
        (&again["intent"], &again["noted"]),
        (&"order-restart-2".into(), &serde_json::Value::Null)
    );
    mesh.until(&id("order-restart-2"), "completed", SOON).await;
    let named = ["intents", "restart", "order", "--from-hop", "1", "--id", "mine"];
    baton(&mesh, &named).await.exits(0);
    mesh.until(&id("mine"), "completed", SOON).await;
    baton(&mesh, &named).await.exits(4).says(&["mine", "taken"]);
    baton(&mesh, &["intents", "restart", "order", "--from-hop", "3"])
        .await
        .exits(3)
        .says(&["hops 1 to 2"]);
    baton(&mesh, &["intents", "restart", "ghost", "--from-hop", "1"])
        .await
        .exits(3);

    let shown = baton(&mesh, &["intents", "get", "order"]).await.exits(0).stdout;
    assert!(shown.contains("order-restart-1, order-restart-2"), "{shown}");
    let shown = baton(&mesh, &["intents", "get", "order-restart-1"])
        .await
        .exits(0)
        .stdout;
    assert!(shown.contains("order, hop 2"), "{shown}");
    for worker in workers {
        worker.stop().await;
    }
}

// --- the table of docs/protocol.md -----------------------------------------------------------------------------

/// The cells of the table of commands: the header row, then a row for each status.
fn commands() -> (Vec<String>, Vec<(String, Vec<String>)>) {
    let (_, rest) = PROTOCOL
        .split_once("\n### Commands on an intent\n")
        .expect("the heading");
    let rows = rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let mut rows = rows.map(|row| -> Vec<String> {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    });
    let head = rows.next().expect("a header row");
    let body = rows.skip(1).map(|mut row| (row.remove(0), row));
    (head[1..].to_vec(), body.collect())
}

/// Brings a new intent into the status of a row.
async fn in_status(mesh: &TestMesh, intent: &IntentId, status: &str) {
    let mut envelope = mesh.envelope(intent.as_str(), "code", "null");
    envelope.budget = serde_json::from_str(r#"{"tokens":{"allotted":10}}"#).ok();
    mesh.submit_envelope(envelope).await;
    let code = || "OLD".to_owned();
    let later = mesh.mesh.now().plus(Duration::from_secs(600));
    let event = match status {
        "pending" => return,
        "pending, delayed" => Event::RetryScheduled,
        "accepted" => Event::Claimed,
        "in_progress" => Event::Started,
        "waiting" => Event::Waiting {
            reason: WaitReason::Human,
        },
        "parked" => Event::Parked { code: code() },
        "parked, paused" => Event::Parked {
            code: codes::PAUSED.to_owned(),
        },
        "compensating" => Event::Compensating,
        "completed" => Event::Completed,
        "rejected" => Event::Rejected { code: code() },
        "failed" => Event::Failed { code: code() },
        "cancelled" => Event::Cancelled,
        "timed_out" => Event::TimedOut,
        other => panic!("the table has a status that this test does not know: {other}"),
    };
    mesh.append(intent, event, |mut record| {
        if status == "pending, delayed" {
            record.snapshot.wake_at = Some(later);
        }
        if status == "compensating" {
            return never_undone(record);
        }
        record
    })
    .await;
}

async fn told(mesh: &TestMesh, command: &str, intent: &IntentId) -> Run {
    let id = intent.as_str();
    match command {
        "redrive" => baton(mesh, &["dead", "redrive", id]).await,
        "top-up" => baton(mesh, &["budget", "top-up", id, "--tokens", "5", "--reason", REASON]).await,
        "restart" => baton(mesh, &["intents", "restart", id, "--from-hop", "1"]).await,
        "cancel --undo" => baton(mesh, &["intents", "cancel", id, "--undo", "--reason", REASON]).await,
        _ => baton(mesh, &["intents", command, id, "--reason", REASON]).await,
    }
}

/// The status that a command leads to.
fn leads_to(command: &str) -> &'static str {
    match command {
        "cancel" => "cancelled",
        "cancel --undo" => "compensating",
        "pause" => "parked(PAUSED)",
        _ => "pending",
    }
}

/// Would fail with a command that does what the table forbids or refuses what it allows, with a refusal that changes
/// something or names no states, and with a status or a command that the table lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_does_in_every_status_what_the_document_says() {
    let mesh = TestMesh::start().await;
    // Its agent is known, and nobody runs what is tried here.
    let worker = Running::start(mesh.server.url(), passer("code", "code", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    worker.stop().await;
    let (names, rows) = commands();
    let expected = [
        "cancel",
        "cancel --undo",
        "pause",
        "resume",
        "retry",
        "redrive",
        "restart",
        "top-up",
    ];
    assert_eq!(names, expected);
    let statuses: BTreeSet<&str> = rows.iter().filter_map(|(row, _)| row.split(", ").next()).collect();
    assert_eq!(statuses.len(), 11, "every status has its row: {statuses:?}");
    let mut tried = 0;
    for (row, (status, cells)) in rows.iter().enumerate() {
        for (name, cell) in names.iter().zip(cells) {
            let intent = id(&format!("row-{row}-{}", name.replace(" --", "-")));
            in_status(&mesh, &intent, status).await;
            let before = mesh.head_of(&intent).await;
            let said = told(&mesh, name, &intent).await;
            let after = mesh.head_of(&intent).await;
            match cell.as_str() {
                "yes" => {
                    assert_eq!(said.code, Some(0), "{name} of what is {status}: {said:#?}");
                    let is_noted = name != "restart" || !before.record.snapshot.status.is_terminal();
                    assert_eq!(
                        after.seq > before.seq,
                        is_noted,
                        "{name} of what is {status}: {:?}",
                        after.record
                    );
                }
                "-" => {
                    assert_eq!(said.code, Some(4), "{name} of what is {status}: {said:#?}");
                    let present = &before.record.snapshot.status;
                    assert!(said.stderr.contains(&format!(" is {}", present.name())), "{said:#?}");
                    // Both states are named, or the one where they are the same.
                    let is_there = present.to_string() == leads_to(name);
                    assert!(is_there || said.stderr.contains("cannot become "), "{said:#?}");
                    assert_eq!(after.seq, before.seq, "{:?}", after.record);
                }
                other => panic!("{status}, {name}: {other}"),
            }
            tried += 1;
        }
    }
    println!("{tried} pairs tried");
    assert_eq!(tried, 13 * expected.len());
}
