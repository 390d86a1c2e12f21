//! Bad input from both sides: through the command, which refuses it and names the remedy, and raw through the intake,
//! where it becomes a rejected record that keeps what was published.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use baton_agent::Outcome;
use baton_e2e::chaos::{Running, agent};
use baton_e2e::{TestMesh, baton};
use baton_envelope::{Protocol, ProtocolRange};
use baton_testkit::{FakeServer, ProcessGuard, TestServer, eventually, nats_cli};
use serde_json::Value;
use tempfile::TempDir;

use crate::nats_cli::{LONG, Publisher, Run, publish, run, worker};

const SOON: Duration = Duration::from_secs(30);

/// A mesh that knows the agents `shout` and `count`.
struct Known {
    mesh: TestMesh,
    dir: TempDir,
    _workers: [ProcessGuard; 2],
}

impl Known {
    async fn start() -> Self {
        let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
        let shout = worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await;
        let count = worker(&mesh, dir.path(), "count", &["--exec", "wc -c"]).await;
        Self {
            mesh,
            dir,
            _workers: [shout, count],
        }
    }

    async fn baton(&self, arguments: &[&str]) -> Run {
        run(self.mesh.baton(arguments)).await
    }

    /// The only rejected record, as `baton dead show` reports it to a program; the text for a person says the same.
    async fn rejected(&self) -> Value {
        let id = eventually("one rejected record", SOON, async || {
            let list = self.baton(&["dead", "list", "--output", "json"]).await.exits(0).json();
            match list["dead"].as_array().map(Vec::as_slice) {
                Some([dead]) => Ok(dead["intent"].as_str().expect("id").to_owned()),
                _ => Err(list.to_string()),
            }
        })
        .await;
        let document = self
            .baton(&["dead", "show", &id, "--output", "json"])
            .await
            .exits(0)
            .json();
        assert_eq!(document["snapshot"]["status"]["state"], "rejected", "{document}");
        let text = self.baton(&["dead", "show", &id]).await.exits(0).stdout;
        for part in [&document["snapshot"]["error"]["code"], &document["raw"]["subject"]] {
            assert!(text.contains(part.as_str().expect("text")), "{part}: {text}");
        }
        if let Some(body) = document["body"].as_str() {
            assert!(text.contains(body), "{text}");
        }
        document
    }
}

/// Checks a rejected record: its code, the body that it keeps, and what its message names.
fn assert_rejected(document: &Value, code: &str, body: &str, named: &[&str]) {
    let error = &document["snapshot"]["error"];
    assert_eq!(error["code"], code, "{document}");
    assert_eq!(document["body"], body, "{document}");
    let said = error["message"].as_str().expect("a message");
    for part in named {
        assert!(said.contains(part), "{part:?} is not said: {said}");
    }
}

