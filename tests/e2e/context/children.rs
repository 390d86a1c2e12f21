//! Results of children that are too large for a message: objects, which their parent reads whole where its version takes
//! references, and never gets where it does not.

use baton_agent::{Agent, AgentBuilder, Call, Calls, Fault, Handler, Hop, Joined, Outcome, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, assert_legal};
use baton_e2e::gated::result_as;
use baton_envelope::{Body, IntentId, ObjectHash, ObjectRef, Protocol, ProtocolRange, RECEIVERS, Snapshot, Status};
use baton_jetstream::{ControllerMesh, Head, Moved};
use baton_testkit::eventually;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BEFORE, code, noise, result as body_of};
use crate::nats_cli::{run, worker};

/// How large the results of three children are: each is an object, and the last one has room in no message.
const SIZES: [usize; 3] = [300 * 1024, 700 * 1024, 1 << 20];
/// The most bytes of a record that names objects in place of what is large.
const SMALL: usize = 8_000;

/// What a parent asks, and what it does with that.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Asked {
    sizes: Vec<usize>,
    /// Wait for a signal before it ends: it reads the results once more then.
    #[serde(default)]
    waits: bool,
    /// Take a call that fails for one without results.
    #[serde(default)]
    swallows: bool,
    /// End with a fan-out.
    #[serde(default)]
    fans: bool,
    /// End with a message.
    #[serde(default)]
    sends: bool,
    /// Leave children alone that have not ended.
    #[serde(default)]
    detaches: bool,
}

fn asked(sizes: &[usize]) -> Asked {
    Asked {
        sizes: sizes.to_vec(),
        ..Asked::default()
    }
}

/// A text of this length, other for each.
fn text(bytes: usize) -> String {
    let digits: String = noise(bytes / 2 + 1, bytes as u64)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.chars().take(bytes).collect()
}

/// The length of a text, and its hash.
type Mark = (usize, String);

fn mark(text: &str) -> Mark {
    (text.len(), ObjectHash::of(text.as_bytes()).to_string())
}

fn marks(sizes: &[usize]) -> Vec<Mark> {
    sizes.iter().map(|size| mark(&text(*size))).collect()
}

/// Asks others, and completes with the marks of what they came to.
struct Lead;

impl Handler for Lead {
    type Input = Asked;

    async fn handle(&self, hop: &mut Hop, asked: Asked) -> Result<Outcome, Fault> {
        if asked.sends {
            return Outcome::broadcast("news", &asked.sizes[0])?.to_receivers(["make"]);
        }
        let calls: Result<Vec<Call>, Fault> = asked.sizes.iter().map(|size| Call::new("make", size)).collect();
        let calls = match asked.detaches {
            true => Calls::of(calls?).any().detached(),
            false => Calls::of(calls?),
        };
        if asked.fans {
            return Outcome::fan_out(calls).then("read");
        }
        let joined = match hop.join(calls).await {
            // The suspension is one, too.
            Err(_) if asked.swallows => return Outcome::complete(&"nothing came of it"),
            joined => joined?,
        };
        if asked.waits {
            hop.wait(Wait::signal("go")).await?;
        }
        Outcome::complete(&read(&joined)?)
    }
}

fn read(joined: &Joined) -> Result<Vec<Mark>, Fault> {
    let texts: Result<Vec<String>, Fault> = joined.completed().map(|called| called.result()).collect();
    Ok(texts?.iter().map(|text| mark(text)).collect())
}

/// Completes with a text of the length that it is asked for.
struct Make;

impl Handler for Make {
    type Input = usize;

    async fn handle(&self, _: &mut Hop, bytes: usize) -> Result<Outcome, Fault> {
        Outcome::complete(&text(bytes))
    }
}

/// Completes with the marks of what the children of a fan-out came to.
struct Read;

impl Handler for Read {
    type Input = Joined;

    async fn handle(&self, _: &mut Hop, joined: Joined) -> Result<Outcome, Fault> {
        Outcome::complete(&read(&joined)?)
    }
}

fn agent(name: &str, version: &str) -> AgentBuilder {
    Agent::builder(name, version).expect("agent")
}

/// What a version of before 1.7 reads.
fn of_before() -> ProtocolRange {
    ProtocolRange::new(Protocol::new(1, 0, 0), BEFORE).expect("a range")
}

async fn started(mesh: &TestMesh, name: &str, builder: AgentBuilder) -> Running {
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    running
}

async fn lead(mesh: &TestMesh) -> Running {
    started(mesh, "lead", agent("lead", "1.0.0").handler(Lead)).await
}

