//! How many messages a hop costs the connection of its worker, for each act, counted and not estimated.
//!
//! One worker runs behind a proxy that records every message in both directions. [`HOPS`] hops do the same act, and
//! each message must belong to a class of [`meter`]; one that fits none fails the test. So the figures are exact,
//! however busy the machine is: a change of the write path that costs or saves one message a hop shows here. Messages
//! that depend on time and not on hops are left out: pulls, heartbeats, routes, the service, and the question whether
//! an intent is archived, which a worker asks only about old records and at most once for each head that it reads.
//!
//! The counts of each test are those of *one* hop:
//!
//! - `record`: a guarded write to the ledger; `record stored` is the server's answer to it.
//! - `ticket`: a write to a work stream; `ticket stored` is the answer, even if the server knew the message id.
//! - `answer`: a publish on the intent's `reply_to`. Nothing comes back.
//! - `ack`, `nak`, `extension`: a reply to a delivery. Nothing comes back.
//! - `head read`: a request for the last record of an intent; `head` is the answer.
//! - `range read`: a request for several records; `range` counts the messages of the answer: one for each record, and
//!   the end.
//! - `delivery`: a ticket that the server delivered.

mod idle;
mod meter;
mod tickets;

use std::time::Duration;

use baton_agent::{AgentBuilder, Fault, Handler, Hop, Json, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent};
use baton_envelope::{Envelope, Event, IntentId, Signatures};
use baton_jetstream::{Signing, Target};
use baton_testkit::Keys;

use self::meter::Metered;

/// How many hops to count each act over.
const HOPS: usize = 200;
/// How many of them run at once: so few that writes are never grouped, since a group gets one answer for all.
const AT_ONCE: u32 = 4;
/// How many slots a worker needs to hold all of them at once: some slots are reserved for more urgent work.
const ROOM: u32 = 400;

fn completer(name: &str) -> AgentBuilder {
    agent(name, |_| async { Outcome::complete(&"done") }).concurrency(AT_ONCE)
}

fn passer(name: &str, to: &'static str) -> AgentBuilder {
    agent(name, move |_| async move { Outcome::hand_off(to, &"next") }).concurrency(AT_ONCE)
}

/// Runs a worker of this agent for a moment, so that the agent has a route, a stream and consumers, but no worker.
async fn introduce(mesh: &TestMesh, name: &str) {
    let worker = Running::start(mesh.server.url(), completer(name)).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    worker.stop().await;
}

/// Submits the work of an act, one intent for each hop.
async fn submit(mesh: &TestMesh, name: &str, reply_to: Option<&str>) -> Vec<IntentId> {
    let envelope = |n: usize| {
        let mut envelope: Envelope = mesh.envelope(&format!("{name}-{n}"), name, "null");
        envelope.reply_to = reply_to.map(ToOwned::to_owned);
        envelope
    };
    mesh.submit_all((0..HOPS).map(envelope).collect()).await
}

/// Waits until every intent has this status.
async fn until_all(mesh: &TestMesh, intents: &[IntentId], status: &str) {
    for intent in intents {
        mesh.until(intent, status, SOON).await;
    }
}

