//! A hop asks others and does not come back: whoever is next gets what they came to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Call, Calls, Fault, Handler, Hop, Joined, Outcome, RetryPolicy};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, count, events};
use baton_e2e::gated::{result, result_as, said};
use baton_envelope::{Event, IntentId};

use crate::nats_cli::worker;

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(90);

/// How a supervisor of these tests asks.
type Asks = fn(Vec<Call>) -> Result<Outcome, Fault>;

/// Asks one helper for each word of its payload, and counts how often it does so.
struct Lead(Asks, Arc<AtomicUsize>);

impl Handler for Lead {
    type Input = Vec<String>;

    async fn handle(&self, hop: &mut Hop, work: Vec<String>) -> Result<Outcome, Fault> {
        self.1.fetch_add(1, Ordering::SeqCst);
        hop.step("split", || async { Ok::<_, Fault>(work.len()) }).await?;
        let calls: Result<Vec<Call>, Fault> = work.iter().map(|word| Call::new("help", word)).collect();
        Ok((self.0)(calls?)?.with_note("asked around"))
    }
}

struct Help;

impl Handler for Help {
    type Input = String;

    async fn handle(&self, _: &mut Hop, word: String) -> Result<Outcome, Fault> {
        match word.as_str() {
            "bad" => Err(Fault::terminal("NO_WAY", "bad")),
            _ => Outcome::complete(&word.to_uppercase()),
        }
    }
}

struct Report;

impl Handler for Report {
    type Input = Joined;

    async fn handle(&self, _: &mut Hop, joined: Joined) -> Result<Outcome, Fault> {
        let said = joined.children().iter().map(said).collect::<Vec<_>>().join(" ");
        Outcome::next(&said)
    }
}

async fn started(mesh: &TestMesh, asks: Asks) -> (Vec<Running>, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    // What is tried again in vain is parked soon.
    let policy = RetryPolicy {
        max_attempts: 2,
        ..RetryPolicy::default()
    };
    let agent = |name: &str| Agent::builder(name, "1.0.0").expect("agent");
    let lead = agent("lead").handler(Lead(asks, Arc::clone(&runs))).retry(policy);
    let url = mesh.server.url();
    let workers = vec![
        Running::start(url, agent("help").handler(Help)).await,
        Running::start(url, agent("report").handler(Report)).await,
        Running::start(url, lead).await,
    ];
    for agent in ["help", "report", "lead"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    (workers, runs)
}

async fn stop(workers: Vec<Running>) {
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_hop_gets_the_results_in_order_and_the_handler_does_not_run_again() {
    let mesh = TestMesh::start().await;
    let (workers, runs) = started(&mesh, |calls| Outcome::fan_out(Calls::of(calls)).then("report")).await;
    let intent = mesh.submit("order-42", "lead", r#"["one","bad","two"]"#).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "ONE NO_WAY TWO");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    for event in ["fanned_out", "resumed", "handed_off"] {
        assert_eq!(count(&history, event), 1, "{event} in {:?}", events(&history));
    }
    let handed = history
        .iter()
        .find(|head| head.record.event == Event::HandedOff)
        .expect("a handoff");
    assert_eq!(handed.record.note.as_deref(), Some("asked around"));
    let second = IntentId::of_child(&intent, 1, "fan-out", 2);
    let payload = handed.record.envelope.as_ref().expect("an envelope").payload.get();
    assert!(payload.contains(second.as_str()), "{payload}");
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_name_it_goes_to_whoever_is_next_or_the_intent_is_done() {
    let mesh = TestMesh::start().await;
    let (workers, runs) = started(&mesh, |calls| Ok(Outcome::fan_out(Calls::of(calls).any()))).await;
    let mut envelope = mesh.envelope("by-itinerary", "lead", r#"["one"]"#);
    envelope.itinerary = vec!["report".parse().expect("a name")];
    let intent = mesh.submit_envelope(envelope).await;
    assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "ONE");
    let intent = mesh.submit("alone", "lead", r#"["two"]"#).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let joined: Joined = result_as(&head);
    assert_eq!(joined.children()[0].result::<String>().expect("done"), "TWO");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_parks_the_intent_before_anybody_is_asked() {
    let mesh = TestMesh::start().await;
    let cases: [(&str, Asks, &[&str]); 4] = [
        (
            "nobody",
            |_| Ok(Outcome::fan_out(Calls::of([]))),
            &["BAD_FAN_OUT", "no children"],
        ),
        (
            "too-few",
            |calls| Ok(Outcome::fan_out(Calls::of(calls).at_least(3))),
            &["BAD_FAN_OUT", "`need` is 3"],
        ),
        (
            "unknown-child",
            |_| Ok(Outcome::fan_out(Calls::of([Call::new("nobody-at-all", &1)?]))),
            &["UNKNOWN_AGENT", "nobody-at-all"],
        ),
        (
            "unknown-next",
            |calls| Outcome::fan_out(Calls::of(calls)).then("nobody-next"),
            &["UNKNOWN_AGENT", "nobody-next"],
        ),
    ];
    for (name, asks, says) in cases {
        let (workers, _) = started(&mesh, asks).await;
        let intent = mesh.submit(name, "lead", r#"["one"]"#).await;
        let error = mesh
            .until(&intent, "parked", SOON)
            .await
            .record
            .snapshot
            .error
            .expect("an error");
        let told = format!("{}: {}", error.code, error.message);
        assert!(says.iter().all(|part| told.contains(part)), "{told}");
        let child = IntentId::of_child(&intent, 1, "fan-out", 0);
        assert!(mesh.mesh.head(&child).await.expect("an answer").is_none(), "{name}");
        stop(workers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_asks_others_and_is_not_run_again() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let runs = dir.path().join("runs");
    let line = format!(
        r#"cat > /dev/null; echo run >> '{}'
        echo '{{"outcome":"fan_out","calls":{{"to":"shout","children":[{{"payload":"otters"}},{{"payload":"rivers"}}]}},"to":"report"}}'"#,
        runs.display()
    );
    let report = r#"sed 's/.*"result":"\([A-Z]*\)".*"result":"\([A-Z]*\)".*/\1 and \2/'"#;
    let workers = [
        worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await,
        worker(&mesh, dir.path(), "report", &["--exec", report]).await,
        worker(&mesh, dir.path(), "asks", &["--exec", &line, "--json"]).await,
    ];
    let intent = mesh.submit("program", "asks", "1").await;
    assert_eq!(
        result(&mesh.until(&intent, "completed", SOON).await),
        "OTTERS and RIVERS"
    );
    assert_eq!(std::fs::read_to_string(runs).expect("runs"), "run\n");
    drop(workers);
}
