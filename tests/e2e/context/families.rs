//! What a parent remembers reaches its children, and what they remember reaches whoever comes after their parent.

use baton_agent::{Agent, Call, Calls, Fault, Handler, Hop, Kind, Memory, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, assert_legal, count};
use baton_e2e::gated::{result, result_as};
use baton_envelope::context::{EnvelopeContext, Reach};
use baton_envelope::{Event, IntentId, RECEIVERS};
use baton_jetstream::Head;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_cli::{run, worker};

/// The keys of the view of a hop, in the order of the chain.
async fn keys(hop: &mut Hop) -> Result<String, Fault> {
    let context = hop.context().await?;
    let keys: Vec<&str> = context.memories().map(|given| given.memory.key.as_str()).collect();
    assert!(context.used() <= context.budget());
    Ok(keys.join(" "))
}

fn fact(key: &str) -> Memory {
    Memory::new(key, Kind::Fact, format!("what {key} is about"))
}

/// Remembers, asks, remembers again, asks once more, and hands on.
struct Lead;

impl Handler for Lead {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, _: Value) -> Result<Outcome, Fault> {
        hop.remember(Memory::new("rule", Kind::Decision, "Never on a Sunday.").pin())
            .await?;
        let calls: Result<Vec<Call>, Fault> = ["a", "b", "bad"].iter().map(|word| Call::new("help", word)).collect();
        let first = hop.call_all(calls?).await?;
        hop.remember(fact("between")).await?;
        let second = hop.call("help", &"c").await?;
        let said: Vec<String> = first
            .iter()
            .chain([&second])
            .map(|called| called.json().read().unwrap_or_default())
            .collect();
        assert_eq!(
            hop.context().await?.memories().count(),
            0,
            "the first hop was given nothing"
        );
        Outcome::hand_off("report", &said)
    }
}

/// Looks at what it is given, remembers its payload, and completes with the keys of its view.
struct Help;

impl Handler for Help {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, word: String) -> Result<Outcome, Fault> {
        let given = keys(hop).await?;
        let text = hop.context().await?.text().to_owned();
        assert!(text.contains("Never on a Sunday."), "{text}");
        hop.remember(fact(&word)).await?;
        match word.as_str() {
            "bad" => Err(Fault::terminal("NO_WAY", "bad")),
            _ => Outcome::complete(&given),
        }
    }
}

/// Completes with what it gets, and with the keys of its view.
struct Report;

impl Handler for Report {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, got: Value) -> Result<Outcome, Fault> {
        let keys = keys(hop).await?;
        Outcome::complete(&json!({"got": got, "keys": keys}))
    }
}

async fn started(mesh: &TestMesh, workers: Vec<(&str, baton_agent::AgentBuilder)>) -> Vec<Running> {
    let mut running = Vec::new();
    for (name, builder) in workers {
        running.push(Running::start(mesh.server.url(), builder).await);
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    running
}

async fn stop(workers: Vec<Running>) {
    for worker in workers {
        worker.stop().await;
    }
}

fn agent(name: &str) -> baton_agent::AgentBuilder {
    Agent::builder(name, "1.0.0").expect("agent")
}

/// What the envelope of the last hop says of its context.
fn handed_on(history: &[Head]) -> EnvelopeContext {
    let envelope = history.iter().rev().find_map(|head| head.record.envelope.as_ref());
    EnvelopeContext::of(envelope.expect("an envelope")).expect("read")
}

/// Remembers, asks in vain, remembers again, and completes.
struct Vain;

impl Handler for Vain {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, _: Value) -> Result<Outcome, Fault> {
        hop.remember(Memory::new("rule", Kind::Decision, "Never on a Sunday.").pin())
            .await?;
        hop.call("help", &"bad").await?;
        hop.remember(fact("after")).await?;
        Outcome::complete(&"done")
    }
}

