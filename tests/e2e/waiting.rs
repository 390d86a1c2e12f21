//! A hop waits without a process: signals by SDK, by `baton signal` and by a bare publish; times; and the death of everything
//! between.

use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, assert_legal};
use baton_e2e::gated::{id, result};
use baton_envelope::{Event, IntentId, MOST_UNREAD, MOST_WAITS, Snapshot};
use baton_testkit::eventually;
use serde_json::Value;

use crate::nats_cli::{Run, run, worker};

/// What a handler of these tests waits for; one kind for each test.
#[derive(Debug, Clone, Copy)]
enum Asks {
    Paid,
    PaidWithin(Duration, fn(Wait) -> Wait),
    PaidOrCancelled,
    Both,
    Nap(Duration),
    FirstOf(usize),
}

/// Records a step, waits, records another, and completes with what it got.
struct Waiter(Asks);

impl Handler for Waiter {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        hop.step("before", || async { Ok::<_, Fault>(hop_token()) }).await?;
        let got = match self.0 {
            Asks::Paid => said(&hop.wait(Wait::signal("paid").titled("the shop says so")).await?),
            Asks::PaidWithin(time, then) => said(&hop.wait(then(Wait::signal("paid").within(time))).await?),
            Asks::PaidOrCancelled => said(
                &hop.wait_any([Wait::signal("paid"), Wait::callback("called-off")])
                    .await?,
            ),
            Asks::Both => {
                let both = hop.wait_all([Wait::signal("paid"), Wait::signal("packed")]).await?;
                both.iter().map(said).collect::<Vec<_>>().join(" ")
            }
            Asks::FirstOf(count) => {
                let waits = (0..count).map(|at| Wait::signal(format!("document-{at}-approved")));
                said(&hop.wait_any(waits).await?)
            }
            Asks::Nap(time) => {
                hop.sleep("nap", time).await?;
                "slept".to_owned()
            }
        };
        hop.step("after", || async { Ok::<_, Fault>(hop_token()) }).await?;
        Outcome::complete(&got)
    }
}

fn said(waited: &baton_agent::Waited) -> String {
    format!("{}:{}:{}", waited.name(), waited.outcome().name(), waited.json().get())
}

fn hop_token() -> String {
    "done".to_owned()
}

fn waiter(asks: Asks) -> AgentBuilder {
    Agent::builder("shop", "1.0.0").expect("agent").handler(Waiter(asks))
}

async fn started(mesh: &TestMesh, asks: Asks) -> Running {
    let worker = Running::start(mesh.server.url(), waiter(asks)).await;
    mesh.until_version_is("shop", "1.0.0", "active").await;
    worker
}

/// Waits until the intent waits, and nothing of it is left in the work stream.
async fn until_suspended(mesh: &TestMesh, intent: &IntentId) -> Snapshot {
    let head = mesh.until(intent, "waiting", SOON).await;
    eventually("no ticket is left", SOON, async || {
        let state = mesh.stream_state("MESH_WORK_shop").await;
        match state["messages"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(state.to_string()),
        }
    })
    .await;
    assert_eq!(head.record.snapshot.holder, None);
    head.record.snapshot
}

async fn signal(mesh: &TestMesh, arguments: &[&str]) -> Run {
    let mut all = vec!["signal"];
    all.extend(arguments);
    run(mesh.baton(&all)).await
}

/// Would fail if a wait were shown as open for as long as the others of its call are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_whose_answer_has_come_is_shown_as_answered_while_the_others_wait() {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::Both).await;
    let intent = id("both");
    mesh.submit_to("shop", &intent).await;
    until_suspended(&mesh, &intent).await;
    signal(&mesh, &["both", "packed", "first"]).await.exits(0);
    let shown = run(mesh.baton(&["intents", "get", "both"])).await.exits(0).stdout;
    assert!(
        shown.contains("baton signal both paid DATA") && !shown.contains("baton signal both packed DATA"),
        "{shown}"
    );
    assert!(shown.contains("answered"), "{shown}");
    let json = run(mesh.baton(&["intents", "get", "both", "--output", "json"]))
        .await
        .exits(0)
        .json();
    let waits = &json["waits"];
    let answered = waits
        .as_array()
        .expect("waits")
        .iter()
        .find(|wait| wait["name"] == "packed")
        .expect("packed");
    assert!(
        answered["answered"]["at"].is_string() && answered["end"].is_null(),
        "{answered}"
    );
    signal(&mesh, &["both", "paid", "7"]).await.exits(0);
    mesh.until(&intent, "completed", SOON).await;
    worker.stop().await;
}

