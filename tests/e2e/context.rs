//! Payloads and results that are objects: byte for byte through every door, also past agents that know of none; and what
//! becomes of work whose objects are gone.

mod archived;
mod children;
mod cut;
mod families;
mod gaps;
mod search;
mod spaces;
mod steps;
mod tasks;
mod views;

use std::path::Path;
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, TAKEOVER};
use baton_envelope::{Author, Body, Envelope, Event, IntentId, Json, ObjectRef, Protocol, ProtocolRange, Role, Status};
use baton_jetstream::{ControllerMesh, Head, Submitted};
use baton_testkit::{Proxy, eventually};
use futures::StreamExt as _;
use serde_json::json;
use tempfile::TempDir;

use crate::nats_cli::{LONG, publish, run, worker};

/// The newest version of the protocol whose readers take no payload by reference.
const BEFORE: Protocol = Protocol::new(1, 6, 0);

fn id(text: &str) -> IntentId {
    text.parse().expect("intent id")
}

/// Bytes of any kind, other for each seed; a few of them are no UTF-8.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend(state.to_le_bytes());
    }
    all.truncate(bytes);
    all
}

/// A string in JSON whose length is this.
fn text_of(bytes: usize) -> Json {
    Json::string(&"o".repeat(bytes - 2))
}

/// Hands on what it gets to the agents that it knows, and completes with it where it knows none.
struct Link(Option<&'static str>);

impl Handler for Link {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        // A handler sees no difference: the content is the payload, also in the document.
        let document: Envelope = hop.document().read().expect("an envelope");
        assert_eq!(document.payload, payload);
        assert_eq!(
            (hop.envelope().payload_ref.as_ref(), document.payload_ref.as_ref()),
            (None, None)
        );
        match self.0 {
            Some(to) => Outcome::hand_off(to, &payload),
            None => Outcome::complete(&payload),
        }
    }
}

async fn link(mesh: &TestMesh, name: &str, newest: Protocol, to: Option<&'static str>) -> Running {
    let range = ProtocolRange::new(Protocol::new(1, 0, 0), newest).expect("range");
    let builder = Agent::builder(name, "1.0.0").expect("agent").protocol(range);
    Running::start(mesh.server.url(), builder.handler(Link(to))).await
}

fn newest() -> Protocol {
    baton_envelope::PROTOCOL
}

async fn submit(mesh: &TestMesh, id: &str, to: &str, payload: Json) -> IntentId {
    let envelope = Envelope::first(
        mesh.mesh.clock().envelope_id(),
        id.parse().expect("id"),
        to.parse().expect("agent"),
        payload,
    );
    mesh.submit_envelope(envelope).await
}

/// The references to the payloads of an intent, by hop; `None` where the payload is inline.
async fn payloads(mesh: &TestMesh, intent: &IntentId) -> Vec<(u32, Option<ObjectRef>)> {
    let history = mesh.history_of(intent).await;
    let envelopes = history.iter().filter_map(|head| head.record.envelope.as_ref());
    envelopes
        .map(|envelope| (envelope.hop, envelope.payload_ref.as_deref().cloned()))
        .collect()
}

async fn result(mesh: &TestMesh, head: &Head) -> Body {
    let result = mesh.mesh.result_body(&head.record.intent, &head.record.snapshot).await;
    result.expect("read").expect("a result")
}

async fn stored(mesh: &TestMesh) -> u64 {
    let info = mesh.server.api("STREAM.INFO.MESH_CONTEXT", &json!({})).await;
    info["state"]["messages"].as_u64().expect("a number")
}

fn code(head: &Head) -> String {
    let error = head.record.snapshot.error.as_ref();
    error
        .map(|error| format!("{}: {}", error.code, error.message))
        .unwrap_or_default()
}