/// None of the children has completed, so nothing of theirs leads to the link of the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hop_remembers_after_a_call_in_vain_stands_behind_the_link_of_the_call() {
    let mesh = TestMesh::start().await;
    let workers = vec![
        ("help", agent("help").handler(Help)),
        ("vain", agent("vain").handler(Vain)),
    ];
    let workers = started(&mesh, workers).await;
    let intent = mesh.submit("order-43", "vain", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let context = head.record.snapshot.context.expect("a context");
    let context: EnvelopeContext = context.read().expect("read");
    assert_eq!((context.links, context.memories), (2, 2));
    let newest = context.head.expect("a link");
    let chain = mesh
        .mesh
        .context_chain(&intent, std::slice::from_ref(&newest), Reach::First)
        .await
        .expect("the chain");
    let links: Vec<(u32, Vec<&str>)> = chain
        .links()
        .map(|(_, link)| {
            (
                link.depth,
                link.memories.iter().map(|memory| memory.key.as_str()).collect(),
            )
        })
        .collect();
    assert_eq!(links, [(1, vec!["rule"]), (2, vec!["after"])]);
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_begin_with_what_their_parent_remembers_and_its_next_hop_has_what_they_remembered() {
    let mesh = TestMesh::start().await;
    let workers = vec![
        ("help", agent("help").handler(Help)),
        ("report", agent("report").handler(Report)),
        ("lead", agent("lead").handler(Lead)),
    ];
    let workers = started(&mesh, workers).await;
    let intent = mesh.submit("order-42", "lead", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    let told: Value = result_as(&head);
    // The second call finds what the first one came to, too; the child that failed has added nothing.
    assert_eq!(told["got"], json!(["rule", "rule", "", "rule a b between"]));
    assert_eq!(told["keys"], "rule a b between c");

    // Each memory is linked once: the link of the call has what was remembered before it.
    let context = handed_on(&history);
    assert_eq!(context.memories, 5);
    assert_eq!(context.unlinked, 0);
    let opened = history.iter().find(|head| head.record.event == Event::FannedOut);
    let call = opened.expect("a call").record.waits[0]
        .children
        .clone()
        .expect("children");
    let begins: EnvelopeContext = call.context.expect("a context").read().expect("read");
    assert_eq!((begins.memories, begins.links, begins.view), (1, 1, None));
    let child = IntentId::of_child(&intent, 1, "calls", 0);
    let ended = mesh.mesh.head(&child).await.expect("read").expect("the child").record;
    let left: EnvelopeContext = ended.snapshot.context.expect("a context").read().expect("read");
    assert_eq!((left.memories, left.links), (2, 2));

    let verified = run(mesh.baton(&["context", "verify", "order-42"]))
        .await
        .exits(0)
        .stdout;
    assert!(verified.contains("5 links, 5 memories"), "{verified}");
    // The child is of the same tree, and its view is shown as it was made.
    let shown = run(mesh.baton(&["context", "show", child.as_str(), "--output", "json"]));
    let shown = shown.await.exits(0).json();
    assert_eq!(shown["memories"][0]["key"], "rule");
    assert!(shown["used"].as_u64() > Some(0), "{shown}");
    stop(workers).await;
}

/// Remembers, and ends with what its payload says: a fan-out or a message.
struct Ends;

impl Handler for Ends {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, word: String) -> Result<Outcome, Fault> {
        hop.remember(Memory::new("rule", Kind::Decision, "Never on a Sunday.").pin())
            .await?;
        match word.as_str() {
            "fan" => Outcome::fan_out(Calls::of([Call::new("help", "a")?, Call::new("help", "b")?])).then("report"),
            _ => Outcome::broadcast("news", "a")?.to_receivers(["help"]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_out_and_a_message_carry_what_is_remembered() {
    let mesh = TestMesh::start().await;
    let workers = vec![
        ("help", agent("help").handler(Help)),
        ("report", agent("report").handler(Report)),
        ("ends", agent("ends").handler(Ends)),
    ];
    let workers = started(&mesh, workers).await;
    let fanned = mesh.submit("order-42", "ends", r#""fan""#).await;
    let head = mesh.until(&fanned, "completed", SOON).await;
    assert_eq!(result_as::<Value>(&head)["keys"], "rule a b");
    let sent = mesh.submit("order-43", "ends", r#""send""#).await;
    mesh.until(&sent, "completed", SOON).await;
    let copy = IntentId::of_child(&sent, 1, RECEIVERS, 0);
    let head = mesh.mesh.head(&copy).await.expect("read").expect("the copy");
    assert_eq!(result(&head), "rule");
    // The message has what its sender remembered.
    let verified = run(mesh.baton(&["context", "verify", "order-43"]))
        .await
        .exits(0)
        .stdout;
    assert!(verified.contains("1 link, 1 memory"), "{verified}");
    stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_ask_with_what_they_remember() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let lead = r#"python3 -c '
import json, sys
told = json.load(sys.stdin)
print(json.dumps({"remember": {"key": "rule", "kind": "constraint", "content": "never on a Sunday", "pinned": True}}))
if "calls" in told.get("waits", {}):
    print(json.dumps({"outcome": "hand_off", "to": "report", "payload": 1}))
else:
    calls = [{"to": "help", "payload": "a"}, {"to": "help", "payload": "b"}]
    print(json.dumps({"wait": {"name": "calls", "children": calls}}))'"#;
    let help = r#"python3 -c '
import json, sys
told = json.load(sys.stdin)
keys = [memory["key"] for memory in told["context"]["memories"]]
print(json.dumps({"remember": {"key": told["payload"], "kind": "fact", "content": "found"}}))
print(json.dumps({"outcome": "complete", "result": keys}))'"#;
    let report = r#"python3 -c '
import json, sys
told = json.load(sys.stdin)
print(json.dumps({"outcome": "complete", "result": [memory["key"] for memory in told["context"]["memories"]]}))'"#;
    let mut workers = Vec::new();
    for (name, program) in [("help", help), ("report", report), ("lead", lead)] {
        workers.push(worker(&mesh, dir.path(), name, &["--exec", program, "--json"]).await);
    }
    let intent = mesh.submit("order-42", "lead", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<Value>(&head), json!(["rule", "a", "b"]));
    let history = mesh.history_of(&intent).await;
    assert_eq!(
        count(&history, "step"),
        1,
        "what is remembered again is the same memory"
    );
}
