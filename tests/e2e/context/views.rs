//! What the hops of a chain remember, and the views that the agents after them are given.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Kind, Memory, Outcome, RetryPolicy, View};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, TAKEOVER, assert_legal, count};
use baton_e2e::gated::result;
use baton_envelope::context::{EnvelopeContext, Level};
use baton_envelope::{IntentId, Json};
use baton_jetstream::{Head, ReceivedView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_cli::{run, worker};

/// The decision that the first hop pins.
const DECISION: &str = "Retry with jitter, at most five times, and never a payment.";
/// How many hops a chain of these tests has.
const HOPS: u32 = 12;

/// Some 700 tokens of text that belong to a hop.
fn notes(hop: u32) -> String {
    format!(
        "What hop {hop} saw: {}",
        "the otter crossed the river and came back. ".repeat(75)
    )
}

/// Remembers something in each hop, hands on to itself, and completes with what its view has of the first decision.
struct Chain {
    view: View,
    /// The tokens of each view.
    used: Arc<AtomicU32>,
}

impl Handler for Chain {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let context = hop.context().await?;
        let number = hop.number();
        if number > 1 {
            let (used, budget) = (context.used().expect("a view"), context.budget().expect("a view"));
            assert!(used <= budget, "{used} of {budget}");
            self.used
                .fetch_max(u32::try_from(used).expect("small"), Ordering::SeqCst);
            assert!(context.text().contains(DECISION), "hop {number}: {}", context.text());
            // All that was remembered is there, whether the view has it or not.
            let known = context.memories().count() + context.dropped().count();
            assert_eq!(known, number as usize, "a decision, and the notes of each hop before");
        }
        if number == 1 {
            let decision = Memory::new("ms-1", Kind::Decision, DECISION).title("Retries").pin();
            hop.remember(decision).await?;
        }
        hop.remember(Memory::new(format!("notes-{number}"), Kind::Observation, notes(number)))
            .await?;
        match number {
            HOPS => {
                let first = hop.recall("notes-1", 0).await?.expect("content");
                assert_eq!(String::from_utf8(first).expect("text"), notes(1), "byte for byte");
                Outcome::complete(&format!("{} in the view", context.memories().count()))
            }
            _ => Ok(Outcome::hand_off("chain", &json!({"hop": number}))?.with_context(self.view.clone())),
        }
    }
}

async fn chain(mesh: &TestMesh, view: View) -> (Running, Arc<AtomicU32>) {
    let used = Arc::new(AtomicU32::new(0));
    let handler = Chain {
        view,
        used: Arc::clone(&used),
    };
    let builder = Agent::builder("chain", "1.0.0").expect("agent").handler(handler);
    let worker = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("chain", "1.0.0", "active").await;
    (worker, used)
}

/// Submits work that may take more hops than there are by default.
async fn submit(mesh: &TestMesh, name: &str, to: &str) -> IntentId {
    let mut envelope = mesh.envelope(name, to, "{}");
    envelope.max_hops = baton_envelope::MaxHops::new(64).expect("in range");
    mesh.submit_envelope(envelope).await
}

async fn view_of(mesh: &TestMesh, intent: &IntentId, hop: u32) -> ReceivedView {
    let history = mesh.history_of(intent).await;
    let envelopes = history.iter().filter_map(|head| head.record.envelope.as_ref());
    let envelope = envelopes.rev().find(|envelope| envelope.hop == hop).expect("the hop");
    mesh.mesh
        .received_view(envelope, None, baton_agent::token_counter)
        .await
        .expect("read")
}