/// The largest payload that there is, from a file, by four programs that know nothing of objects, into a file.
#[tokio::test(flavor = "multi_thread")]
async fn file_of_64_mib_goes_through_four_agents_and_back_byte_for_byte() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let agents = ["one", "two", "three", "four"];
    let mut workers = Vec::new();
    for agent in agents {
        workers.push(worker(&mesh, dir.path(), agent, &["--exec", "cat"]).await);
    }
    let content = noise(64 << 20, 1);
    let file = dir.path().join("large.bin");
    std::fs::write(&file, &content).expect("written");
    let path = file.display().to_string();
    let mut send = mesh.baton(&[
        "send",
        "one",
        "--payload-file",
        &path,
        "--itinerary",
        "two,three,four",
        "--id",
        "large",
        "--wait",
        "--timeout",
        "4m",
    ]);
    let output = tokio::task::spawn_blocking(move || send.output())
        .await
        .expect("joined")
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == content, "{} bytes came back", output.stdout.len());

    let large = id("large");
    let refs = payloads(&mesh, &large).await;
    assert_eq!(refs.len(), 4);
    let first = refs[0].1.clone().expect("a reference");
    assert_eq!(
        (first.bytes, first.media.as_deref()),
        (64 << 20, Some("application/octet-stream"))
    );
    assert!(
        refs.iter().all(|(_, object)| object.as_ref() == Some(&first)),
        "{refs:?}"
    );
    // Stored once: 256 pieces and the list of them.
    assert_eq!(stored(&mesh).await, 257);
    // No record is large.
    for head in mesh.history_of(&large).await {
        let size = serde_json::to_vec(&head.record).expect("JSON").len();
        assert!(size < 8_000, "{}: {size} bytes", head.record.event.name());
    }
    let copy = dir.path().join("copy.bin");
    let place = format!("large/{}", first.hash);
    let copied = copy.display().to_string();
    run(mesh.baton(&["context", "get", &place, "-o", &copied]))
        .await
        .exits(0);
    assert!(std::fs::read(&copy).expect("read") == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_above_the_limit_goes_out_of_line_and_what_is_not_costs_nothing() {
    let mesh = TestMesh::start().await;
    let _first = link(&mesh, "first", newest(), Some("last")).await;
    let _last = link(&mesh, "last", newest(), None).await;
    let at = submit(&mesh, "at", "first", text_of(64 * 1024)).await;
    let head = mesh.until(&at, "completed", SOON).await;
    assert_eq!(head.record.snapshot.result, Some(text_of(64 * 1024)));
    assert_eq!(payloads(&mesh, &at).await, [(1, None), (2, None)]);
    assert_eq!(stored(&mesh).await, 0);

    let above = submit(&mesh, "above", "first", text_of(64 * 1024 + 1)).await;
    let head = mesh.until(&above, "completed", SOON).await;
    assert_eq!(head.record.snapshot.result, None);
    assert_eq!(result(&mesh, &head).await, text_of(64 * 1024 + 1).into());
    let refs = payloads(&mesh, &above).await;
    assert!(refs.iter().all(|(_, object)| object.is_some()), "{refs:?}");
    // The payload of both hops and the result are the same content.
    assert_eq!(stored(&mesh).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spelling_of_a_large_payload_survives_and_so_does_what_is_no_json() {
    let mesh = TestMesh::start().await;
    let _first = link(&mesh, "first", newest(), Some("last")).await;
    let _last = link(&mesh, "last", newest(), None).await;
    let filling = "1.50, ".repeat(20_000);
    let odd = format!("{{ \"b\" : [{filling}1e2], \"a\":\"\\u00e4\", \"a\": 100000000000000000000000000001 }}");
    let spelt = submit(&mesh, "spelt", "first", Json::parse(&odd).expect("JSON")).await;
    let head = mesh.until(&spelt, "completed", SOON).await;
    assert_eq!(result(&mesh, &head).await.json.get(), odd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_of_the_version_before_gets_its_payload_inline_and_loses_nothing() {
    let mesh = TestMesh::start().await;
    let _first = link(&mesh, "first", newest(), Some("old")).await;
    let _old = link(&mesh, "old", BEFORE, Some("last")).await;
    let _last = link(&mesh, "last", newest(), None).await;
    let payload = text_of(300_000);
    let intent = submit(&mesh, "mixed", "first", payload.clone()).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&mesh, &head).await, payload.into());
    let by_ref: Vec<(u32, bool)> = payloads(&mesh, &intent)
        .await
        .into_iter()
        .map(|(hop, object)| (hop, object.is_some()))
        .collect();
    assert_eq!(by_ref, [(1, true), (2, false), (3, true)]);

    // What no message has room for waits for a person, who is told what to do.
    let large = submit(&mesh, "too-large", "first", text_of(3_000_000)).await;
    let parked = mesh.until(&large, "parked", SOON).await;
    let said = code(&parked);
    assert!(
        said.starts_with("PAYLOAD_TOO_LARGE") && said.contains("old@1.0.0") && said.contains("1.7.0"),
        "{said}"
    );
    let refused = mesh
        .mesh
        .submit(
            mesh.envelope("direct", "old", text_of(3_000_000).get()),
            Author::of(Role::Client, "test"),
        )
        .await;
    assert_eq!(refused.expect_err("too large").code(), "PAYLOAD_TOO_LARGE");
}

/// Nobody runs it, nobody repeats it, and once the object is back it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_whose_payload_is_gone_is_parked_and_goes_on_when_it_is_back() {
    let mesh = TestMesh::start().await;
    let agent = link(&mesh, "last", newest(), None).await;
    let warm = submit(&mesh, "warm", "last", Json::string("x")).await;
    mesh.until(&warm, "completed", SOON).await;
    agent.stop().await;
    let payload = Body::from(text_of(700_000));
    let intent = submit(&mesh, "gone", "last", payload.json.clone()).await;
    let there = payloads(&mesh, &intent).await[0].1.clone().expect("a reference");
    ControllerMesh::of(&mesh.mesh)
        .purge_objects(&intent)
        .await
        .expect("purged");

    let _agent = link(&mesh, "last", newest(), None).await;
    let parked = mesh.until(&intent, "parked", SOON).await;
    let said = code(&parked);
    assert!(
        said.starts_with("CONTEXT_MISSING") && said.contains(there.hash.as_str()),
        "{said}"
    );
    assert_eq!(mesh.events_of(&intent).await, ["submitted", "parked"]);
    let listed = run(mesh.baton(&["context", "list", "gone", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(listed["objects"][0]["is_there"], false, "{listed}");

    let content = payload.content().expect("content");
    let again = mesh
        .mesh
        .put_object(&intent, content.bytes.into(), content.media)
        .await
        .expect("put");
    assert_eq!(again, there);
    mesh.redrive(&intent, &[]).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&mesh, &head).await, payload);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_in_the_place_of_a_payload_reaches_no_handler() {
    let mesh = TestMesh::start().await;
    let agent = link(&mesh, "last", newest(), None).await;
    agent.stop().await;
    let intent = submit(&mesh, "junk", "last", text_of(100_000)).await;
    let there = payloads(&mesh, &intent).await[0].1.clone().expect("a reference");
    ControllerMesh::of(&mesh.mesh)
        .purge_objects(&intent)
        .await
        .expect("purged");
    let client = mesh.server.client().await;
    let subject = format!("mesh.context.junk.{}", there.hash);
    client.request(subject, "junk".into()).await.expect("stored");
    let _agent = link(&mesh, "last", newest(), None).await;
    let parked = mesh.until(&intent, "parked", SOON).await;
    assert!(code(&parked).starts_with("CONTEXT_CORRUPT"), "{}", code(&parked));
}

/// The process dies when what it hands on is stored and its record is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_that_dies_between_the_object_and_the_record_leaves_one_of_each() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _last = link(&mesh, "last", newest(), None).await;
    let proxy = Proxy::start(mesh.server.url()).await;
    let program = "tr a-z A-Z";
    let mut arguments = mesh.baton(&["worker", "--agent", "shout", "--version", "1.0.0", "--exec", program]);
    arguments.env("BATON_SERVER", proxy.url());
    let mut first = baton_testkit::ProcessGuard::spawn("first", arguments, dir.path());
    let large = |name: &str| {
        let mut envelope = mesh.envelope(name, "shout", text_of(600_000).get());
        envelope.itinerary = vec!["last".parse().expect("agent")];
        envelope
    };
    let warm = mesh.submit_envelope(large("warm")).await;
    mesh.until(&warm, "completed", SOON).await;
    // The pieces of what came, those of what goes, and their lists.
    let all = mesh.mesh.objects_of(&warm).await.expect("listed").len();

    proxy.drop_publishes("mesh.ledger.");
    let intent = mesh.submit_envelope(large("crash")).await;
    eventually("what is handed on is stored", LONG, async || {
        match mesh.mesh.objects_of(&intent).await.expect("listed").len() {
            count if count == all => Ok(()),
            count => Err(format!("{count} of {all} messages")),
        }
    })
    .await;
    first.kill();
    assert_eq!(mesh.events_of(&intent).await, ["submitted"]);
    let before = mesh.mesh.objects_of(&intent).await.expect("listed");
    let _second = worker(&mesh, dir.path(), "shout", &["--exec", program]).await;
    let head = mesh.until(&intent, "completed", 2 * TAKEOVER).await;
    assert_eq!(
        result(&mesh, &head).await,
        Json::string(&"O".repeat(600_000 - 2)).into()
    );
    assert_eq!(
        mesh.mesh.objects_of(&intent).await.expect("listed"),
        before,
        "nothing is stored twice"
    );
    let history = mesh.history_of(&intent).await;
    let handed = history
        .iter()
        .filter(|head| head.record.event == Event::HandedOff)
        .count();
    assert_eq!(handed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_intent_is_moved_out_by_the_router_and_a_large_answer_is_a_reference() {
    let mesh = TestMesh::start().await;
    let _last = link(&mesh, "last", newest(), None).await;
    let warm = submit(&mesh, "warm", "last", Json::string("x")).await;
    mesh.until(&warm, "completed", SOON).await;
    let client = mesh.server.client().await;
    let mut answers = client.subscribe("answers.>".to_owned()).await.expect("subscribed");
    client.flush().await.expect("flushed");
    for (name, size, by_ref) in [("small", 200_000, false), ("large", 500_000, true)] {
        let reply_to = format!("answers.{name}");
        let headers = [("Baton-Intent", name), ("Baton-Reply-To", reply_to.as_str())];
        let body = "y".repeat(size);
        publish(&mesh.server, "mesh.intent.last", &headers, body.as_bytes()).await;
        let intent = id(name);
        mesh.until(&intent, "completed", SOON).await;
        let object = payloads(&mesh, &intent).await[0].1.clone().expect("a reference");
        assert_eq!(object.media.as_deref(), Some("text/plain; charset=utf-8"));
        let answer = tokio::time::timeout(SOON, answers.next())
            .await
            .expect("in time")
            .expect("an answer");
        let is_ref = answer
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Baton-Ref"))
            .is_some();
        assert_eq!((answer.subject.as_str(), is_ref), (reply_to.as_str(), by_ref));
        if by_ref {
            let named: ObjectRef = serde_json::from_slice(&answer.payload).expect("a reference");
            let content = mesh.mesh.get_object(&intent, &named).await.expect("content");
            assert_eq!(content, body.as_bytes());
        } else {
            // As a string of JSON, as every result that is text.
            let text: String = serde_json::from_slice(&answer.payload).expect("a string");
            assert_eq!(text, body);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_work_is_the_same_intent_by_reference_or_not_and_a_foreign_reference_is_refused() {
    let mesh = TestMesh::start().await;
    let _last = link(&mesh, "last", newest(), None).await;
    let by = || Author::of(Role::Client, "test");
    let intent = submit(&mesh, "same", "last", text_of(90_000)).await;
    mesh.until(&intent, "completed", SOON).await;
    let again = mesh
        .mesh
        .submit(mesh.envelope("same", "last", text_of(90_000).get()), by())
        .await;
    assert!(matches!(again, Ok(Submitted::Repeated(_))), "{again:?}");
    let other = mesh
        .mesh
        .submit(mesh.envelope("same", "last", text_of(90_001).get()), by())
        .await;
    assert!(
        matches!(
            other,
            Ok(Submitted::Conflict {
                field: Some("payload"),
                ..
            })
        ),
        "{other:?}"
    );

    let object = payloads(&mesh, &intent).await[0].1.clone().expect("a reference");
    let own = mesh.envelope("same", "last", "null").with_payload_ref(object.clone());
    let own = mesh.mesh.submit(own, by()).await;
    assert!(matches!(own, Ok(Submitted::Repeated(_))), "{own:?}");
    // The objects of a tree are its own.
    let foreign = mesh
        .envelope("foreign", "last", "null")
        .with_payload_ref(object.clone());
    let foreign = mesh.mesh.submit(foreign, by()).await;
    assert_eq!(foreign.expect_err("of another tree").code(), "CONTEXT_MISSING");
    let mut both = mesh.envelope("both", "last", "1");
    both.payload_ref = Some(Box::new(object));
    let both = mesh.mesh.submit(both, by()).await.expect_err("both");
    assert!(both.to_string().contains("payload_ref"), "{both}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hop_with_a_large_payload_begins_again_as_an_intent_with_its_own_objects() {
    let mesh = TestMesh::start().await;
    let _first = link(&mesh, "first", newest(), Some("last")).await;
    let _last = link(&mesh, "last", newest(), None).await;
    let intent = submit(&mesh, "again", "first", text_of(80_000)).await;
    mesh.until(&intent, "completed", SOON).await;
    run(mesh.baton(&["intents", "restart", "again", "--from-hop", "2"]))
        .await
        .exits(0);
    let restarted = intent.of_restart(1);
    let head = mesh.until(&restarted, "completed", SOON).await;
    assert_eq!(result(&mesh, &head).await, text_of(80_000).into());
    ControllerMesh::of(&mesh.mesh)
        .purge_objects(&intent)
        .await
        .expect("purged");
    assert_eq!(result(&mesh, &head).await, text_of(80_000).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_stores_fetches_and_lists_objects() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _last = link(&mesh, "last", newest(), None).await;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let content = noise(300_000, 2);
    std::fs::write(path("in"), &content).expect("written");
    let put = run(mesh.baton(&["context", "put", &path("in"), "--tree", "t", "--output", "json"])).await;
    let put = put.exits(0).json();
    assert_eq!(put["ref"]["bytes"], 300_000, "{put}");
    assert_eq!(put["ref"]["media"], "application/octet-stream", "{put}");
    let place = put["place"].as_str().expect("a place").to_owned();
    let text = run(mesh.baton(&["context", "put", &path("in"), "--tree", "t"]))
        .await
        .exits(0);
    assert_eq!(text.stdout.trim(), place, "the same object");
    run(mesh.baton(&["context", "get", &place, "-o", &path("out")]))
        .await
        .exits(0);
    assert!(std::fs::read(path("out")).expect("read") == content);
    assert!(piped(&mesh, &["context", "get", &place]).await == content);

    let missing = format!("other/{}", place.trim_start_matches("t/"));
    run(mesh.baton(&["context", "get", &missing]))
        .await
        .exits(3)
        .says(&["CONTEXT_MISSING", "context list"]);
    run(mesh.baton(&["context", "get", "t/xyz"]))
        .await
        .exits(2)
        .says(&["TREE/HASH"]);
    run(mesh.baton(&["context", "list", "nobody"])).await.exits(3);

    let file = path("large.json");
    let body = format!("{{\"pages\": [{}1]}}", "1, ".repeat(50_000));
    std::fs::write(&file, &body).expect("written");
    let sent = run(mesh.baton(&["send", "last", "--payload-file", &file, "--id", "listed", "--wait"])).await;
    assert_eq!(sent.exits(0).stdout, body);
    let table = run(mesh.baton(&["context", "list", "listed"])).await.exits(0).stdout;
    assert!(
        table.contains("payload") && table.contains("result") && table.contains("application/json"),
        "{table}"
    );
    let shown = run(mesh.baton(&["intents", "get", "listed"])).await.exits(0).stdout;
    assert!(
        shown.contains("an object of") && shown.contains("baton context get listed/"),
        "{shown}"
    );
    let waited = run(mesh.baton(&["intents", "wait", "listed", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert!(waited["snapshot"]["result_ref"]["hash"].is_string() && waited["snapshot"].get("result").is_none());
    run(mesh.baton(&["send", "last", "x", "--payload-file", &file]))
        .await
        .exits(2)
        .says(&["--payload-file"]);

    // Work that carries all of it in its records names no object.
    let small = submit(&mesh, "small", "last", Json::string("x")).await;
    mesh.until(&small, "completed", SOON).await;
    let none = run(mesh.baton(&["context", "list", "small"])).await.exits(0).stdout;
    assert!(none.contains("names no object"), "{none}");
}

async fn piped(mesh: &TestMesh, args: &[&str]) -> Vec<u8> {
    let mut command = mesh.baton(args);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("joined")
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// A program writes more than the stream has room for: the attempt is repeated, and what is stored stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_stream_fails_the_attempt_and_loses_nothing() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _agent = worker(
        &mesh,
        dir.path(),
        "grow",
        &["--exec", "seq 1 400000", "--max-attempts", "2"],
    )
    .await;
    let updated = mesh.edit_stream("MESH_CONTEXT", "max_bytes", |_| json!(1 << 20)).await;
    assert!(updated.get("error").is_none(), "{updated}");
    let intent = mesh.submit("full", "grow", "\"x\"").await;
    let parked = mesh.until(&intent, "parked", SOON).await;
    assert!(code(&parked).starts_with("CONTEXT_FULL"), "{}", code(&parked));
    assert!(matches!(parked.record.snapshot.status, Status::Parked { .. }));
    mesh.edit_stream("MESH_CONTEXT", "max_bytes", |_| json!(-1)).await;
    mesh.redrive(&intent, &[]).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let body = result(&mesh, &head).await;
    let expected: Vec<String> = (1..=400_000).map(|number| number.to_string()).collect();
    assert!(body.json.read::<String>().expect("text") == expected.join("\n"));
}

/// How long the command may take to find out that a file is too large.
const AT_ONCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_above_the_limit_is_refused_with_the_limit() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _last = link(&mesh, "last", newest(), None).await;
    let warm = submit(&mesh, "warm", "last", Json::string("x")).await;
    mesh.until(&warm, "completed", SOON).await;
    let file = dir.path().join("large");
    write_sparse(&file, (64 << 20) + 1);
    let path = file.display().to_string();
    let sent = tokio::time::timeout(
        AT_ONCE,
        run(mesh.baton(&["send", "last", "--payload-file", &path, "--id", "big"])),
    );
    sent.await
        .expect("in time")
        .exits(4)
        .says(&["CONTEXT_FULL", "67108864"]);
    run(mesh.baton(&["intents", "get", "big"])).await.exits(3);
    assert_eq!(stored(&mesh).await, 0);
}

fn write_sparse(path: &Path, bytes: u64) {
    let file = std::fs::File::create(path).expect("created");
    file.set_len(bytes).expect("sized");
}
