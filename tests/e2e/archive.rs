//! Closed intents move to the archive and read back as if nothing had moved; archived intents never run again.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal, at_most, commits, logged};
use baton_envelope::control::ShowArchive;
use baton_envelope::{Author, Envelope, IntentId, Json, Role, Status};
use baton_jetstream::Submitted;
use baton_testkit::{ProcessGuard, eventually};
use futures::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;

/// The next controller leads once the lease of the killed one has run out, and then has to catch up.
const NEW_LEADER: Duration = Duration::from_secs(40);

/// A controller in its own process, with its own settings of the archive.
struct Archiver {
    dir: TempDir,
    count: usize,
}

impl Archiver {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir, count: 0 }
    }

    /// Starts the next controller.
    async fn start(&mut self, mesh: &TestMesh, settings: &[(&str, &str)]) -> ProcessGuard {
        self.count += 1;
        let mut command = mesh.baton(&["controller", "--sweep-interval", "300ms"]);
        command.env("BATON_LOG", "info,async_nats=off");
        for (key, value) in settings {
            command.env(format!("BATON_ARCHIVE__{key}"), value);
        }
        let run = ProcessGuard::spawn(&format!("archiver-{}", self.count), command, self.dir.path());
        logged(&run, "controller started").await;
        run
    }
}

/// Completes, or hands `park` on to itself, past its hop limit; counts its runs.
async fn worker(mesh: &TestMesh) -> (Running, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let builder = agent("work", move |envelope: Envelope| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match envelope.payload.get() {
                r#""park""# => Outcome::hand_off("work", &envelope.payload),
                _ => Outcome::complete(&envelope.payload),
            }
        }
    });
    (Running::start(mesh.server.url(), builder).await, runs)
}

/// Submits under an id that Baton creates.
async fn submit_new(mesh: &TestMesh, payload: &str) -> IntentId {
    let intent = mesh.mesh.clock().intent_id();
    let envelope = mesh.envelope(intent.as_str(), "work", payload);
    mesh.mesh.follow_routes().await.expect("routes");
    let by = Author::of(Role::Client, "test");
    mesh.mesh.submit_new(envelope, by).await.expect("submitted");
    intent
}

/// How many records the ledger has.
async fn in_ledger(mesh: &TestMesh) -> u64 {
    let state = mesh.stream_state("MESH_LEDGER").await;
    state["messages"].as_u64().expect("a count")
}