async fn make(mesh: &TestMesh) -> Running {
    started(mesh, "make", agent("make", "1.0.0").handler(Make)).await
}

async fn submit(mesh: &TestMesh, id: &str, asked: &Asked) -> IntentId {
    mesh.submit(id, "lead", &serde_json::to_string(asked).expect("JSON"))
        .await
}

/// The child at a place in the call of a parent.
fn child(parent: &IntentId, index: u32) -> IntentId {
    IntentId::of_child(parent, 1, "calls", index)
}

fn object(of: &Snapshot) -> &ObjectRef {
    assert_eq!(of.result, None, "never both");
    of.result_ref.as_deref().expect("an object")
}

async fn are_small(mesh: &TestMesh, intent: &IntentId) {
    for head in mesh.history_of(intent).await {
        let size = serde_json::to_vec(&head.record).expect("JSON").len();
        assert!(size < SMALL, "{intent}: {}: {size} bytes", head.record.event.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_gets_the_large_results_of_its_children_whole_and_no_record_is_large() {
    let mesh = TestMesh::start().await;
    let (make, lead_of_before) = (make(&mesh).await, lead(&mesh).await);
    let ask = Asked {
        waits: true,
        ..asked(&SIZES)
    };
    let intent = submit(&mesh, "order-42", &ask).await;
    let head = mesh.until(&child(&intent, 2), "completed", SOON).await;
    assert_eq!(object(&head.record.snapshot).bytes, SIZES[2] as u64);
    // The handler has read them, and waits on. Another process begins from its first line, and reads them again.
    eventually("it waits for the signal", SOON, async || {
        let head = mesh.head_of(&intent).await;
        let waits = &head.record.snapshot.waits;
        match waits.iter().any(|wait| wait.name == "go") {
            true => Ok(()),
            false => Err(format!("{} {waits:?}", head.record.snapshot.status)),
        }
    })
    .await;
    lead_of_before.stop().await;
    let subject = format!("mesh.signal.{intent}.go");
    mesh.mesh
        .publish_raw(subject, Vec::new(), "".into())
        .await
        .expect("stored");
    let lead = lead(&mesh).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<Vec<Mark>>(&head), marks(&SIZES));
    assert_legal(&mesh.history_of(&intent).await);
    are_small(&mesh, &intent).await;
    for (index, size) in (0..).zip(SIZES) {
        let child = child(&intent, index);
        let head = mesh.head_of(&child).await;
        assert_eq!(object(&head.record.snapshot).bytes, size as u64);
        assert_eq!(
            body_of(&mesh, &head).await,
            Body::from(baton_envelope::Json::string(&text(size)))
        );
        are_small(&mesh, &child).await;
    }

    // The commands name what is not in a record, and how to get it.
    let tree = run(mesh.baton(&["intents", "tree", "order-42", "--output", "json"]));
    let tree = tree.await.exits(0).json();
    let shown = &tree["calls"][0]["children"][0];
    assert_eq!(shown["result_ref"]["bytes"], json!(SIZES[0]), "{shown}");
    assert_eq!(shown.get("result"), None);
    let told = run(mesh.baton(&["intents", "tree", "order-42"])).await.exits(0).stdout;
    let place = format!("an object of {} bytes; baton context get order-42/", SIZES[0]);
    assert!(told.contains(&place), "{told}");
    let told = run(mesh.baton(&["intents", "get", child(&intent, 0).as_str()]));
    let told = told.await.exits(0).stdout;
    assert!(told.contains("baton context get order-42/"), "{told}");
    lead.stop().await;
    make.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_larger_than_the_limit_stands_in_the_record_of_the_child() {
    let mesh = TestMesh::start().await;
    let workers = [make(&mesh).await, lead(&mesh).await];
    let sizes = [60_000, 65_534, 65_535];
    let intent = submit(&mesh, "small", &asked(&sizes)).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<Vec<Mark>>(&head), marks(&sizes));
    let mut by_ref = Vec::new();
    for index in 0..3 {
        let head = mesh.head_of(&child(&intent, index)).await;
        by_ref.push(head.record.snapshot.result_ref.is_some());
    }
    // With its quotes the last one has more than 64 KiB.
    assert_eq!(by_ref, [false, false, true]);
    for worker in workers {
        worker.stop().await;
    }
}

/// A parent of before 1.7 would read nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_reads_no_references_gets_its_results_inline_and_what_has_no_room_is_parked() {
    let mesh = TestMesh::start().await;
    let make = make(&mesh).await;
    let builder = agent("lead", "1.0.0").handler(Lead).protocol(of_before());
    let lead = started(&mesh, "lead", builder).await;
    let intent = submit(&mesh, "older", &asked(&SIZES[..2])).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<Vec<Mark>>(&head), marks(&SIZES[..2]));
    for index in 0..2 {
        let snapshot = mesh.head_of(&child(&intent, index)).await.record.snapshot;
        assert_eq!((snapshot.result.is_some(), snapshot.result_ref), (true, None));
    }
    assert_eq!(super::stored(&mesh).await, 0);
    let intent = submit(&mesh, "too-large", &asked(&SIZES[2..])).await;
    let head = mesh.until(&child(&intent, 0), "parked", SOON).await;
    assert!(code(&head).starts_with("PAYLOAD_TOO_LARGE"), "{}", code(&head));
    lead.stop().await;
    make.stop().await;
}