/// Counts a worker's messages for new work until every intent has this status.
async fn count(mesh: &TestMesh, builder: AgentBuilder, name: &str, status: &str) -> meter::Counts {
    let worker = Metered::start(mesh, builder).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    let intents = submit(mesh, name, None).await;
    until_all(mesh, &intents, status).await;
    worker.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_that_ends_its_intent_is_one_write_and_one_ack() {
    let expected = [("delivery", 1), ("record", 1), ("record stored", 1), ("ack", 1)];
    let mesh = TestMesh::start().await;
    count(&mesh, completer("completes"), "completes", "completed")
        .await
        .are(&expected);
    let rejects = agent("rejects", |_| async { Ok(Outcome::reject("NO", "not this one")) });
    count(&mesh, rejects.concurrency(AT_ONCE), "rejects", "rejected")
        .await
        .are(&expected);
    let fails = agent("fails", |_| async { Err(Fault::terminal("BROKEN", "for good")) });
    count(&mesh, fails.concurrency(AT_ONCE), "fails", "failed")
        .await
        .are(&expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_hop_is_no_message_more() {
    let (mesh, keys) = (TestMesh::start().await, Keys::of_agents(&["signs"]));
    let signing = Signing {
        signatures: Signatures::Accept,
        key: Some(keys.file("signs")),
        trust: Some(keys.trust()),
    };
    let worker = Metered::start_signing(&mesh, completer("signs"), signing.clone()).await;
    mesh.until_version_is("signs", "1.0.0", "active").await;
    let intents = submit(&mesh, "signs", None).await;
    until_all(&mesh, &intents, "completed").await;
    worker
        .stop()
        .await
        .are(&[("delivery", 1), ("record", 1), ("record stored", 1), ("ack", 1)]);
    let target = Target {
        signing,
        ..Target::at(mesh.server.url())
    };
    let report = target
        .connect()
        .await
        .expect("connect")
        .audit(|_| {})
        .await
        .expect("read");
    assert_eq!(
        (report.problems.len(), report.records, report.unsigned),
        (0, 2 * HOPS as u64, HOPS as u64)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_costs_one_publish_more() {
    let mesh = TestMesh::start().await;
    let worker = Metered::start(&mesh, completer("answers")).await;
    mesh.until_version_is("answers", "1.0.0", "active").await;
    let intents = submit(&mesh, "answers", Some(meter::ANSWERS)).await;
    until_all(&mesh, &intents, "completed").await;
    worker.stop().await.are(&[
        ("delivery", 1),
        ("record", 1),
        ("record stored", 1),
        ("answer", 1),
        ("ack", 1),
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handoff_is_two_writes_and_one_ack() {
    let mesh = TestMesh::start().await;
    let _receiver = Running::start(mesh.server.url(), completer("receives")).await;
    mesh.until_version_is("receives", "1.0.0", "active").await;
    count(&mesh, passer("passes", "receives"), "passes", "completed")
        .await
        .are(&[
            ("delivery", 1),
            ("record", 1),
            ("record stored", 1),
            ("ticket", 1),
            ("ticket stored", 1),
            ("ack", 1),
        ]);
}

/// One step, then the end.
struct OneStep;

impl Handler for OneStep {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _payload: Json) -> Result<Outcome, Fault> {
        let value: u32 = hop.step("effect", || async { Ok::<_, Fault>(7) }).await?;
        Outcome::complete(&value)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_with_a_step_writes_its_beginning_the_step_and_its_end() {
    let mesh = TestMesh::start().await;
    let steps = baton_agent::Agent::builder("steps", "1.0.0").expect("names");
    let steps = steps.handler(OneStep).concurrency(AT_ONCE);
    count(&mesh, steps, "steps", "completed").await.are(&[
        ("delivery", 1),
        ("record", 3),
        ("record stored", 3),
        ("ack", 1),
    ]);
}

/// Fails in its first attempt.
struct SecondTime;

impl Handler for SecondTime {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _payload: Json) -> Result<Outcome, Fault> {
        match hop.attempt() {
            1 => Err(Fault::retry("not yet")),
            _ => Outcome::complete(&"at last"),
        }
    }
}

/// `retry_scheduled`, a nak with the delay; then the redelivery, which is claimed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_more_is_two_writes_a_nak_and_two_reads_more() {
    let mesh = TestMesh::start().await;
    let retry = RetryPolicy {
        unit: Duration::from_millis(20),
        ..RetryPolicy::default()
    };
    let retries = baton_agent::Agent::builder("retries", "1.0.0").expect("names");
    let retries = retries.handler(SecondTime).retry(retry).concurrency(AT_ONCE);
    count(&mesh, retries, "retries", "completed").await.are(&[
        ("delivery", 2),
        ("record", 3),
        ("record stored", 3),
        ("nak", 1),
        ("head read", 1),
        ("head", 1),
        // submitted, retry_scheduled, claimed, and the end of the answer.
        ("range read", 1),
        ("range", 4),
        ("ack", 1),
    ]);
}

/// Tickets from before the worker connected: the broker may have forgotten deliveries, so the worker reads the head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_from_before_the_worker_costs_one_read_and_no_claim() {
    let mesh = TestMesh::start().await;
    introduce(&mesh, "backlog").await;
    let intents = submit(&mesh, "backlog", None).await;
    let worker = Metered::start(&mesh, completer("backlog")).await;
    until_all(&mesh, &intents, "completed").await;
    let untouched = [
        ("delivery", 1),
        ("head read", 1),
        ("head", 1),
        ("record", 1),
        ("record stored", 1),
        ("ack", 1),
    ];
    worker.stop().await.are(&untouched);

    // The same for a ticket that was written again from the ledger while nobody had it.
    introduce(&mesh, "reissued").await;
    let intents = submit(&mesh, "reissued", None).await;
    tickets::reissue_all(&mesh, &intents, "reissued").await;
    let worker = Metered::start(&mesh, completer("reissued")).await;
    until_all(&mesh, &intents, "completed").await;
    worker.stop().await.are(&untouched);
}

/// A ticket that a worker had, and gave up without a record in the ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivered_ticket_is_read_claimed_and_run() {
    let mesh = TestMesh::start().await;
    introduce(&mesh, "redelivered").await;
    let intents = submit(&mesh, "redelivered", None).await;
    tickets::deliver_and_hand_back(&mesh, "redelivered").await;
    let worker = Metered::start(&mesh, completer("redelivered")).await;
    until_all(&mesh, &intents, "completed").await;
    worker.stop().await.are(&[
        ("delivery", 1),
        ("head read", 1),
        ("head", 1),
        // submitted, claimed, and the end of the answer.
        ("range read", 1),
        ("range", 3),
        ("record", 2),
        ("record stored", 2),
        ("ack", 1),
    ]);
}

/// A second ticket for a hop that the ledger shows as held, as after a crash of the server that took the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reissued_ticket_of_a_held_hop_is_read_claimed_and_run() {
    let mesh = TestMesh::start().await;
    let stuck = agent("held", |_| async { std::future::pending().await });
    let holder = Running::start(mesh.server.url(), stuck.concurrency(ROOM)).await;
    mesh.until_version_is("held", "1.0.0", "active").await;
    let intents = submit(&mesh, "held", None).await;
    for intent in &intents {
        mesh.until_events(intent, &Event::Started, 1, SOON).await;
    }
    drop(holder);
    tickets::reissue_all(&mesh, &intents, "held").await;
    let worker = Metered::start(&mesh, completer("held")).await;
    until_all(&mesh, &intents, "completed").await;
    worker.stop().await.are(&[
        ("delivery", 1),
        ("head read", 1),
        ("head", 1),
        // submitted, started, claimed, and the end of the answer.
        ("range read", 1),
        ("range", 4),
        ("record", 2),
        ("record stored", 2),
        ("ack", 1),
    ]);
}

/// The hop is over and its ticket comes again: the worker pays once more what the head implies, and acks the ticket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_a_hop_that_is_over_costs_a_read_and_what_the_head_implies() {
    let mesh = TestMesh::start().await;
    for name in ["waits", "over"] {
        introduce(&mesh, name).await;
    }
    let intents = submit(&mesh, "over", None).await;
    let left = tickets::stored(&mesh, "over").await;
    let worker = Running::start(mesh.server.url(), passer("over", "waits")).await;
    for intent in &intents {
        mesh.until_events(intent, &Event::HandedOff, 1, SOON).await;
    }
    worker.stop().await;
    tickets::publish_again(&mesh, &left).await;
    let worker = Metered::start(&mesh, passer("over", "waits")).await;
    tickets::until_no_tickets(&mesh, "over").await;
    worker.stop().await.are(&[
        ("delivery", 1),
        ("head read", 1),
        ("head", 1),
        ("ticket", 1),
        ("ticket stored", 1),
        ("ack", 1),
    ]);

    // Nothing is owed once the intent has ended.
    let receiver = Running::start(mesh.server.url(), completer("waits")).await;
    until_all(&mesh, &intents, "completed").await;
    receiver.stop().await;
    tickets::publish_again(&mesh, &left).await;
    let worker = Metered::start(&mesh, passer("over", "waits")).await;
    tickets::until_no_tickets(&mesh, "over").await;
    worker
        .stop()
        .await
        .are(&[("delivery", 1), ("head read", 1), ("head", 1), ("ack", 1)]);
}
