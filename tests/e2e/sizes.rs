//! Calls at the bounds of one message: what does not fit parks its parent and says what to do, and ten thousand children work.

use std::time::Duration;

use baton_agent::{Agent, Call, Calls, Fault, Handler, Hop, Json, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, count};
use baton_e2e::gated::result;
use baton_envelope::{Envelope, ErrorInfo, IntentId};
use serde::Deserialize;

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);
/// How long ten thousand children may take there, in a build for tests.
const LONG: Duration = Duration::from_secs(400);
/// What a server takes in one message where nobody says otherwise.
const MOST: usize = 1024 * 1024;

/// What a supervisor of these tests is told.
#[derive(Debug, Clone, Deserialize)]
struct Order {
    children: u32,
    /// How many bytes each child gets.
    #[serde(default)]
    each: usize,
    /// Whether it goes on by itself when they have ended.
    #[serde(default)]
    comes_back: bool,
    /// Whether they get a message of a channel.
    #[serde(default)]
    tells: bool,
}

/// Asks as many helpers as it is told.
struct Lead;

impl Handler for Lead {
    type Input = Order;

    async fn handle(&self, hop: &mut Hop, order: Order) -> Result<Outcome, Fault> {
        let work = |index: u32| match order.each {
            0 => Json::of(&index),
            bytes => Json::of(&"x".repeat(bytes)),
        };
        if order.tells {
            return Outcome::broadcast("news", &work(0).expect("JSON"))?.to_receivers(["help", "lead"]);
        }
        let calls = (0..order.children).map(|index| Call::new("help", &work(index).expect("JSON")));
        let calls = Calls::of(calls.collect::<Result<Vec<Call>, Fault>>()?).named("ask");
        if !order.comes_back {
            return Ok(Outcome::fan_out(calls));
        }
        let joined = hop.join(calls).await?;
        let mut in_order = (0..).zip(joined.completed()).filter(|(index, child)| {
            // What a child has completed with is its own number.
            child
                .result::<u32>()
                .is_ok_and(|number| number == *index && child.index() == *index)
        });
        Outcome::complete(&format!("{} in order", in_order.by_ref().count()))
    }
}

/// Completes with what it gets; fails with a long code where that is text.
struct Help;

impl Handler for Help {
    type Input = Json;

    async fn handle(&self, _: &mut Hop, work: Json) -> Result<Outcome, Fault> {
        match work.read::<String>() {
            Ok(_) => Err(Fault::terminal("N".repeat(2_500), "no")),
            Err(_) => Outcome::complete(&work),
        }
    }
}

async fn started() -> (TestMesh, Vec<Running>) {
    let mesh = TestMesh::start().await;
    let agent = |name: &str| Agent::builder(name, "1.0.0").expect("agent").concurrency(64);
    let policy = RetryPolicy {
        max_attempts: 2,
        ..RetryPolicy::default()
    };
    let url = mesh.server.url();
    let workers = vec![
        Running::start(url, agent("help").handler(Help)).await,
        Running::start(url, agent("lead").handler(Lead).retry(policy)).await,
    ];
    for agent in ["help", "lead"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    (mesh, workers)
}

async fn stop(workers: Vec<Running>) {
    for worker in workers {
        worker.stop().await;
    }
}

/// Why an intent was set aside.
async fn parked(mesh: &TestMesh, envelope: Envelope) -> (IntentId, ErrorInfo) {
    let intent = mesh.submit_envelope(envelope).await;
    let head = mesh.until(&intent, "parked", SOON).await;
    (intent, head.record.snapshot.error.expect("an error"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_that_do_not_fit_into_one_message_park_the_parent_before_any_begins() {
    let (mesh, workers) = started().await;
    let together = mesh.envelope("together", "lead", r#"{"children":12,"each":100000}"#);
    // What every child takes over from its parent counts, too.
    let mut carried = mesh.envelope("carried", "lead", r#"{"children":1,"each":500000}"#);
    let field = Json::string(&"y".repeat(600_000));
    carried.extra.insert("x-large".to_owned(), field);
    let mut joined = mesh.envelope("joined", "lead", r#"{"children":9000}"#);
    let field = Json::string(&"z".repeat(800_000));
    joined.extra.insert("x-large".to_owned(), field);
    let mut told = mesh.envelope("told", "lead", r#"{"children":2,"each":500000,"tells":true}"#);
    let field = Json::string(&"t".repeat(600_000));
    told.extra.insert("x-large".to_owned(), field);
    for (envelope, says) in [
        (
            told,
            "the broadcast on channel \"news\": copy 1, for lead, takes up to 11",
        ),
        (together, "the call \"ask\" with 12 children: 12"),
        (carried, "child 0 takes up to 11"),
        (joined, "with the ends of its 9000 children"),
    ] {
        let (intent, error) = parked(&mesh, envelope).await;
        assert_eq!(error.code, "PAYLOAD_TOO_LARGE", "{}", error.message);
        let is_told = [says, "fix: ", "`max_payload`"]
            .iter()
            .all(|part| error.message.contains(part));
        assert!(is_told, "{intent}: {}", error.message);
        let limit = error
            .message
            .split("at most ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let limit: usize = limit.and_then(|limit| limit.parse().ok()).expect("a limit");
        assert!(limit <= MOST && limit > MOST - 10_000, "{}", error.message);
        for name in ["ask", "fan-out", "receivers"] {
            let child = IntentId::of_child(&intent, 1, name, 0);
            assert!(mesh.mesh.head(&child).await.expect("an answer").is_none(), "{intent}");
        }
    }
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_that_do_not_fit_into_one_message_park_the_parent_and_keep_what_its_children_did() {
    let (mesh, workers) = started().await;
    let order = r#"{"children":600,"each":1,"comes_back":true}"#;
    let (intent, error) = parked(&mesh, mesh.envelope("wordy", "lead", order)).await;
    assert_eq!(error.code, "PAYLOAD_TOO_LARGE", "{}", error.message);
    assert!(error.message.contains("it cannot go on"), "{}", error.message);
    let snapshot = mesh.head_of(&intent).await.record.snapshot;
    assert_eq!(snapshot.children[0].ended_count(), 600);
    assert_eq!(snapshot.waits.len(), 1, "it can go on from there");
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_children_work() {
    let (mesh, workers) = started().await;
    let called = mesh
        .submit("called", "lead", r#"{"children":10000,"comes_back":true}"#)
        .await;
    let head = mesh.until(&called, "completed", LONG).await;
    assert_eq!(result(&head), "10000 in order");
    let history = mesh.history_of(&called).await;
    assert_legal(&history);
    let found = |event: &str| count(&history, event);
    assert_eq!((found("fanned_out"), found("resumed")), (1, 1));
    // Ends are gathered: many in a record.
    assert!(found("child_done") < 500, "{} records of ends", found("child_done"));
    let fanned = mesh.submit("fanned", "lead", r#"{"children":10000}"#).await;
    let head = mesh.until(&fanned, "completed", LONG).await;
    let result = mesh.mesh.result_body(&fanned, &head.record.snapshot).await;
    let result = result.expect("read").expect("a result");
    let joined: baton_agent::Joined = result.json.read().expect("what they came to");
    let is_in_order = |(index, child): (u32, &baton_agent::Called)| child.result::<u32>().is_ok_and(|is| is == index);
    assert_eq!(joined.children().len(), 10_000);
    assert!((0..).zip(joined.children()).all(is_in_order));
    stop(workers).await;
}