fn level(view: &ReceivedView, key: &str) -> Level {
    let found = view
        .items
        .iter()
        .find(|(candidate, _)| candidate.memory.key.as_str() == key);
    found.expect("remembered").1.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_of_the_first_hop_reaches_the_twelfth_within_its_budget() {
    let mesh = TestMesh::start().await;
    let (worker, used) = chain(&mesh, View::trim().tokens(4_000)).await;
    let intent = submit(&mesh, "order-42", "chain").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_legal(&mesh.history_of(&intent).await);
    let most = used.load(Ordering::SeqCst);
    assert!((3_000..=4_000).contains(&most), "the budget is used: {most}");
    let view = view_of(&mesh, &intent, HOPS).await;
    assert_eq!(level(&view, "ms-1"), Level::Full);
    assert_eq!(level(&view, "notes-11"), Level::Full, "the newest have room");
    assert_ne!(level(&view, "notes-1"), Level::Full, "the oldest do not");
    assert_eq!(
        (view.gaps.len(), view.completeness.requested),
        (0, view.completeness.resolved)
    );
    // A link names the one before it; each hop but the last has one.
    assert_eq!((view.context.links, view.context.memories), (11, 12));
    assert!(result(&head).ends_with("in the view"), "{}", result(&head));

    let shown = run(mesh.baton(&["context", "show", "order-42", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(
        (&shown["hop"], &shown["memories"][0]["key"]),
        (&json!(12), &json!("ms-1"))
    );
    assert!(shown["text"].as_str().expect("a text").contains(DECISION));
    let left_out = shown["memories"]
        .as_array()
        .expect("rows")
        .iter()
        .filter(|row| row["level"] != "full");
    for row in left_out {
        assert_eq!(row["why"], "budget", "{row}");
    }
    let text = run(mesh.baton(&["context", "show", "order-42", "--hop", "2"]))
        .await
        .exits(0)
        .stdout;
    assert!(text.contains("hop 2 of order-42") && text.contains(DECISION), "{text}");
    let verified = run(mesh.baton(&["context", "verify", "order-42"]))
        .await
        .exits(0)
        .stdout;
    assert!(verified.contains("12 links, 13 memories and "), "{verified}");

    let diff = run(mesh.baton(&["context", "diff", "order-42", "2", "12", "--output", "json"]))
        .await
        .exits(0)
        .json();
    let changes = diff["changes"].as_array().expect("rows");
    let of = |key: &str| changes.iter().find(|row| row["key"] == key);
    assert_eq!(of("notes-11").expect("new")["change"], "added");
    assert_eq!(of("notes-1").expect("shorter")["change"], "level");
    assert!(of("ms-1").is_none(), "a pin is given in full to both");
    run(mesh.baton(&["context", "diff", "order-42", "2", "99"]))
        .await
        .exits(3)
        .says(&["no hop 99"]);

    let dir = TempDir::new().expect("folder");
    let folder = dir.path().join("order-42");
    let at = folder.display().to_string();
    let exported = run(mesh.baton(&["context", "export", "order-42", &at, "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(
        (&exported["handoffs"], &exported["links"], &exported["missing"]),
        (&json!(12), &json!(12), &json!([]))
    );
    let content = baton_envelope::ObjectHash::of(notes(1).as_bytes());
    let written = std::fs::read(folder.join("objects").join(content.as_str())).expect("written");
    assert_eq!(written, notes(1).into_bytes());
    run(mesh.baton(&["context", "export", "order-42", &at])).await.exits(4);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_is_a_gap_and_a_pin_that_cannot_be_had_waits() {
    let mesh = TestMesh::start().await;
    let (worker, _) = chain(&mesh, View::trim().tokens(4_000)).await;
    let intent = submit(&mesh, "order-42", "chain").await;
    mesh.until(&intent, "completed", SOON).await;
    let view = view_of(&mesh, &intent, HOPS).await;
    let hash_of = |key: &str| {
        let found = view
            .items
            .iter()
            .find(|(candidate, _)| candidate.memory.key.as_str() == key);
        found.expect("remembered").0.memory.hash.clone()
    };
    let purge = async |key: &str| {
        let subject = format!("mesh.context.{intent}.{}", hash_of(key));
        mesh.server
            .api("STREAM.PURGE.MESH_CONTEXT", &json!({"filter": subject}))
            .await;
    };
    purge("notes-11").await;
    let view = view_of(&mesh, &intent, HOPS).await;
    assert_eq!(view.gaps.len(), 1, "{:?}", view.gaps);
    assert_eq!(view.gaps[0].key.as_str(), "notes-11");
    assert_eq!(view.completeness.requested, view.completeness.resolved + 1);
    assert!(
        view.text
            .contains("- notes-11 observation by chain@1.0.0 (not readable)"),
        "{}",
        view.text
    );
    let verified = run(mesh.baton(&["context", "verify", "order-42"]))
        .await
        .exits(3)
        .stderr;
    assert!(verified.contains("CONTEXT_MISSING"), "{verified}");
    worker.stop().await;
}

/// Remembers, fails once, remembers again.
struct Unlucky(Arc<AtomicBool>);

impl Handler for Unlucky {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        hop.remember(Memory::new("first", Kind::Fact, "one")).await?;
        if !self.0.swap(true, Ordering::SeqCst) {
            return Err(Fault::retry("once"));
        }
        hop.remember(Memory::new("second", Kind::Fact, "two")).await?;
        Outcome::hand_off("reads", &json!("go on"))
    }
}

/// Completes with the keys of its view, in order.
struct Reads;

impl Handler for Reads {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let context = hop.context().await?;
        let keys: Vec<&str> = context.memories().map(|given| given.memory.key.as_str()).collect();
        Outcome::complete(&keys.join(" "))
    }
}

fn builder(name: &str) -> AgentBuilder {
    let policy = RetryPolicy {
        max_attempts: 2,
        unit: std::time::Duration::from_millis(10),
        ..RetryPolicy::default()
    };
    Agent::builder(name, "1.0.0").expect("agent").retry(policy)
}

async fn stored(mesh: &TestMesh) -> u64 {
    let info = mesh.server.api("STREAM.INFO.MESH_CONTEXT", &json!({})).await;
    info["state"]["messages"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_attempt_remembered_is_remembered_once_and_in_order() {
    let mesh = TestMesh::start().await;
    let url = mesh.server.url();
    let unlucky = Running::start(url, builder("unlucky").handler(Unlucky(Arc::default()))).await;
    let reads = Running::start(url, builder("reads").handler(Reads)).await;
    for agent in ["unlucky", "reads"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    let intent = submit(&mesh, "order-42", "unlucky").await;
    let head = mesh.until(&intent, "completed", TAKEOVER).await;
    assert_eq!(result(&head), "first second");
    let history = mesh.history_of(&intent).await;
    assert_eq!(count(&history, "step"), 2, "one record for each memory");
    assert_eq!(stored(&mesh).await, 3, "two memories and one link");
    for worker in [unlucky, reads] {
        worker.stop().await;
    }
}

/// Asks for what no view can be.
struct Asks(View);

impl Handler for Asks {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        hop.remember(Memory::new("large", Kind::Fact, notes(1)).pin()).await?;
        Ok(Outcome::hand_off("reads", &json!("go on"))?.with_context(self.0.clone()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_does_not_fit_parks_the_hop_and_names_its_tokens_and_an_unknown_name_fails_it() {
    let mesh = TestMesh::start().await;
    let url = mesh.server.url();
    let mut workers = vec![Running::start(url, builder("reads").handler(Reads)).await];
    let cases = [
        (
            "small",
            View::trim().tokens(300),
            "parked",
            "CONTEXT_OVERFLOW",
            "memory large ",
        ),
        ("named", View::trim().name("ms-9"), "failed", "BAD_MEMORY", "\"ms-9\""),
    ];
    for (agent, view, ..) in &cases {
        workers.push(Running::start(url, builder(agent).handler(Asks(view.clone()))).await);
    }
    for agent in ["reads", "small", "named"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    for (agent, _, status, code, says) in cases {
        let intent = submit(&mesh, agent, agent).await;
        let head = mesh.until(&intent, status, SOON).await;
        let error = head.record.snapshot.error.as_ref().expect("an error");
        assert_eq!(error.code, code, "{error:?}");
        assert!(error.message.contains(says), "{}", error.message);
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_remembers_and_is_told_its_view() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let first = r#"cat > /dev/null
        echo '{"remember":{"key":"rule","kind":"constraint","content":"never on a Sunday","pinned":true}}'
        echo '{"outcome":"hand_off","to":"second","payload":1,"context":{"tokens":2000}}'"#;
    let second = r#"python3 -c '
import json, sys
told = json.load(sys.stdin)
context = told["context"]
print(json.dumps({"outcome": "complete", "result": {
    "keys": [memory["key"] for memory in context["memories"]], "used": context["used"], "text": context["text"]}}))'"#;
    let _first = worker(&mesh, dir.path(), "first", &["--exec", first, "--json"]).await;
    let _second = worker(&mesh, dir.path(), "second", &["--exec", second, "--json"]).await;
    let intent = submit(&mesh, "order-42", "first").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let told: Value = head
        .record
        .snapshot
        .result
        .as_ref()
        .expect("a result")
        .read()
        .expect("JSON");
    assert_eq!(told["keys"], json!(["rule"]));
    assert!(
        told["text"]
            .as_str()
            .expect("a text")
            .contains("### rule constraint by first@"),
        "{told}"
    );
    assert!(told["used"].as_u64().is_some_and(|used| used <= 2_000), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_without_memories_writes_no_object_and_has_no_context() {
    let mesh = TestMesh::start().await;
    let url = mesh.server.url();
    let reads = Running::start(url, builder("reads").handler(Reads)).await;
    let passes = baton_e2e::chaos::agent("passes", |envelope| async move {
        Outcome::hand_off("reads", &envelope.payload)
    });
    let passes = Running::start(url, passes).await;
    for agent in ["reads", "passes"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    let intent = submit(&mesh, "order-42", "passes").await;
    let head: Head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "");
    let history = mesh.history_of(&intent).await;
    let envelopes = history.iter().filter_map(|head| head.record.envelope.as_ref());
    for envelope in envelopes {
        assert_eq!(EnvelopeContext::of(envelope).expect("read"), EnvelopeContext::default());
        assert!(envelope.context.is_none() && envelope.memory.is_empty());
    }
    assert_eq!(stored(&mesh).await, 0);
    for worker in [reads, passes] {
        worker.stop().await;
    }
}