// --- what the command refuses, and the intake rejects -----------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn unknown_agent_is_refused_with_those_that_exist() {
    let known = Known::start().await;
    let sent = known.baton(&["send", "shuot", "hello", "--id", "order-1"]).await;
    let sent = sent.exits(3).says(&[
        "\"shuot\"",
        "unknown",
        "known: count, shout",
        "hint: ",
        "baton worker --agent shuot",
    ]);
    assert_eq!(sent.stdout, "");
    // Nothing was started that would make a second try with the right name a conflict.
    known
        .baton(&["intents", "get", "order-1"])
        .await
        .exits(3)
        .says(&["order-1"]);

    publish(&known.mesh.server, "mesh.intent.shuot", &[], b"hello").await;
    let document = known.rejected().await;
    assert_rejected(&document, "UNKNOWN_AGENT", "hello", &["\"shuot\"", "count, shout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_pub_to_an_unknown_agent_is_rejected_with_those_that_exist() {
    let Some(nats) = nats_cli().await else { return };
    let known = Known::start().await;
    let header = [("Baton-Intent", "order-9")];
    Publisher::NatsCli(nats)
        .publish(&known.mesh.server, "mesh.intent.shuot", &header, "hello")
        .await;
    let document = known.rejected().await;
    assert_rejected(&document, "UNKNOWN_AGENT", "hello", &["\"shuot\"", "count, shout"]);
    assert_eq!(document["intent"], "order-9");
}

#[tokio::test(flavor = "multi_thread")]
async fn priority_out_of_range_is_refused_with_the_range() {
    let known = Known::start().await;
    let send = known.baton(&["send", "shout", "hello", "--priority", "11"]).await;
    send.exits(2).says(&["--priority", "11", "1 to 10"]);
    publish(
        &known.mesh.server,
        "mesh.intent.shout",
        &[("Baton-Priority", "11")],
        b"hello",
    )
    .await;
    let document = known.rejected().await;
    assert_rejected(&document, "BAD_HEADER", "hello", &["Baton-Priority", "11", "1 to 10"]);
    let kept = document["raw"]["headers"].to_string();
    assert!(kept.contains(r#"["Baton-Priority","11"]"#), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deadline_in_the_past_is_refused_with_the_time_that_it_is() {
    let known = Known::start().await;
    let deadline = "2020-01-01T00:00:00Z";
    let send = known.baton(&["send", "shout", "hello", "--deadline", deadline]).await;
    send.exits(2)
        .says(&["--deadline", "2020-01-01T00:00:00", "past", "now 20", "in the future"]);
    publish(
        &known.mesh.server,
        "mesh.intent.shout",
        &[("Baton-Deadline", deadline)],
        b"hello",
    )
    .await;
    let document = known.rejected().await;
    assert_rejected(
        &document,
        "DEADLINE_PAST",
        "hello",
        &["Baton-Deadline", "2020-01-01", "past", "in the future"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn name_with_a_dot_or_a_wildcard_is_refused_with_the_rule() {
    let known = Known::start().await;
    for name in ["a.b", "*", "shout.>", "Shout"] {
        for arguments in [
            &["send", name, "hello"][..],
            &["worker", "--agent", name, "--version", "1.0.0", "--exec", "cat"],
            &["route", "set", name, "1.0.0"],
            &["send", "shout", "hello", "--namespace", name],
            &["dead", "list", "--agent", name],
        ] {
            known.baton(arguments).await.exits(2).says(&[name, "a-z 0-9 -"]);
        }
    }
    for id in ["order.42", "*"] {
        let send = known.baton(&["send", "shout", "hello", "--id", id]).await;
        send.exits(2).says(&["--id", id, "no dots"]);
    }

    // No stream listens under a name with a dot: a requester learns that at once.
    let client = known.mesh.server.client().await;
    let error = client
        .request("mesh.intent.a.b", "hello".into())
        .await
        .expect_err("nobody listens");
    assert!(error.to_string().contains("no responders"), "{error}");
    // The server treats a wildcard as any other name.
    publish_wildcard(&known.mesh.server).await;
    let document = known.rejected().await;
    assert_rejected(&document, "BAD_SUBJECT", "hello", &["\"*\"", "a-z 0-9 -"]);
    assert_eq!(document["raw"]["subject"], "mesh.intent.*");
}

/// Publishes on `mesh.intent.*`, which a careful client does not allow.
async fn publish_wildcard(server: &TestServer) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .expect("connected");
    let lines = b"CONNECT {\"verbose\":false}\r\nPUB mesh.intent.* 5\r\nhello\r\nPING\r\n";
    stream.write_all(lines).await.expect("written");
    let mut said = String::new();
    while !said.contains("PONG") {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.expect("read");
        assert!(count > 0, "the server hung up: {said}");
        said.push_str(&String::from_utf8_lossy(&part[..count]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_that_is_no_full_version_is_refused_with_an_example() {
    let known = Known::start().await;
    for version in ["1.x", "1.0", "latest"] {
        for arguments in [
            &["worker", "--agent", "shout", "--version", version, "--exec", "cat"][..],
            &["route", "set", "shout", version],
            &["send", "shout", "hello", "--pin", &format!("shout={version}")],
        ] {
            known.baton(arguments).await.exits(2).says(&[version, "1.4.0"]);
        }
    }
    let pinned = envelope(r#""pins":{"shout":"1.x"},"payload":"hello""#);
    publish(&known.mesh.server, "mesh.intent.shout", &PROTOCOL, pinned.as_bytes()).await;
    let document = known.rejected().await;
    assert_rejected(&document, "MALFORMED_ENVELOPE", &pinned, &["pins", "1.x", "1.4.0"]);
}

// --- envelopes --------------------------------------------------------------------------------------------------

const PROTOCOL: [(&str, &str); 1] = [("Baton-Protocol", "1.0.0")];

/// An envelope for `shout` with more fields.
fn envelope(more: &str) -> String {
    format!(
        r#"{{"protocol":"1.0.0","id":"0193a0f0-0000-7000-8000-000000000001","intent":"order-1","to":"shout","hop":1,{more}}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_envelope_is_rejected_whole_with_the_field_and_the_fix() {
    let known = Known::start().await;
    // The body, and what the message must name: the field, the value, the fix.
    let cases: [(String, &[&str]); 7] = [
        ("{\"protocol\":\"1.0.0\", oops".to_owned(), &["JSON", "fix: "]),
        (envelope(r#""priority":11"#), &["priority", "11", "1 to 10"]),
        (
            envelope(r#""deadline":"2020-01-01T00:00:00Z""#),
            &["deadline", "2020-01-01", "past", "future"],
        ),
        (envelope(r#""itinerary":["a.b"]"#), &["itinerary", "a.b", "fix: "]),
        (
            envelope("").replace(r#""to":"shout","#, "").replace(",}", "}"),
            &["`to`", "fix: "],
        ),
        (
            envelope(r#""payload":1"#).replace("\"shout\"", "\"count\""),
            &["to", "count", "mesh.intent.shout", "fix: "],
        ),
        (
            envelope(r#""payload":1"#).replace("1.0.0", "3.0.0"),
            &["protocol", "3.0.0", "1."],
        ),
    ];
    for (body, _) in &cases {
        publish(&known.mesh.server, "mesh.intent.shout", &PROTOCOL, body.as_bytes()).await;
    }
    let dead = eventually("all of them are rejected", SOON, async || {
        let list = known.baton(&["dead", "list", "--output", "json"]).await.exits(0).json();
        let dead = list["dead"].as_array().expect("a list").clone();
        if dead.len() == cases.len() {
            Ok(dead)
        } else {
            Err(list.to_string())
        }
    })
    .await;
    let mut found = BTreeSet::new();
    for one in dead {
        let id = one["intent"].as_str().expect("id");
        let document = known
            .baton(&["dead", "show", id, "--output", "json"])
            .await
            .exits(0)
            .json();
        let body = document["body"].as_str().expect("a body");
        let (_, named) = cases
            .iter()
            .find(|(sent, _)| sent == body)
            .expect("a body as it was sent");
        let code = if body.contains("2020-01-01") {
            "DEADLINE_PAST"
        } else {
            "MALFORMED_ENVELOPE"
        };
        assert_rejected(&document, code, body, named);
        assert_eq!(document["raw"]["headers"], serde_json::json!([PROTOCOL[0]]));
        found.insert(body.to_owned());
    }
    assert_eq!(found.len(), cases.len(), "each of them once: {found:?}");
    // None of them became work.
    let list = known
        .baton(&["intents", "list", "--status", "completed", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(list["matched"], 0, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn enveloped_intent_that_is_refused_is_found_under_its_own_id() {
    let known = Known::start().await;
    // Each names its intent; the fault is elsewhere.
    let cases = [
        (
            "late",
            envelope(r#""deadline":"2020-01-01T00:00:00Z""#),
            "DEADLINE_PAST",
        ),
        (
            "lost",
            envelope(r#""payload":1"#).replace("\"shout\"", "\"count\""),
            "MALFORMED_ENVELOPE",
        ),
        (
            "half-way",
            envelope(r#""payload":1"#).replace("\"hop\":1", "\"hop\":2"),
            "MALFORMED_ENVELOPE",
        ),
    ];
    for (id, envelope, code) in cases {
        let envelope = envelope.replace("order-1", id);
        publish(&known.mesh.server, "mesh.intent.shout", &PROTOCOL, envelope.as_bytes()).await;
        let head = known.mesh.until(&id.parse().expect("id"), "rejected", SOON).await;
        assert_eq!(head.record.error.as_ref().map(|error| &*error.code), Some(code), "{id}");
        assert!(head.record.raw.is_some(), "{id}: the message is not kept");
    }
}

// --- size -------------------------------------------------------------------------------------------------------

/// What somebody writes behind the end of an intent does not free its id, nor keep anybody waiting.
#[tokio::test(flavor = "multi_thread")]
async fn repeat_of_an_intent_is_known_though_nobody_can_read_its_last_record() {
    let known = Known::start().await;
    let intent = known.mesh.submit("kept", "shout", "\"a\"").await;
    known.mesh.until(&intent, "completed", SOON).await;
    let client = known.mesh.server.client().await;
    let stored = client
        .request("mesh.ledger.0.kept".to_owned(), "no record".into())
        .await;
    stored.expect("stored");
    let by = baton_envelope::Author::of(baton_envelope::Role::Client, "test");
    let again = known
        .mesh
        .mesh
        .submit(known.mesh.envelope("kept", "shout", "\"a\""), by);
    let again = again.await;
    assert!(
        matches!(again, Ok(baton_jetstream::Submitted::Repeated(_))),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_over_the_limit_of_the_server_is_refused_with_the_limit() {
    let known = Known::start().await;
    // An agent that takes no payload by reference: with any other, a large payload is an object.
    let before = ProtocolRange::new(Protocol::new(1, 0, 0), Protocol::new(1, 6, 0)).expect("range");
    let old = agent("old", |envelope| async move { Outcome::complete(&envelope.payload) }).protocol(before);
    let _old = Running::start(known.mesh.server.url(), old).await;
    eventually("the old agent is known", SOON, async || {
        match known.mesh.mesh.route(&"old".parse().expect("agent")).await {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let limit = known.mesh.server.client().await.server_info().max_payload;
    let file = known.dir.path().join("big");
    let argument = format!("@{}", file.display());
    // The ticket has the same body and longer headers, which need that much room.
    let most = (limit - 1024).to_string();
    // Over the limit by itself; and below it, where only the record around it exceeds it.
    for (size, says) in [
        (2 * limit, ["old@1.0.0", "1.7.0"]),
        (limit - 100, ["big-1", most.as_str()]),
    ] {
        std::fs::write(&file, "x".repeat(size)).expect("written");
        let sent = known.baton(&["send", "old", &argument, "--id", "big-1"]).await;
        let sent = sent.exits(4).says(&["bytes", "hint: ", "max_payload"]).says(&says);
        assert_eq!(sent.stdout, "");
        known.baton(&["intents", "get", "big-1"]).await.exits(3);
    }
    // A payload that fits is accepted.
    std::fs::write(&file, "x".repeat(limit / 2)).expect("written");
    known
        .baton(&[
            "send",
            "count",
            &argument,
            "--id",
            "big-1",
            "--wait",
            "--timeout",
            "30s",
        ])
        .await
        .exits(0);

    let body = "y".repeat(limit - 100);
    publish(
        &known.mesh.server,
        "mesh.intent.old",
        &[("Baton-Intent", "big-2")],
        body.as_bytes(),
    )
    .await;
    let document = known.rejected().await;
    assert_eq!(document["snapshot"]["error"]["code"], "PAYLOAD_TOO_LARGE");
    let said = document["snapshot"]["error"]["message"].as_str().expect("a message");
    assert!(
        said.contains(&most) && said.contains(&format!("of {} bytes", body.len())),
        "{said}"
    );
    // Base64 makes it larger: only the beginning is kept, with the original size.
    assert_eq!(document["raw"]["body_truncated_from"], body.len());
    let kept = document["body"].as_str().expect("text");
    assert!(
        kept.len() > limit / 2 && body.starts_with(kept),
        "{} bytes are kept",
        kept.len()
    );
    // It cannot be published again as it was, and the command says so.
    known
        .baton(&["dead", "redrive", "big-2"])
        .await
        .exits(1)
        .says(&["only the beginning of its body was kept"]);
}

// --- servers ----------------------------------------------------------------------------------------------------

/// Every command that talks to a server, except those that keep running.
const COMMANDS: [&[&str]; 7] = [
    &["send", "shout", "hello"],
    &["intents", "list"],
    &["intents", "get", "order-1"],
    &["intents", "watch"],
    &["dead", "list"],
    &["route", "list"],
    &["agents", "list"],
];

/// The commands that keep running, with correct arguments.
const STAYING: [&[&str]; 2] = [
    &["controller"],
    &["worker", "--agent", "shout", "--version", "1.0.0", "--exec", "cat"],
];

fn at(url: &str, arguments: &[&str]) -> Command {
    let mut command = baton();
    command.args(arguments).args(["--server", url]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_down_is_named_with_the_way_to_one() {
    // A port that was free a moment ago, and is closed now.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("address"));
    drop(listener);
    for arguments in COMMANDS {
        let run = run(at(&url, arguments)).await;
        let run = run
            .exits(69)
            .says(&[&url, "caused by", "refused", "hint: ", "baton dev", "--server"]);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    let report = run(at(&url, &["doctor"])).await.exits(69);
    assert!(
        report.stdout.contains(&url) && report.stdout.contains("baton dev"),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_and_controller_wait_for_a_server_that_comes() {
    let dir = TempDir::new().expect("folder");
    let server = TestServer::start().await;
    server.kill().await;
    let mut spawned: Vec<ProcessGuard> = STAYING
        .iter()
        .map(|arguments| ProcessGuard::spawn(arguments[0], at(server.url(), arguments), dir.path()))
        .collect();
    for guard in &mut spawned {
        eventually("it says that it waits", LONG, async || {
            assert_eq!(guard.try_wait(), None, "{}", guard.stderr());
            let said = guard.stderr();
            if said.contains(server.url()) { Ok(()) } else { Err(said) }
        })
        .await;
    }
    server.restart().await;
    eventually("work is taken", LONG, async || {
        let run = run(at(server.url(), &["send", "shout", "hello", "--id", "order-1"])).await;
        if run.code == Some(0) { Ok(()) } else { Err(run.stderr) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_without_jetstream_is_told_with_the_switch_that_enables_it() {
    let server = TestServer::builder().without_jetstream().start().await;
    for arguments in COMMANDS.iter().chain(&STAYING) {
        let run = run(at(server.url(), arguments)).await;
        run.exits(69)
            .says(&[server.url(), "without JetStream", "hint: ", "-js"]);
    }
    let report = run(at(server.url(), &["doctor"])).await.exits(69);
    assert!(
        report.stdout.contains("without JetStream") && report.stdout.contains("-js"),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_too_old_is_told_with_the_version_that_is_needed() {
    let server = FakeServer::old().await;
    for arguments in COMMANDS.iter().chain(&STAYING) {
        let run = run(at(server.url(), arguments)).await;
        run.exits(69)
            .says(&[server.url(), "2.9.10", "2.11.0 or newer", "hint: ", "baton dev"]);
    }
    let report = run(at(server.url(), &["doctor"])).await.exits(69);
    assert!(
        report.stdout.contains("2.9.10") && report.stdout.contains("2.11.0"),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_file_that_is_not_there_is_named() {
    let missing = Path::new("/does/not/exist");
    let run = run(at(
        "nats://127.0.0.1:1",
        &["send", "shout", &format!("@{}", missing.display())],
    ))
    .await;
    run.exits(2).says(&["/does/not/exist", "No such file", "hint: "]);
}