/// How often each step was recorded.
async fn steps(mesh: &TestMesh, intent: &IntentId) -> Vec<String> {
    let history = mesh.history_of(intent).await;
    let steps = history.iter().filter_map(|head| head.record.step.as_ref());
    steps.map(|step| step.name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_waits_for_a_signal_through_the_death_of_everything() {
    let mut mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::Paid).await;
    let intent = id("order-42");
    mesh.submit_to("shop", &intent).await;
    let snapshot = until_suspended(&mesh, &intent).await;
    assert_eq!(snapshot.status.to_string(), "waiting(signal)");
    let shown = run(mesh.baton(&["intents", "get", "order-42"])).await.exits(0).stdout;
    for part in ["paid (the shop says so)", "baton signal order-42 paid DATA"] {
        assert!(shown.contains(part), "{part:?} is not shown: {shown}");
    }
    worker.stop().await;
    mesh.restart_everything().await;

    let told = signal(
        &mesh,
        &[
            "order-42",
            "paid",
            r#"{"amount":"1.50"}"#,
            "--id",
            "payment-7",
            "--output",
            "json",
        ],
    )
    .await;
    assert_eq!(told.exits(0).json()["unread"], false);
    // The same message again is the same signal.
    signal(&mesh, &["order-42", "paid", "again", "--id", "payment-7"])
        .await
        .exits(0);
    let worker = started(&mesh, Asks::Paid).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), r#"paid:signalled:{"amount":"1.50"}"#);
    assert_eq!(steps(&mesh, &intent).await, ["before", "after"]);
    let events = mesh.events_of(&intent).await;
    assert_eq!(
        events,
        [
            "submitted",
            "started",
            "step",
            "waiting",
            "signalled",
            "resumed",
            "claimed",
            "step",
            "completed"
        ]
    );
    assert_legal(&mesh.history_of(&intent).await);
    worker.stop().await;

    let late = signal(&mesh, &["order-42", "paid", "late", "--output", "json"])
        .await
        .exits(4);
    late.says(&["TOO_LATE", "order-42", "completed", "baton dead show"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_signals_are_kept_in_order_and_a_bare_publish_is_enough() {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::Both).await;
    let intent = id("early");
    // They overtake the submit.
    for (name, body) in [("packed", "first"), ("packed", "second"), ("paid", "7")] {
        let subject = format!("mesh.signal.early.{name}");
        mesh.mesh
            .publish_raw(subject, Vec::new(), body.into())
            .await
            .expect("stored");
    }
    mesh.submit_to("shop", &intent).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), r#"paid:signalled:7 packed:signalled:"first""#);
    // What nobody has read becomes a dead letter.
    eventually("the unread signal is a dead letter", SOON, async || {
        let dead = run(mesh.baton(&["dead", "list", "--output", "json"])).await.stdout;
        // It may also have come after the end.
        let is_told = ["early ended before it was read", "after the end of early"]
            .iter()
            .any(|text| dead.contains(text));
        match dead.contains("TOO_LATE") && is_told {
            true => Ok(()),
            false => Err(dead),
        }
    })
    .await;
    worker.stop().await;
}

/// Would fail if a signal had to wait for a ticket whose envelope is gone from the ledger: it would be delivered for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_is_taken_though_its_intent_has_lost_its_earlier_records() {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::Both).await;
    let intent = id("forgetful");
    mesh.submit_to("shop", &intent).await;
    until_suspended(&mesh, &intent).await;
    mesh.edit_stream("MESH_LEDGER", "max_msgs_per_subject", |_| 1.into())
        .await;
    for name in ["packed", "paid"] {
        let subject = format!("mesh.signal.forgetful.{name}");
        mesh.mesh
            .publish_raw(subject, Vec::new(), "1".into())
            .await
            .expect("stored");
    }
    eventually("the intake has no signal any more", SOON, async || {
        let state = mesh.stream_state("MESH_INTAKE").await;
        match state["messages"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(state.to_string()),
        }
    })
    .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_any_the_first_ends_the_call_and_the_others_are_abandoned() {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::PaidOrCancelled).await;
    let intent = id("any");
    mesh.submit_to("shop", &intent).await;
    until_suspended(&mesh, &intent).await;
    let subject = "mesh.signal.any.called-off".to_owned();
    mesh.mesh
        .publish_raw(subject, Vec::new(), "by phone".into())
        .await
        .expect("stored");
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), r#"called-off:signalled:"by phone""#);
    let history = mesh.history_of(&intent).await;
    let resumed = history
        .iter()
        .find(|head| head.record.event == Event::Resumed)
        .expect("resumed");
    let outcomes: Vec<&str> = resumed
        .record
        .results
        .iter()
        .map(|result| result.outcome.name())
        .collect();
    assert_eq!(outcomes, ["abandoned", "signalled"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_ends_a_sleep_and_a_wait_by_what_it_says() {
    let mesh = TestMesh::start().await;
    let short = Duration::from_millis(300);
    for (name, asks, status, code) in [
        ("nap", Asks::Nap(short), "completed", None),
        ("give", Asks::PaidWithin(short, |wait| wait), "completed", None),
        (
            "park",
            Asks::PaidWithin(short, Wait::or_park),
            "parked",
            Some("WAIT_EXPIRED"),
        ),
        (
            "fail",
            Asks::PaidWithin(short, Wait::or_fail),
            "failed",
            Some("WAIT_EXPIRED"),
        ),
    ] {
        let worker = started(&mesh, asks).await;
        let intent = id(name);
        mesh.submit_to("shop", &intent).await;
        let head = mesh.until(&intent, status, SOON).await;
        let found = head.record.snapshot.error.as_ref().map(|error| error.code.as_str());
        assert_eq!(found, code, "{name}");
        let history = mesh.history_of(&intent).await;
        let at = |event: &str| history.iter().find(|head| head.record.event.name() == event);
        let (asked, ended) = (
            at("waiting").expect("waiting"),
            at("resumed").or(at(status)).expect("an end"),
        );
        let took = ended.stored_at.expect("stored").since(asked.stored_at.expect("stored"));
        assert!(took >= short, "{name} fired {took:?} after it was asked for");
        if status == "completed" {
            assert_legal(&history);
        }
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_begins_later_has_no_ticket_until_then() {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::Nap(Duration::from_millis(1))).await;
    let at = mesh.mesh.now().plus(Duration::from_secs(3));
    let text = at.to_string();
    for [name, flag, time] in [["later", "--delay", "2s"], ["at", "--at", text.as_str()]] {
        run(mesh.baton(&["send", "shop", "1", "--id", name, flag, time]))
            .await
            .exits(0);
    }
    let mut dues = Vec::new();
    for name in ["later", "at"] {
        let head = mesh.head_of(&id(name)).await;
        assert_eq!(head.record.snapshot.status.to_string(), "waiting(time)");
        dues.push(head.record.snapshot.wake_at.expect("a time"));
    }
    assert_eq!(dues[1], at);
    assert_eq!(mesh.stream_state("MESH_WORK_shop").await["messages"], 0);
    for (name, due) in ["later", "at"].into_iter().zip(dues) {
        mesh.until(&id(name), "completed", SOON).await;
        let history = mesh.history_of(&id(name)).await;
        let resumed = history
            .iter()
            .find(|head| head.record.event == Event::Resumed)
            .expect("resumed");
        assert!(resumed.stored_at.expect("stored") >= due, "{name}: not before its time");
    }

    let past = run(mesh.baton(&["send", "shop", "1", "--at", "2020-01-01T00:00:00Z"])).await;
    past.exits(2).says(&["--at", "2020-01-01T00:00:00Z", "in the past"]);
    let late = run(mesh.baton(&["send", "shop", "1", "--delay", "1h", "--deadline", "10m"])).await;
    late.exits(2).says(&["--delay", "1h"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_intent_keeps_its_wait_and_goes_on_after_a_redrive() {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::PaidWithin(Duration::from_millis(300), Wait::or_park)).await;
    let intent = id("again");
    mesh.submit_to("shop", &intent).await;
    let parked = mesh.until(&intent, "parked", SOON).await;
    assert_eq!(parked.record.snapshot.waits.len(), 1);
    signal(&mesh, &["again", "paid", "7"]).await.exits(0);
    assert_eq!(
        mesh.head_of(&intent).await.record.snapshot.status.name(),
        "parked",
        "no wait ends while it is parked"
    );
    mesh.redrive(&intent, &[]).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "paid:signalled:7");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_waits_by_a_line_of_json() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let line = r#"if grep -q '"waits":{"paid"' ; then echo '{"outcome":"complete","result":"paid"}'; else echo '{"state":{"pages":7}}'; echo '{"wait":{"name":"paid","until":"1h","then":"park"}}'; fi"#;
    let guard = worker(&mesh, dir.path(), "shop", &["--exec", line, "--json"]).await;
    let intent = mesh.submit("program", "shop", "1").await;
    until_suspended(&mesh, &intent).await;
    let state = run(mesh.baton(&["intents", "state", "program", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(state["state"], serde_json::json!({ "pages": 7 }));
    let shown: Value = run(mesh.baton(&["intents", "get", "program", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(shown["waits"][0]["then"], "the intent is parked");
    signal(&mesh, &["program", "paid"]).await.exits(0);
    assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "paid");
    drop(guard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_told_is_a_dead_letter_that_says_why() {
    let mesh = TestMesh::start().await;
    let said = signal(&mesh, &["nobody", "paid", "--timeout", "40s"]).await.exits(4);
    said.says(&["NO_INTENT", "nobody", "30 s"]);
    let said = signal(&mesh, &["nobody", "no.token"]).await;
    said.exits(2).says(&["no.token", "A-Z a-z 0-9 _ -", "BAD_NAME"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_many_waits_nor_signals_that_nobody_waits_for_keep_a_signal_away() {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, Asks::FirstOf(200)).await;
    let intent = id("many");
    mesh.submit_to("shop", &intent).await;
    until_suspended(&mesh, &intent).await;
    for number in 0..MOST_UNREAD {
        // Of other names, since signals of one name are taken one after the other.
        let subject = format!("mesh.signal.many.junk-{number}");
        let body = number.to_string().into();
        mesh.mesh.publish_raw(subject, Vec::new(), body).await.expect("stored");
    }
    eventually("all of them are unread", SOON, async || {
        match mesh.head_of(&intent).await.record.snapshot.signals.len() {
            MOST_UNREAD => Ok(()),
            some => Err(some.to_string()),
        }
    })
    .await;
    let full = signal(&mesh, &["many", "junk", "x"]).await.exits(4);
    full.says(&["TOO_MANY_SIGNALS", "many"]);
    signal(&mesh, &["many", "document-150-approved", "7"]).await.exits(0);
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "document-150-approved:signalled:7");
    worker.stop().await;

    let worker = started(&mesh, Asks::FirstOf(MOST_WAITS + 1)).await;
    let intent = id("too-many");
    mesh.submit_to("shop", &intent).await;
    let head = mesh.until(&intent, "failed", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, "TOO_MANY_WAITS", "{}", error.message);
    worker.stop().await;
}

/// Would fail if a signal were told for ever to an intent that cannot go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lost_its_first_records_while_it_waited_is_parked_by_what_it_waited_for() {
    for asks in [Asks::Paid, Asks::Nap(Duration::from_secs(4))] {
        let mesh = TestMesh::start().await;
        let worker = started(&mesh, asks).await;
        let intent = id("lost");
        mesh.submit_to("shop", &intent).await;
        until_suspended(&mesh, &intent).await;
        // As with `max_msgs_per_subject` on the ledger: of each intent only the last records stay.
        let purge = serde_json::json!({ "filter": mesh.mesh.subjects().ledger(&intent), "keep": 1 });
        mesh.server.api("STREAM.PURGE.MESH_LEDGER", &purge).await;
        if let Asks::Paid = asks {
            signal(&mesh, &["lost", "paid", "1"]).await;
        }
        let head = mesh.until(&intent, "parked", SOON).await;
        let error = head.record.snapshot.error.expect("an error");
        assert_eq!(error.code, "NO_ENVELOPE", "{error:?}");
        worker.stop().await;
    }
}
