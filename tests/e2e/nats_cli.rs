//! What a person sees who has only the `nats` CLI. Each fact is shown twice: with the real `nats`, and, for machines
//! without it, with a bare client that knows nothing about Baton.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use baton_e2e::TestMesh;
use baton_envelope::IntentId;
use baton_jetstream::{Filter, Head};
use baton_testkit::{NatsCli, ProcessGuard, TestServer, eventually, nats_cli};
use futures::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything here may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// How long anything here may take that starts no process.
const SOON: Duration = Duration::from_secs(30);

// --- shared by the modules about input from outside -------------------------------------------------------------

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Checks the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Checks that stderr contains all of these.
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not said: {self:#?}");
        }
        self
    }

    /// The only JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs a command to its end, with nothing on stdin.
pub(crate) async fn run(mut command: Command) -> Run {
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the thread ends")
        .expect("the command starts")
        .into()
}

/// Starts `baton worker` for an agent at version 1.0.0 and waits until the mesh takes work for it.
pub(crate) async fn worker(mesh: &TestMesh, dir: &Path, agent: &str, more: &[&str]) -> ProcessGuard {
    let mut arguments = vec!["worker", "--agent", agent, "--version", "1.0.0"];
    arguments.extend(more);
    let mut command = mesh.baton(&arguments);
    // Retries at once, so that a test of retries does not wait.
    command.env("BATON_WORKER__BACKOFF_UNIT", "5ms");
    let mut guard = ProcessGuard::spawn(agent, command, dir);
    let name = agent.parse().expect("agent name");
    eventually(&format!("{agent} has a route"), LONG, async || {
        assert_eq!(guard.try_wait(), None, "the worker ended: {}", guard.stderr());
        match mesh.mesh.route(&name).await {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    guard
}

/// A publisher that knows nothing about Baton.
#[derive(Debug)]
pub(crate) enum Publisher {
    /// A person with the `nats` CLI.
    NatsCli(NatsCli),
    /// A program with a NATS client.
    BareClient,
}

impl Publisher {
    /// Publishes and waits for nothing.
    pub(crate) async fn publish(&self, server: &TestServer, subject: &str, headers: &[(&str, &str)], body: &str) {
        match self {
            Self::NatsCli(nats) => {
                let mut arguments = vec!["pub".to_owned()];
                for (name, value) in headers {
                    arguments.extend(["-H".to_owned(), format!("{name}:{value}")]);
                }
                arguments.extend([subject.to_owned(), body.to_owned()]);
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                Run::from(nats.run(server.url(), &arguments).await).exits(0);
            }
            Self::BareClient => publish(server, subject, headers, body.as_bytes()).await,
        }
    }

    /// Publishes and returns the answer as printed.
    async fn request(&self, server: &TestServer, subject: &str, body: &str) -> String {
        match self {
            Self::NatsCli(nats) => {
                let output = nats.run(server.url(), &["req", subject, body]).await;
                Run::from(output).exits(0).stdout
            }
            Self::BareClient => bare_request(server, subject, body).await,
        }
    }
}

/// Publishes bytes with a bare client.
pub(crate) async fn publish(server: &TestServer, subject: &str, headers: &[(&str, &str)], body: &[u8]) {
    let client = server.client().await;
    let map = headers
        .iter()
        .map(|(name, value)| (name.parse().expect("header name"), value.parse().expect("header value")))
        .collect();
    client
        .publish_with_headers(subject.to_owned(), map, body.to_vec().into())
        .await
        .expect("published");
    client.flush().await.expect("flushed");
}

async fn bare_request(server: &TestServer, subject: &str, body: &str) -> String {
    let client = server.client().await;
    let answer = client.request(subject.to_owned(), body.to_owned().into()).await;
    String::from_utf8(answer.expect("an answer").payload.to_vec()).expect("text")
}

/// Waits until exactly one intent of an agent has this status, and no other intent has.
async fn only_intent(mesh: &TestMesh, agent: &str, status: &str) -> Head {
    let filter = Filter {
        statuses: Vec::new(),
        agent: Some(agent.parse().expect("agent name")),
        limit: 0,
    };
    eventually(&format!("one {status} intent of {agent}"), SOON, async || {
        let mut heads = mesh.mesh.list(&filter).await.map_err(|error| error.to_string())?.heads;
        match heads.pop() {
            Some(head) if heads.is_empty() && head.record.snapshot.status.name() == status => Ok(head),
            last => Err(format!("{heads:?} and {last:?}")),
        }
    })
    .await
}

/// The lines of an output that are JSON objects.
fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

const SHOUT: &[&str] = &["--exec", "tr a-z A-Z"];

// --- publish ----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn nats_pub_hello_becomes_an_intent_that_completes() {
    if let Some(nats) = nats_cli().await {
        hello_becomes_an_intent_that_completes(Publisher::NatsCli(nats)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_publish_hello_becomes_an_intent_that_completes() {
    hello_becomes_an_intent_that_completes(Publisher::BareClient).await;
}

async fn hello_becomes_an_intent_that_completes(publisher: Publisher) {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(&mesh, dir.path(), "shout", SHOUT).await;
    publisher.publish(&mesh.server, "mesh.intent.shout", &[], "hello").await;
    let head = only_intent(&mesh, "shout", "completed").await;
    let result = head
        .record
        .snapshot
        .result
        .as_ref()
        .map(|result| result.get().to_owned());
    assert_eq!(result.as_deref(), Some("\"HELLO\""));
    // A person can continue with the generated id.
    let get = run(mesh.baton(&["intents", "get", head.record.intent.as_str()])).await;
    assert!(get.exits(0).stdout.contains("HELLO"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_req_prints_the_ack_of_the_stream() {
    if let Some(nats) = nats_cli().await {
        request_is_answered_by_the_ack_of_the_stream(Publisher::NatsCli(nats)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_request_is_answered_by_the_ack_of_the_stream() {
    request_is_answered_by_the_ack_of_the_stream(Publisher::BareClient).await;
}

async fn request_is_answered_by_the_ack_of_the_stream(publisher: Publisher) {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(&mesh, dir.path(), "shout", SHOUT).await;
    for seq in 1..=2 {
        let printed = publisher.request(&mesh.server, "mesh.intent.shout", "hello").await;
        let [ack] = &objects(&printed)[..] else {
            panic!("one JSON object is expected: {printed}");
        };
        assert_eq!(ack["stream"], "MESH_INTAKE", "{printed}");
        assert_eq!(ack["seq"], seq, "{printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_pub_headers_set_id_and_priority() {
    if let Some(nats) = nats_cli().await {
        headers_set_id_and_priority(Publisher::NatsCli(nats)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_publish_headers_set_id_and_priority() {
    headers_set_id_and_priority(Publisher::BareClient).await;
}

/// The headers of the tour.
const ORDER_42: &[(&str, &str)] = &[("Baton-Priority", "9"), ("Baton-Intent", "order-42")];

fn order_42() -> IntentId {
    "order-42".parse().expect("intent id")
}

async fn headers_set_id_and_priority(publisher: Publisher) {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(&mesh, dir.path(), "shout", SHOUT).await;
    publisher
        .publish(&mesh.server, "mesh.intent.shout", ORDER_42, r#"{"item":"otter","n":2}"#)
        .await;
    let head = mesh.until(&order_42(), "completed", SOON).await;
    let snapshot = &head.record.snapshot;
    assert_eq!(snapshot.priority.get(), 9);
    let result = snapshot.result.as_ref().map(|result| result.get());
    assert_eq!(result, Some(r#"{"ITEM":"OTTER","N":2}"#));
}

// --- subscribe --------------------------------------------------------------------------------------------------

/// A worker whose hop ends when the file `go` appears; the hop is long enough for the mesh to record that work has
/// begun.
async fn gated_worker(mesh: &TestMesh, dir: &Path) -> ProcessGuard {
    let gate = dir.join("go");
    let program = format!("until [ -e '{}' ]; do sleep 0.05; done; tr a-z A-Z", gate.display());
    worker(mesh, dir, "shout", &["--exec", &program]).await
}

/// What a listener has seen about `order-42`: event and status of each record.
fn transitions(records: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    records
        .iter()
        .inspect(|record| assert_eq!(record["intent"], "order-42", "{record}"))
        .map(|record| {
            (
                text(&record["event"]["type"]),
                text(&record["snapshot"]["status"]["state"]),
            )
        })
        .collect()
}

fn expected(names: &[(&str, &str)]) -> Vec<(String, String)> {
    names
        .iter()
        .map(|(event, status)| ((*event).to_owned(), (*status).to_owned()))
        .collect()
}

const AT_WORK: &[(&str, &str)] = &[("submitted", "pending"), ("started", "in_progress")];
const DONE: &[(&str, &str)] = &[
    ("submitted", "pending"),
    ("started", "in_progress"),
    ("completed", "completed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn nats_sub_shows_each_transition_as_it_happens() {
    let Some(nats) = nats_cli().await else { return };
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = gated_worker(&mesh, dir.path()).await;
    let mut command = nats.command(mesh.server.url());
    // The three transitions, and one probe.
    command.args(["sub", "mesh.event.>", "--count", "4"]);
    let mut sub = ProcessGuard::spawn("sub", command, dir.path());
    listening(&mesh.server, &sub).await;

    Publisher::NatsCli(nats)
        .publish(&mesh.server, "mesh.intent.shout", ORDER_42, "hello")
        .await;
    let seen = || Ok::<_, String>(transitions(&objects(&sub.stdout())));
    eventually("the beginning is shown", SOON, async || {
        seen().and_then(|seen| {
            if seen == expected(AT_WORK) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })
    })
    .await;
    std::fs::write(dir.path().join("go"), "").expect("written");
    let status = sub.wait(SOON).await;
    assert!(status.success(), "{status}: {}", sub.stderr());
    assert_eq!(transitions(&objects(&sub.stdout())), expected(DONE));
    assert!(sub.stdout().contains("mesh.event.order-42"), "{}", sub.stdout());
}

/// Waits until `nats sub` listens on the events, and has received exactly one probe.
///
/// The server answers a request on a subject without listeners at once; the first request that gets no such answer has
/// been delivered.
async fn listening(server: &TestServer, sub: &ProcessGuard) {
    let client = server.client().await;
    let inbox = client.new_inbox();
    let mut refusals = client.subscribe(inbox.clone()).await.expect("subscribed");
    loop {
        client
            .publish_with_reply("mesh.event.probe", inbox.clone(), "the probe".into())
            .await
            .expect("published");
        let arrived = eventually("the probe is shown", SOON, async || {
            if sub.stdout().contains("the probe") {
                Ok(())
            } else {
                Err(sub.stderr())
            }
        });
        tokio::select! {
            _ = refusals.next() => tokio::time::sleep(Duration::from_millis(20)).await,
            () = arrived => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_subscriber_sees_each_transition_as_it_happens() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = gated_worker(&mesh, dir.path()).await;
    let client = mesh.server.client().await;
    let mut events = client.subscribe("mesh.event.>").await.expect("subscribed");
    // On the same connection, so the server handles it after the subscription.
    client
        .publish("mesh.event.probe", "the probe".into())
        .await
        .expect("published");
    let mut next = async || {
        let message = tokio::time::timeout(SOON, events.next())
            .await
            .expect("an event in time")
            .expect("an event");
        (message.subject.to_string(), message.payload.to_vec())
    };
    assert_eq!(next().await.0, "mesh.event.probe");

    publish(&mesh.server, "mesh.intent.shout", ORDER_42, b"hello").await;
    let mut records = Vec::new();
    for count in 1..=3 {
        let (subject, body) = next().await;
        assert_eq!(subject, "mesh.event.order-42");
        records.push(serde_json::from_slice(&body).expect("a record"));
        if count == AT_WORK.len() {
            assert_eq!(transitions(&records), expected(AT_WORK));
            std::fs::write(dir.path().join("go"), "").expect("written");
        }
    }
    assert_eq!(transitions(&records), expected(DONE));
}

// --- the ledger and the services --------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn nats_stream_view_shows_the_records_of_an_intent() {
    let Some(nats) = nats_cli().await else { return };
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(&mesh, dir.path(), "shout", SHOUT).await;
    Publisher::NatsCli(nats.clone())
        .publish(&mesh.server, "mesh.intent.shout", ORDER_42, "hello")
        .await;
    mesh.until(&order_42(), "completed", SOON).await;
    let mut command = nats.command(mesh.server.url());
    command.args(["stream", "view", "MESH_LEDGER"]);
    let view = run(in_terminal(&command)).await.exits(0);
    let seen: Vec<String> = transitions(&objects(&view.stdout))
        .into_iter()
        .map(|(event, _)| event)
        .collect();
    assert_eq!(seen, mesh.events_of(&order_42()).await, "{}", view.stdout);
    assert!(
        view.stdout.contains("Subject: mesh.ledger.0.order-42"),
        "{}",
        view.stdout
    );
}

/// The command in its own terminal, without which `nats stream view` refuses to start.
fn in_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut script = Command::new("script");
    if cfg!(target_os = "macos") {
        script.args(["-q", "/dev/null"]).args(words);
    } else {
        let quoted = words.map(|word| format!("'{}'", word.to_str().expect("text").replace('\'', "'\\''")));
        let line = quoted.collect::<Vec<_>>().join(" ");
        script.args(["-q", "-e", "-c", &line, "/dev/null"]);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_stream_get_reads_the_records_of_an_intent() {
    let Some(nats) = nats_cli().await else { return };
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(&mesh, dir.path(), "shout", SHOUT).await;
    let url = mesh.server.url();
    Publisher::NatsCli(nats.clone())
        .publish(&mesh.server, "mesh.intent.shout", ORDER_42, "hello")
        .await;
    mesh.until(&order_42(), "completed", SOON).await;

    let last = ["stream", "get", "MESH_LEDGER", "-S", "mesh.ledger.0.order-42"];
    let get = Run::from(nats.run(url, &last).await).exits(0);
    let [record] = &objects(&get.stdout)[..] else {
        panic!("one record is expected: {}", get.stdout);
    };
    assert_eq!(record["snapshot"]["status"]["state"], "completed", "{record}");
    assert_eq!(record["snapshot"]["result"], "HELLO", "{record}");
    // A person can tell what happened without reading JSON.
    assert!(get.stdout.contains("Baton-Event: completed"), "{}", get.stdout);

    let first = Run::from(nats.run(url, &["stream", "get", "MESH_LEDGER", "1"]).await).exits(0);
    let [record] = &objects(&first.stdout)[..] else {
        panic!("one record is expected: {}", first.stdout);
    };
    assert_eq!(record["event"]["type"], "submitted", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_direct_get_reads_the_last_record_of_an_intent() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = worker(&mesh, dir.path(), "shout", SHOUT).await;
    publish(&mesh.server, "mesh.intent.shout", ORDER_42, b"hello").await;
    mesh.until(&order_42(), "completed", SOON).await;
    let record = bare_request(
        &mesh.server,
        "$JS.API.DIRECT.GET.MESH_LEDGER.mesh.ledger.0.order-42",
        "",
    )
    .await;
    let record: Value = serde_json::from_str(&record).expect("a record");
    assert_eq!(record["snapshot"]["status"]["state"], "completed", "{record}");
    assert_eq!(record["snapshot"]["result"], "HELLO", "{record}");
}

/// A worker with two capabilities, and its instance in the registry of the mesh.
async fn capable_worker(mesh: &TestMesh, dir: &Path) -> (ProcessGuard, String) {
    let arguments = ["--exec", "tr a-z A-Z", "--capability", "loud", "--capability", "text"];
    let guard = worker(mesh, dir, "shout", &arguments).await;
    let instance = eventually("the worker is declared", SOON, async || {
        let declared = mesh.mesh.declarations().await.map_err(|error| error.to_string())?;
        let found = declared.first().map(|one| one.instance.clone());
        found.ok_or_else(|| "nothing is declared".to_owned())
    })
    .await;
    (guard, instance)
}

fn assert_metadata(metadata: &Value, instance: &str) {
    for (key, value) in [
        ("agent", "shout"),
        ("version", "1.0.0"),
        ("instance", instance),
        ("capabilities", "loud,text"),
        ("namespace", "mesh"),
    ] {
        assert_eq!(metadata[key], value, "{key}: {metadata}");
    }
    let protocol = metadata["protocol"].as_str().unwrap_or_default();
    assert!(protocol.starts_with("1.0.0 - 1."), "protocol: {metadata}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_service_lists_the_workers_and_what_they_are() {
    let Some(nats) = nats_cli().await else { return };
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let (_worker, instance) = capable_worker(&mesh, dir.path()).await;
    let url = mesh.server.url();

    let list = Run::from(nats.run(url, &["service", "ls"]).await).exits(0);
    for part in ["baton-agent", "1.0.0", "agent shout"] {
        assert!(list.stdout.contains(part), "{part}: {}", list.stdout);
    }
    let info = Run::from(nats.run(url, &["service", "info", "baton-agent"]).await).exits(0);
    for part in ["baton-agent", "shout", "1.0.0", &instance, "loud,text", "1.0.0 - 1."] {
        assert!(info.stdout.contains(part), "{part}: {}", info.stdout);
    }
    let info = Run::from(nats.run(url, &["service", "info", "baton-agent", "--json"]).await).exits(0);
    let info: Value = serde_json::from_str(&info.stdout).unwrap_or_else(|error| panic!("{error}: {info:?}"));
    let info = &info["info"];
    assert_eq!(
        (&info["name"], &info["version"]),
        (&"baton-agent".into(), &"1.0.0".into()),
        "{info}"
    );
    assert_metadata(&info["metadata"], &instance);
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_service_request_finds_the_workers_and_what_they_are() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let (_worker, instance) = capable_worker(&mesh, dir.path()).await;
    let info = bare_request(&mesh.server, "$SRV.INFO.baton-agent", "").await;
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(
        (&info["name"], &info["version"]),
        (&"baton-agent".into(), &"1.0.0".into()),
        "{info}"
    );
    assert_metadata(&info["metadata"], &instance);
    // And each answers for itself.
    let subject = format!("mesh.agent.shout.1_0_0.{instance}");
    let status: Value = serde_json::from_str(&bare_request(&mesh.server, &subject, "").await).expect("JSON");
    assert_eq!(
        (&status["agent"], &status["instance"]),
        (&"shout".into(), &instance.as_str().into()),
        "{status}"
    );
}