/// A parent whose children have ended, and which nobody has run since.
async fn joined_by_nobody(mesh: &TestMesh, id: &str, ask: &Asked) -> IntentId {
    make(mesh).await.stop().await;
    let lead = lead(mesh).await;
    let intent = submit(mesh, id, ask).await;
    mesh.until(&intent, "waiting", SOON).await;
    lead.stop().await;
    let make = make(mesh).await;
    mesh.until(&intent, "pending", SOON).await;
    make.stop().await;
    intent
}

async fn purged(mesh: &TestMesh, intent: &IntentId) {
    let purged = ControllerMesh::of(&mesh.mesh).purge_objects(intent).await;
    purged.expect("purged");
}

/// Whatever the handler makes of it, no outcome counts that was made without what the children came to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_whose_results_are_gone_is_parked_and_goes_on_when_they_are_back() {
    let mesh = TestMesh::start().await;
    for (id, swallows) in [("told", false), ("swallowed", true)] {
        let ask = Asked {
            swallows,
            ..asked(&SIZES[..2])
        };
        let intent = joined_by_nobody(&mesh, id, &ask).await;
        let there = object(&mesh.head_of(&child(&intent, 1)).await.record.snapshot).clone();
        purged(&mesh, &intent).await;
        let lead = lead(&mesh).await;
        let parked = mesh.until(&intent, "parked", SOON).await;
        let said = code(&parked);
        assert!(said.starts_with("CONTEXT_MISSING"), "{said}");
        for size in &SIZES[..2] {
            let content = Body::from(baton_envelope::Json::string(&text(*size)));
            let content = content.content().expect("content");
            let put = mesh.mesh.put_object(&intent, content.bytes.into(), content.media);
            let put = put.await.expect("stored");
            assert!(*size != SIZES[1] || put == there, "{put} and {there}");
        }
        mesh.redrive(&intent, &[]).await;
        let head = mesh.until(&intent, "completed", SOON).await;
        assert_eq!(result_as::<Vec<Mark>>(&head), marks(&SIZES[..2]));
        assert_legal(&mesh.history_of(&intent).await);
        lead.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_in_the_place_of_a_result_reaches_no_parent() {
    let mesh = TestMesh::start().await;
    let intent = joined_by_nobody(&mesh, "junk", &asked(&[100_000])).await;
    let there = object(&mesh.head_of(&child(&intent, 0)).await.record.snapshot).clone();
    purged(&mesh, &intent).await;
    let client = mesh.server.client().await;
    let subject = format!("mesh.context.junk.{}", there.hash);
    client.request(subject, "junk".into()).await.expect("stored");
    let lead = lead(&mesh).await;
    let parked = mesh.until(&intent, "parked", SOON).await;
    assert!(code(&parked).starts_with("CONTEXT_CORRUPT"), "{}", code(&parked));
    lead.stop().await;
}

/// Neither while it waits nor once it has gone on: the results are in the records of its children for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_that_has_called_goes_to_no_version_that_reads_no_references() {
    let mesh = TestMesh::start().await;
    let intent = joined_by_nobody(&mesh, "moved", &asked(&SIZES[..1])).await;
    let old = agent("lead", "0.9.0").handler(Lead).protocol(of_before());
    let old = Running::start(mesh.server.url(), old).await;
    mesh.until_version_is("lead", "0.9.0", "ready").await;
    let newer = Running::start(mesh.server.url(), agent("lead", "1.1.0").handler(Lead)).await;
    mesh.until_version_is("lead", "1.1.0", "ready").await;
    let by = baton_envelope::Author::of(baton_envelope::Role::Operator, "test");
    let controller = ControllerMesh::of(&mesh.mesh);
    let to = |version: &str| {
        let (name, from) = ("lead".parse().expect("a name"), "1.0.0".parse().expect("a version"));
        let to = version.parse().expect("a version");
        let (controller, intent, by) = (&controller, &intent, &by);
        async move { controller.move_intent(intent, &name, &from, &to, by).await }
    };
    let refused = to("0.9.0").await.expect_err("it reads no references");
    assert_eq!(refused.code(), "NO_COMMON_PROTOCOL", "{refused}");
    let moved = to("1.1.0").await;
    assert!(matches!(moved, Ok(Moved::Done { .. })), "{moved:?}");
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(head.record.snapshot.version, Some("1.1.0".parse().expect("a version")));
    assert_eq!(result_as::<Vec<Mark>>(&head), marks(&SIZES[..1]));

    // What is parked goes back to no such version either.
    newer.stop().await;
    let intent = joined_by_nobody(&mesh, "redriven", &asked(&SIZES[..1])).await;
    purged(&mesh, &intent).await;
    let lead = lead(&mesh).await;
    mesh.until(&intent, "parked", SOON).await;
    let refused = mesh
        .run_baton(&["dead", "redrive", "redriven", "--version", "0.9.0"])
        .await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("NO_COMMON_PROTOCOL"),
        "{said}"
    );
    lead.stop().await;
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_out_hands_on_large_results_and_a_message_is_done_with_them() {
    let mesh = TestMesh::start().await;
    let reader = started(&mesh, "read", agent("read", "1.0.0").handler(Read)).await;
    let workers = [make(&mesh).await, lead(&mesh).await, reader];
    let fan = Asked {
        fans: true,
        ..asked(&SIZES)
    };
    let intent = submit(&mesh, "fanned", &fan).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<Vec<Mark>>(&head), marks(&SIZES));
    are_small(&mesh, &intent).await;

    // No hop goes on with what a copy comes to.
    let send = Asked {
        sends: true,
        ..asked(&SIZES[2..])
    };
    let intent = submit(&mesh, "sent", &send).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<Value>(&head)["completed"], 1);
    let copy = mesh.head_of(&IntentId::of_child(&intent, 1, RECEIVERS, 0)).await;
    assert_eq!(object(&copy.record.snapshot).bytes, SIZES[2] as u64);

    // The first that ends is enough, and the rest is left alone: nobody reads what it comes to but whoever looks.
    let leave = Asked {
        detaches: true,
        ..asked(&SIZES)
    };
    let intent = submit(&mesh, "left", &leave).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let all = marks(&SIZES);
    let got = result_as::<Vec<Mark>>(&head);
    assert!(!got.is_empty() && got.iter().all(|one| all.contains(one)), "{got:?}");
    for (index, size) in (0..).zip(SIZES) {
        let head: Head = mesh.until(&child(&intent, index), "completed", SOON).await;
        assert_eq!(object(&head.record.snapshot).bytes, size as u64);
    }
    for worker in workers {
        worker.stop().await;
    }
}