async fn until_ledger_has(mesh: &TestMesh, count: u64, max: Duration) {
    eventually(&format!("the ledger has {count} records"), max, async || {
        let left = in_ledger(mesh).await;
        (left == count).then_some(()).ok_or(format!("{left} records"))
    })
    .await;
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

async fn said(mesh: &TestMesh, args: &[&str]) -> String {
    text(&mesh.run_baton(&[args, &["--output", "json"]].concat()).await)
}

async fn json(mesh: &TestMesh, args: &[&str]) -> Value {
    serde_json::from_str(&said(mesh, args).await).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archived_intents_read_back_as_if_nothing_had_moved() {
    let mesh = TestMesh::start_without_controller().await;
    let mut archiver = Archiver::new();
    let mut off = archiver.start(&mesh, &[("ENABLED", "false")]).await;
    let (_worker, runs) = worker(&mesh).await;
    let chosen = mesh.submit("order-1", "work", r#"{"n": 1.50, "x":"\u00e9"}"#).await;
    let generated = submit_new(&mesh, "\"quick\"").await;
    let stuck = at_most(mesh.envelope("stuck", "work", "\"park\""), 1);
    let parked = mesh.submit_envelope(stuck).await;
    let client = mesh.server.client().await;
    let mut headers = baton_testkit::Headers::new();
    headers.insert("Baton-Priority", "11");
    client
        .publish_with_headers("mesh.intent.work", headers, "raw".into())
        .await
        .expect("published");
    mesh.until(&chosen, "completed", SOON).await;
    mesh.until(&generated, "completed", SOON).await;
    mesh.until(&parked, "parked", SOON).await;
    mesh.until_intake_is_empty().await;

    let rejected = json(&mesh, &["intents", "list", "--status", "rejected"]).await["intents"][0]["intent"].clone();
    let rejected = rejected.as_str().expect("an id").to_owned();
    let questions: Vec<Vec<&str>> = vec![
        vec!["intents", "get", chosen.as_str()],
        vec!["intents", "get", generated.as_str()],
        vec!["intents", "get", parked.as_str()],
        vec!["intents", "get", &rejected],
        vec!["dead", "show", &rejected],
        vec!["intents", "watch", generated.as_str()],
        vec!["intents", "watch", chosen.as_str()],
        vec!["intents", "list"],
        vec!["intents", "list", "--limit", "1"],
        vec!["intents", "list", "--status", "completed", "--agent", "work"],
        vec!["intents", "list", "--status", "parked"],
        vec!["dead", "list"],
    ];
    let mut before = Vec::new();
    for question in &questions {
        before.push(said(&mesh, question).await);
    }
    let records = in_ledger(&mesh).await;
    off.terminate();
    off.wait(SOON).await;
    let ran = runs.load(Ordering::SeqCst);

    // Parked work is open and stays, all of it; of the chosen id the last record stays.
    let open = u64::try_from(mesh.history_of(&parked).await.len()).expect("a count");
    let _on = archiver.start(&mesh, &[("GRACE", "0s")]).await;
    until_ledger_has(&mesh, open + 1, NEW_LEADER).await;
    assert!(records > open + 1);
    for (question, before) in questions.iter().zip(&before) {
        assert_eq!(&said(&mesh, question).await, before, "{question:?}");
    }
    let waited = said(
        &mesh,
        &["send", "work", "--id", "order-1", "--wait", r#"{"n":1.50,"x":"é"}"#],
    )
    .await;
    assert!(
        waited.contains("completed") && waited.contains("\"known\": true"),
        "{waited}"
    );
    assert_eq!(runs.load(Ordering::SeqCst), ran, "nothing runs again");

    // Nobody can act on a closed intent.
    let refused = mesh.run_baton(&["dead", "redrive", generated.as_str()]).await;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let doctor = mesh.run_baton(&["doctor"]).await;
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("MESH_ARCHIVE"), "{doctor}");
    assert!(doctor.contains("3 closed intents archived, 0 wait"), "{doctor}");
    let status = mesh.ask(&ShowArchive {}).await.expect("a status");
    assert_eq!((status.archived, status.due, status.kept), (3, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeat_of_a_chosen_id_is_known_until_its_time_is_over() {
    let mesh = TestMesh::start_without_controller().await;
    let mut archiver = Archiver::new();
    let mut first = archiver.start(&mesh, &[("GRACE", "0s")]).await;
    let (_worker, runs) = worker(&mesh).await;
    let intent = mesh.submit("order-7", "work", "[1, 2]").await;
    // It has one record before it is done, too.
    mesh.until(&intent, "completed", SOON).await;
    until_ledger_has(&mesh, 1, SOON).await;
    let by = || Author::of(Role::Client, "test");

    let again = mesh.mesh.submit(mesh.envelope("order-7", "work", "[1,2]"), by()).await;
    let Ok(Submitted::Repeated(head)) = again else {
        panic!("{again:?}")
    };
    assert_eq!(head.record.snapshot.status, Status::Completed);
    let other = mesh.mesh.submit(mesh.envelope("order-7", "work", "[3]"), by()).await;
    assert!(matches!(other, Ok(Submitted::Conflict { .. })), "{other:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    // Its time is over: the id is free, and the archive still has what was done under it.
    first.terminate();
    first.wait(SOON).await;
    let _second = archiver
        .start(&mesh, &[("GRACE", "0s"), ("KEEP_CHOSEN_IDS", "0s")])
        .await;
    until_ledger_has(&mesh, 0, NEW_LEADER).await;
    let old = mesh.mesh.trail(&intent).await.expect("a trail");
    assert_legal(&old);
    let new = mesh.mesh.submit(mesh.envelope("order-7", "work", "[3]"), by()).await;
    assert!(matches!(new, Ok(Submitted::New { .. })), "{new:?}");
    eventually("the new one is done and archived", SOON, async || {
        let trail = mesh.mesh.trail(&intent).await.map_err(|error| error.to_string())?;
        let result = trail.last().and_then(|head| head.record.snapshot.result.clone());
        match result {
            Some(result) if result.same_meaning(&Json::parse("[3]").expect("json")) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_killed_amid_archiving_lose_nothing_and_archive_all() {
    const INTENTS: usize = 1500;
    let mesh = TestMesh::start_without_controller().await;
    let mut archiver = Archiver::new();
    let mut off = archiver.start(&mesh, &[("ENABLED", "false")]).await;
    let (_worker, _) = worker(&mesh).await;
    let envelopes = (0..INTENTS)
        .map(|n| mesh.envelope(&format!("i-{n}"), "work", &n.to_string()))
        .collect();
    let intents = mesh.submit_all(envelopes).await;
    mesh.until_all_completed(INTENTS, Duration::from_secs(60)).await;
    off.terminate();
    off.wait(SOON).await;

    let total = u64::try_from(INTENTS).expect("a count");
    let mut kills = 0;
    loop {
        let mut run = archiver
            .start(&mesh, &[("GRACE", "0s"), ("KEEP_CHOSEN_IDS", "0s")])
            .await;
        // Kill it as soon as it has done something, until everything is archived.
        let before = in_ledger(&mesh).await;
        let now = eventually("it archives", NEW_LEADER, async || {
            let left = in_ledger(&mesh).await;
            (left < before || left == 0)
                .then_some(left)
                .ok_or(format!("{left} records"))
        })
        .await;
        if now == 0 || kills == 3 {
            until_ledger_has(&mesh, 0, NEW_LEADER).await;
            break;
        }
        run.kill();
        kills += 1;
    }
    println!("{kills} controllers were killed");
    assert!(kills > 0, "no kill came in between");
    // Every intent is there, complete, once in the index, and closed.
    let _last = archiver
        .start(&mesh, &[("GRACE", "0s"), ("KEEP_CHOSEN_IDS", "0s")])
        .await;
    for intent in &intents {
        let trail = mesh.mesh.trail(intent).await.expect("a trail");
        assert_legal(&trail);
        assert_eq!(commits(&trail).into_values().sum::<usize>(), 1);
    }
    let listed = json(&mesh, &["intents", "list", "--limit", "1"]).await;
    assert_eq!(listed["matched"].as_u64(), Some(total));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_tickets_that_come_back_are_purged_again_and_never_run() {
    let mesh = TestMesh::start_without_controller().await;
    let mut archiver = Archiver::new();
    let client = mesh.server.client().await;
    let mut published = client.subscribe("mesh.*.*.>").await.expect("subscribed");
    let _run = archiver
        .start(&mesh, &[("GRACE", "0s"), ("KEEP_CHOSEN_IDS", "0s")])
        .await;
    let (_worker, runs) = worker(&mesh).await;
    let intents = [mesh.submit("mine", "work", "1").await, submit_new(&mesh, "2").await];
    let mut old = Vec::new();
    while old.len() < 4 {
        let message = published.next().await.expect("a message");
        let subject = message.subject.as_str();
        let is_first = |headers: &Option<_>| format!("{headers:?}").contains("submitted");
        if subject.starts_with("mesh.work.") || (subject.starts_with("mesh.ledger.") && is_first(&message.headers)) {
            old.push(message);
        }
    }
    until_ledger_has(&mesh, 0, NEW_LEADER).await;
    let asked = |intent: &IntentId| ["intents", "get", intent.as_str()].map(str::to_owned);
    let mut before = Vec::new();
    for intent in &intents {
        let question = asked(intent);
        before.push(said(&mesh, &question.each_ref().map(String::as_str)).await);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    // Down for long enough that an archive could have been written since: the rules for old records apply.
    let ended = mesh
        .mesh
        .trail(&intents[1])
        .await
        .expect("a trail")
        .pop()
        .expect("a record");
    eventually("the records are old", SOON, async || {
        let age = mesh.mesh.now().since(ended.record.at);
        (age > Duration::from_secs(11)).then_some(()).ok_or(format!("{age:?}"))
    })
    .await;

    // The server forgets the message ids of the tickets, as a real one would; the records and the tickets are back.
    mesh.server.kill().await;
    mesh.server.restart().await;
    let client = mesh.server.client().await;
    for message in &old {
        let headers = message.headers.clone().unwrap_or_default();
        client
            .publish_with_headers(message.subject.clone(), headers, message.payload.clone())
            .await
            .expect("published");
    }
    client.flush().await.expect("flushed");
    eventually("the records have come back", SOON, async || {
        let state = mesh.stream_state("MESH_LEDGER").await;
        let last = state["last_seq"].as_u64().expect("a sequence");
        (last >= ended.seq + 2).then_some(()).ok_or(state.to_string())
    })
    .await;
    until_ledger_has(&mesh, 0, NEW_LEADER).await;
    eventually("the tickets are gone", NEW_LEADER, async || {
        let state = mesh.stream_state("MESH_WORK_work").await;
        (state["messages"].as_u64() == Some(0))
            .then_some(())
            .ok_or(state.to_string())
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 2, "an archived intent was run again");
    for (intent, before) in intents.iter().zip(&before) {
        let question = asked(intent);
        assert_eq!(&said(&mesh, &question.each_ref().map(String::as_str)).await, before);
    }
    // The projection does not consider them open.
    let held = mesh.stream_state("MESH_LEDGER").await;
    assert_eq!(held["messages"].as_u64(), Some(0));
    let agents = json(&mesh, &["agents", "describe", "work"]).await;
    assert!(!agents.to_string().contains("queued"), "{agents}");
}

/// No timer fires in the first controller, so that only the archive can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_nobody_read_is_a_dead_letter_before_its_intent_is_archived() {
    let mesh = TestMesh::start_without_controller().await;
    let mut archiver = Archiver::new();
    let mut command = mesh.baton(&["controller", "--sweep-interval", "300ms"]);
    command
        .env("BATON_LOG", "info,async_nats=off")
        .env("BATON_ARCHIVE__GRACE", "0s")
        .env("BATON_MUTANT", "P3TimersSleep");
    let controller = ProcessGuard::spawn("sleepy", command, archiver.dir.path());
    logged(&controller, "controller started").await;
    let (worker, _) = worker(&mesh).await;
    let intent: IntentId = "unread".parse().expect("an id");
    mesh.submit_envelope(at_most(mesh.envelope("unread", "work", r#""park""#), 1))
        .await;
    mesh.until(&intent, "parked", SOON).await;
    for args in [
        &["signal", "unread", "paid", "7", "--id", "payment-7"][..],
        &["intents", "cancel", "unread", "--reason", "enough"],
    ] {
        let done = mesh.run_baton(args).await;
        assert!(done.status.success(), "{done:?}");
    }
    let letter = intent.letter("payment-7");
    eventually("it is archived, and its signal told", NEW_LEADER, async || {
        let left = mesh.mesh.history(&intent, 1).await.map_err(|error| error.to_string())?;
        let in_ledger = mesh.stream_state("MESH_LEDGER").await["messages"].clone();
        let told = mesh.run_baton(&["intents", "get", letter.as_str()]).await;
        let said = String::from_utf8_lossy(&told.stdout).into_owned();
        let is_told = told.status.success() && said.contains("TOO_LATE");
        // The last record of the intent and the letter: both are remembered as long as an id.
        (is_told && in_ledger == 2)
            .then_some(())
            .ok_or(format!("{in_ledger} {} {told:?}", left.len()))
    })
    .await;
    drop(controller);

    // The next one finds the last record with its unread signal, and nothing to do about it.
    let next = archiver.start(&mesh, &[("GRACE", "0s")]).await;
    let sent = mesh
        .run_baton(&["send", "work", "1", "--id", "later", "--delay", "1s"])
        .await;
    assert!(sent.status.success(), "{sent:?}");
    mesh.until(&"later".parse().expect("an id"), "completed", NEW_LEADER)
        .await;
    let log = next.stderr();
    assert!(!log.contains("what is due cannot be done now"), "{log}");
    worker.stop().await;
}

/// Nobody is asked to mend what nobody can mend, and what is open is listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_that_lost_their_earlier_records_are_told_and_listed() {
    let mesh = TestMesh::start_without_controller().await;
    let mut archiver = Archiver::new();
    let mut off = archiver.start(&mesh, &[("ENABLED", "false")]).await;
    let (_worker, _) = worker(&mesh).await;
    let done = mesh.submit("done", "work", "1").await;
    let stuck = at_most(mesh.envelope("stuck", "work", "\"park\""), 1);
    let stuck = mesh.submit_envelope(stuck).await;
    mesh.until(&done, "completed", SOON).await;
    mesh.until(&stuck, "parked", SOON).await;
    mesh.edit_stream("MESH_LEDGER", "max_msgs_per_subject", |_| 1.into())
        .await;
    text(&mesh.run_baton(&["doctor", "--restore", "MESH_LEDGER"]).await);
    assert_eq!(in_ledger(&mesh).await, 2, "the last record of each");
    off.terminate();
    off.wait(SOON).await;

    let _on = archiver.start(&mesh, &[("GRACE", "0s")]).await;
    let found = eventually("the doctor tells it", NEW_LEADER, async || {
        let doctor = mesh.run_baton(&["doctor", "--output", "json"]).await;
        let doctor: Value = serde_json::from_slice(&doctor.stdout).map_err(|error| error.to_string())?;
        let findings = doctor["findings"].as_array().cloned().unwrap_or_default();
        let archive = findings.into_iter().find(|finding| finding["check"] == "archive");
        let archive = archive.ok_or("no finding")?;
        if archive["level"] == "ok" {
            return Err(archive.to_string());
        }
        Ok(archive)
    })
    .await;
    assert_eq!(found["level"], "warning", "{found}");
    let said = found["found"].as_str().unwrap_or_default();
    assert!(said.starts_with("1 closed intent without earlier records"), "{said}");
    let status = mesh.ask(&ShowArchive {}).await.expect("a status");
    assert_eq!((status.failing, status.due, status.incomplete), (0, 0, 1));
    let head = mesh.head_of(&done).await;
    assert_eq!(head.record.snapshot.status, Status::Completed, "its result stays");

    let dead = json(&mesh, &["dead", "list"]).await.to_string();
    assert!(dead.contains("stuck"), "{dead}");
    let refused = mesh.run_baton(&["dead", "redrive", "stuck"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(4) && said.contains("NO_ENVELOPE"),
        "{said}"
    );
}

/// Asks another agent and waits for it, whatever its payload.
struct Asks;

impl Handler for Asks {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let asked = hop.call("books", &1).await?;
        Outcome::complete(asked.state())
    }
}

/// Does something that can be undone, and fails for good.
struct Books;

impl Handler for Books {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let book = || async { Ok::<_, Fault>(1) };
        hop.step_undoable("flight", book, "work", |flight| *flight).await?;
        Err(Fault::terminal("NO_WAY", "none is left"))
    }
}

/// Whether the ledger has nothing of an intent any more.
async fn until_gone(mesh: &TestMesh, intent: &IntentId) {
    eventually(&format!("{intent} is archived"), NEW_LEADER, async || {
        match mesh.mesh.has_no_record(intent).await {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// Would fail if a parent were archived as soon as it is closed: nobody would know of its child any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_parent_stays_in_the_ledger_until_its_child_has_ended() {
    let mesh = TestMesh::start_without_controller().await;
    let mut archiver = Archiver::new();
    let _on = archiver.start(&mesh, &[("GRACE", "0s")]).await;
    let asks = Agent::builder("asks", "1.0.0").expect("agent").handler(Asks);
    let asks = Running::start(mesh.server.url(), asks).await;
    let books = Agent::builder("books", "1.0.0").expect("agent").handler(Books);
    let books = Running::start(mesh.server.url(), books.compensates()).await;
    let (takes_back, _) = worker(&mesh).await;
    for agent in ["asks", "books", "work"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    // Nobody is there to undo: the child is being undone, and not even the end of its parent ends that.
    takes_back.stop().await;
    let parent = mesh.mesh.clock().intent_id();
    let by = Author::of(Role::Client, "test");
    let envelope = mesh.envelope(parent.as_str(), "asks", "1");
    mesh.mesh.submit_new(envelope, by.clone()).await.expect("submitted");
    let child = IntentId::of_child(&parent, 1, "books", 0);
    mesh.until(&child, "compensating", SOON).await;
    let flags = ["intents", "cancel", parent.as_str(), "--reason", "ill"];
    text(&mesh.run_baton(&flags).await);
    mesh.until(&parent, "cancelled", SOON).await;
    let records = mesh.history_of(&parent).await.len();

    // What ended after it is archived.
    let other = agent("other", |envelope: Envelope| async move {
        Outcome::complete(&envelope.payload)
    });
    let other = Running::start(mesh.server.url(), other).await;
    let later = mesh.mesh.clock().intent_id();
    let envelope = mesh.envelope(later.as_str(), "other", "1");
    mesh.mesh
        .submit_when_known(envelope, by, SOON)
        .await
        .expect("submitted");
    mesh.until(&later, "completed", SOON).await;
    let archived = async || {
        let found = mesh.mesh.archived(&later).await.map_err(|error| error.to_string())?;
        found.map(drop).ok_or("it is not in the archive".to_owned())
    };
    eventually("the later one is archived", NEW_LEADER, archived).await;
    assert_eq!(mesh.history_of(&parent).await.len(), records, "its parent is all there");
    assert_eq!(mesh.head_of(&child).await.record.snapshot.status, Status::Compensating);

    let (_takes_back, _) = worker(&mesh).await;
    for intent in [&child, &parent] {
        until_gone(&mesh, intent).await;
    }
    for (intent, status) in [(&child, "failed(NO_WAY)"), (&parent, "cancelled")] {
        let trail = mesh.mesh.trail(intent).await.expect("a trail");
        assert_legal(&trail);
        let last = trail.last().expect("a record");
        assert_eq!(last.record.snapshot.status.to_string(), status);
    }
    for worker in [asks, books, other] {
        worker.stop().await;
    }
}