/// A program gets them on stdin, and one that knows nothing of any of it makes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_gets_the_large_results_of_its_children_on_stdin() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("a folder"));
    let program = r#"
import json, sys
told = json.load(sys.stdin)
waits = told.get("waits", {})
if "calls" in waits:
    results = [child["result"] for child in waits["calls"]["children"]]
    print(json.dumps({"outcome": "complete", "result": [[len(text), text[:1], text == text[:1] * len(text)] for text in results]}))
else:
    print(json.dumps({"wait": {"name": "calls", "to": "shout", "children": [{"payload": "a"}, {"payload": "b"}]}}))
"#;
    std::fs::write(dir.path().join("asks.py"), program).expect("written");
    let exec = format!("python3 {}", dir.path().join("asks.py").display());
    let shout = r#"python3 -c 'import sys; sys.stdout.write(sys.stdin.read().strip() * 1500000)'"#;
    let workers = [
        worker(&mesh, dir.path(), "shout", &["--exec", shout]).await,
        worker(&mesh, dir.path(), "asks", &["--exec", &exec, "--json"]).await,
    ];
    let intent = mesh.submit("program", "asks", "1").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let expected = json!([[1_500_000, "a", true], [1_500_000, "b", true]]);
    assert_eq!(result_as::<Value>(&head), expected);
    let child = mesh.head_of(&child(&intent, 0)).await;
    assert_eq!(object(&child.record.snapshot).bytes, 1_500_000);
    assert!(matches!(child.record.snapshot.status, Status::Completed));
    are_small(&mesh, &intent).await;
    drop(workers);
}
