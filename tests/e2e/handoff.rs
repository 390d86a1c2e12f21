//! Work that goes from hand to hand: the same intent twice, relays, several controllers, and programs as agents.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_controller::{Controller, ControllerConfig};
use baton_e2e::{TestMesh, connect};
use baton_envelope::{Envelope, HistoryEntry, IntentId, Json};
use baton_jetstream::{Filter, Head};
use baton_testkit::{eventually, nats_cli};
use tempfile::TempDir;

use crate::nats_cli::{LONG, Publisher, publish, run, worker};

const SOON: Duration = Duration::from_secs(30);

fn id(text: &str) -> IntentId {
    text.parse().expect("intent id")
}

fn text(head: &Head) -> &str {
    head.record.snapshot.result.as_ref().map_or("", |result| result.get())
}

async fn all(mesh: &TestMesh) -> Vec<Head> {
    mesh.mesh.list(&Filter::default()).await.expect("listed").heads
}

// --- the same intent twice --------------------------------------------------------------------------------------

/// A worker that records the intent of each run. It takes one hop at a time, so earlier work has run before later work.
async fn counting_worker(mesh: &TestMesh, dir: &Path) -> baton_testkit::ProcessGuard {
    let program = format!("echo $BATON_INTENT >> '{}'; tr a-z A-Z", dir.join("runs").display());
    worker(mesh, dir, "shout", &["--exec", &program, "--concurrency", "1"]).await
}

/// The runs so far. A last intent goes through the worker first: a surplus ticket would run before it.
async fn runs(mesh: &TestMesh, dir: &Path) -> Vec<String> {
    mesh.submit("the-last", "shout", "\"x\"").await;
    mesh.until(&id("the-last"), "completed", SOON).await;
    let runs = std::fs::read_to_string(dir.join("runs")).expect("runs");
    runs.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_is_sent_twice_runs_once_and_with_another_payload_is_a_conflict() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = counting_worker(&mesh, dir.path()).await;
    let send = |payload: &str| run(mesh.baton(&["send", "shout", payload, "--id", "order-7", "--output", "json"]));

    // At the same time, so that each may find the other's record at any stage; and once more when all is over.
    let (one, other) = tokio::join!(send("{\"a\": 1}"), send("{\"a\":1}"));
    let known = [one.exits(0).json(), other.exits(0).json()].map(|sent| sent["known"] == true);
    assert!(known[0] != known[1], "one of them is new: {known:?}");
    mesh.until(&id("order-7"), "completed", SOON).await;
    let again = send("{ \"a\": 1 }").await.exits(0).json();
    assert_eq!(
        (&again["known"], &again["snapshot"]["status"]["state"]),
        (&true.into(), &"completed".into())
    );

    let conflict = send("{\"a\":2}").await.exits(4);
    let error: serde_json::Value = serde_json::from_str(&conflict.stderr).expect("an error as JSON");
    assert!(
        error["error"].as_str().is_some_and(|said| said.contains("order-7")),
        "{error}"
    );
    let person = run(mesh.baton(&["send", "shout", "{\"a\":2}", "--id", "order-7"])).await;
    let person = person
        .exits(4)
        .says(&["order-7", "other work", "completed", "another --id"]);
    assert_eq!(person.stdout, "");

    assert_eq!(runs(&mesh, dir.path()).await, ["order-7", "the-last"]);
    let head = mesh.until(&id("order-7"), "completed", SOON).await;
    // The server decides which spelling comes first.
    assert_eq!(text(&head).replace(' ', ""), "{\"A\":1}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_pub_of_the_same_id_runs_once_and_with_another_payload_is_listed_as_conflict() {
    if let Some(nats) = nats_cli().await {
        same_id_published_twice(Publisher::NatsCli(nats)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bare_publish_of_the_same_id_runs_once_and_with_another_payload_is_listed_as_conflict() {
    same_id_published_twice(Publisher::BareClient).await;
}

async fn same_id_published_twice(publisher: Publisher) {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _worker = counting_worker(&mesh, dir.path()).await;
    let subject = "mesh.intent.shout";
    let headers = [("Baton-Intent", "order-7")];
    for _ in 0..2 {
        publisher.publish(&mesh.server, subject, &headers, "hello").await;
    }
    mesh.until(&id("order-7"), "completed", SOON).await;
    publisher.publish(&mesh.server, subject, &headers, "hello").await;
    publisher.publish(&mesh.server, subject, &headers, "good bye").await;

    let dead = eventually("the conflict is listed", SOON, async || {
        let list = run(mesh.baton(&["dead", "list", "--output", "json"]))
            .await
            .exits(0)
            .json();
        match list["dead"].as_array().map(Vec::as_slice) {
            Some([dead]) => Ok(dead.clone()),
            _ => Err(list.to_string()),
        }
    })
    .await;
    let snapshot = &dead["snapshot"];
    assert_eq!(snapshot["status"]["state"], "rejected", "{dead}");
    assert_eq!(snapshot["status"]["code"], "CONFLICT", "{dead}");
    assert!(
        snapshot["error"]["message"]
            .as_str()
            .is_some_and(|said| said.contains("\"order-7\"")),
        "{dead}"
    );
    let other = dead["intent"].as_str().expect("an id");
    assert_ne!(other, "order-7");
    let list = run(mesh.baton(&["dead", "list"])).await.exits(0);
    for part in [other, "CONFLICT", "order-7"] {
        assert!(list.stdout.contains(part), "{part}: {}", list.stdout);
    }
    // The refused work is not lost.
    let show = run(mesh.baton(&["dead", "show", other])).await.exits(0);
    for part in ["good bye", "CONFLICT", "Baton-Intent: order-7"] {
        assert!(show.stdout.contains(part), "{part}: {}", show.stdout);
    }

    assert_eq!(runs(&mesh, dir.path()).await, ["order-7", "the-last"]);
    assert_eq!(text(&mesh.until(&id("order-7"), "completed", SOON).await), "\"HELLO\"");
}

// --- relays -----------------------------------------------------------------------------------------------------

/// Keeps the envelope that it gets and hands on, or completes as the last of the relay.
struct Runner {
    next: Option<&'static str>,
    seen: Arc<Mutex<Vec<Envelope>>>,
}

impl Handler for Runner {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        let envelope = hop.envelope();
        self.seen.lock().expect("not poisoned").push(envelope.clone());
        let did = format!(
            r#"{{"agent":"{}","hop":{},"did":"passed it on"}}"#,
            envelope.to, envelope.hop
        );
        match self.next {
            Some(next) => {
                let entry: HistoryEntry = Json::parse(&did).and_then(|json| json.read()).expect("an entry");
                Ok(Outcome::hand_off(next, &payload)?.with_history(entry))
            }
            None => Outcome::complete(&payload),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_carries_unknown_fields_constraints_and_history_through() {
    let mesh = TestMesh::start().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let relay = [("research", Some("code")), ("code", Some("qa")), ("qa", None)];
    let mut workers = tokio::task::JoinSet::new();
    for (agent, next) in relay {
        let runner = Runner {
            next,
            seen: Arc::clone(&seen),
        };
        let builder = Agent::builder(agent, "1.0.0").expect("agent").handler(runner);
        let worker = builder.bind(&mesh.mesh).await.expect("bound");
        workers.spawn(worker.run_until(std::future::pending()));
    }
    for (agent, _) in relay {
        let name = agent.parse().expect("agent name");
        eventually(&format!("{agent} has a route"), SOON, async || {
            match mesh.mesh.route(&name).await {
                Ok(Some(_)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    // A JSON library would not spell any of these unknown values so.
    let constraints = r#"{ "max_cost": 1.50, "do_not": ["e\u006dail", "\u00e9"], "a": {} }"#;
    let envelope = format!(
        r#"{{"protocol":"1.9.0","id":"0193a0f0-0000-7000-8000-000000000001","intent":"relay-1","to":"research","hop":1,
        "acme-ticket":1.50,"acme-nested":{{ "b" : [1e2, "\u0041"] }},"task":{{"goal":"ship","acme-mood":1E0}},
        "memory":[{{"key":"notes","acme-shelf":"\u0042"}}],"expects":{{"format":"text/plain","acme-tone":-0.0}},
        "history":[{{"agent":"client","did":"asked","acme-why":1.10}}],"constraints":{constraints},
        "payload":{{ "x" : 1.0 }}}}"#
    );
    let header = [("Baton-Protocol", "1.0.0")];
    publish(&mesh.server, "mesh.intent.research", &header, envelope.as_bytes()).await;
    let head = mesh.until(&id("relay-1"), "completed", SOON).await;
    assert_eq!(text(&head), r#"{ "x" : 1.0 }"#);
    let path: Vec<String> = head
        .record
        .snapshot
        .path
        .iter()
        .map(|entry| entry.agent.to_string())
        .collect();
    assert_eq!(path, ["research", "code", "qa"]);

    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen.len(), 3);
    for (index, envelope) in seen.iter().enumerate() {
        assert_eq!(envelope.to.as_str(), relay[index].0);
        assert_eq!(envelope.hop as usize, index + 1);
        assert_eq!(envelope.previous, index.checked_sub(1).map(|before| seen[before].id));
        let written = serde_json::to_string(envelope).expect("JSON");
        for kept in [
            r#""acme-ticket":1.50"#,
            r#""acme-nested":{ "b" : [1e2, "\u0041"] }"#,
            r#""acme-mood":1E0"#,
            r#""acme-shelf":"\u0042""#,
            r#""acme-tone":-0.0"#,
            r#""acme-why":1.10"#,
            r#""goal":"ship""#,
            &format!(r#""constraints":{constraints}"#),
            // The hash that docs/protocol.md gives for these constraints.
            r#""constraints_hash":"751b8b0435a77e2dafe3c7657dedaa043c5f2f158e04b898dd111c485501d63f""#,
        ] {
            assert!(
                written.contains(kept),
                "hop {}: {kept} is not in {written}",
                envelope.hop
            );
        }
        let did: Vec<&str> = envelope.history.iter().map(|entry| entry.agent.as_str()).collect();
        assert_eq!(did, ["client", "research", "code"][..=index]);
    }
}

// --- several controllers ----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn two_controllers_make_one_intent_of_each_message() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    // The mesh's own controller takes its messages 256 at a time; this one, on its own connection, does too.
    let config = ControllerConfig {
        instance: "the-second".to_owned(),
        ..ControllerConfig::default()
    };
    let second = Controller::new(connect(mesh.server.url()).await, config);
    let second = tokio::spawn(second.run_until(std::future::pending()));
    let _worker = worker(&mesh, dir.path(), "count", &["--exec", "cat", "--concurrency", "2"]).await;

    // More messages until both have routed some: the server decides which controller gets one.
    let mut sent = 0;
    eventually("both controllers have routed", LONG, async || {
        let client = mesh.server.client().await;
        for _ in 0..20 {
            sent += 1;
            client
                .publish("mesh.intent.count", sent.to_string().into())
                .await
                .expect("published");
        }
        client.flush().await.expect("flushed");
        settled(&mesh, sent).await;
        let mut by: Vec<String> = Vec::new();
        for head in all(&mesh).await {
            let history = mesh.mesh.history(&head.record.intent, 1).await.expect("history");
            by.push(history[0].record.by.instance.clone());
        }
        by.sort_unstable();
        by.dedup();
        if by.len() == 2 {
            Ok(())
        } else {
            Err(format!("{by:?} after {sent}"))
        }
    })
    .await;

    let heads = all(&mesh).await;
    let mut payloads: Vec<u64> = heads.iter().map(|head| text(head).parse().expect("a number")).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, (1..=sent).collect::<Vec<u64>>());
    second.abort();
}

/// Waits until this many intents have completed.
async fn settled(mesh: &TestMesh, count: u64) {
    eventually(&format!("{count} intents are completed"), LONG, async || {
        let heads = all(mesh).await;
        let done = heads
            .iter()
            .filter(|head| head.record.snapshot.status.name() == "completed")
            .count();
        if done as u64 == count {
            Ok(())
        } else {
            Err(format!("{done} of {}", heads.len()))
        }
    })
    .await;
}

// --- programs as agents -----------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_kind_reaches_a_program_byte_for_byte() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let got = dir.path().join("got");
    std::fs::create_dir(&got).expect("folder");
    let program = format!("cat > '{}'/$BATON_INTENT", got.display());
    let _worker = worker(&mesh, dir.path(), "store", &["--exec", &program]).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies: [(&str, &[u8]); 7] = [
        ("json", br#"{ "b" : 1.50,"a":"\u00e9\/", "a":[ 1E2 ] }"#),
        ("number", b"0.10"),
        (
            "text",
            "h\u{e9}llo \u{1f9a6}\n\t'quotes' \"and\" \\n $HOME `id`\r\n\n".as_bytes(),
        ),
        ("nearly-json", b"{ \"a\": 1, }\n"),
        ("empty", b""),
        ("binary", &every_byte),
        ("zeros", b"\0\0\xff"),
    ];
    for (name, body) in bodies {
        publish(&mesh.server, "mesh.intent.store", &[("Baton-Intent", name)], body).await;
        // The command with the same input gives the same result.
        let file = dir.path().join(name);
        std::fs::write(&file, body).expect("written");
        let (file, sent) = (format!("@{}", file.display()), format!("{name}-sent"));
        run(mesh.baton(&["send", "store", &file, "--id", &sent])).await.exits(0);
        for name in [name, &sent] {
            mesh.until(&id(name), "completed", SOON).await;
            let arrived = std::fs::read(got.join(name)).expect("the program has run");
            assert_eq!(arrived, body, "{name}: {:?}", String::from_utf8_lossy(&arrived));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_hands_off_by_json_with_steps_and_notes() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let told = dir.path().join("told");
    let program = format!(
        r#"cat > '{}'
        echo '{{"progress":"looking"}}'
        echo '{{"step":"look up","result":{{"found":1.50}}}}'
        echo '{{"outcome":"hand_off","to":"second","payload":{{ "n" : 2.0 }},"kind":"count.v2","note":"over to you"}}'"#,
        told.display()
    );
    let _first = worker(&mesh, dir.path(), "first", &["--json", "--exec", &program]).await;
    let _second = worker(
        &mesh,
        dir.path(),
        "second",
        &["--exec", "cat; echo $BATON_KIND $BATON_HOP >&2"],
    )
    .await;
    let sent = run(mesh.baton(&[
        "send",
        "first",
        "{\"n\":1}",
        "--id",
        "pair-1",
        "--wait",
        "--timeout",
        "30s",
    ]))
    .await;
    assert_eq!(sent.exits(0).stdout.trim_end(), r#"{ "n" : 2.0 }"#);

    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(told).expect("told")).expect("one object");
    assert_eq!(
        (&told["intent"], &told["payload"]["n"]),
        (&"pair-1".into(), &1.into()),
        "{told}"
    );
    assert_eq!((&told["hop"], &told["attempt"]), (&1.into(), &1.into()), "{told}");

    let history = mesh.mesh.history(&id("pair-1"), 1).await.expect("history");
    let find = |name: &str| {
        let found = history.iter().find(|head| head.record.event.name() == name);
        &found.unwrap_or_else(|| panic!("no {name}: {history:?}")).record
    };
    assert_eq!(find("progress").note.as_deref(), Some("looking"));
    let step = find("step").step.as_ref().expect("a step");
    assert_eq!(
        (step.name.as_str(), step.result.get()),
        ("look up", r#"{"found":1.50}"#)
    );
    assert_eq!(find("handed_off").note.as_deref(), Some("over to you"));
    let last = &history.last().expect("records").record.snapshot;
    assert_eq!((last.hop, last.kind.as_deref()), (2, Some("count.v2")));
    let path: Vec<&str> = last.path.iter().map(|entry| entry.agent.as_str()).collect();
    assert_eq!(path, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_rejects_by_json_with_its_reason() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let program = r#"cat > /dev/null; echo '{"outcome":"reject","code":"NOT_MINE","reason":"only invoices"}'"#;
    let _worker = worker(&mesh, dir.path(), "picky", &["--json", "--exec", program]).await;
    let sent = run(mesh.baton(&["send", "picky", "x", "--id", "no-1", "--wait", "--timeout", "30s"])).await;
    sent.exits(1).says(&["no-1", "rejected", "NOT_MINE", "only invoices"]);
    let head = mesh.until(&id("no-1"), "rejected", SOON).await;
    assert_eq!(head.record.snapshot.attempt, 1, "a rejection is not tried again");
    let show = run(mesh.baton(&["dead", "show", "no-1"])).await.exits(0);
    assert!(
        show.stdout.contains("NOT_MINE") && show.stdout.contains("only invoices"),
        "{}",
        show.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_a_program_decides_what_becomes_of_the_hop() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    // The payload is the exit code; `second` fails only once.
    let runs = dir.path().join("runs");
    let program = format!(
        r#"code=$(cat); echo "$BATON_INTENT $BATON_ATTEMPT" >> '{}'
        if [ "$code" = second ]; then code=$(( BATON_ATTEMPT == 1 ? 75 : 0 )); fi
        echo "because $code" >&2; echo done; exit $code"#,
        runs.display()
    );
    let _worker = worker(&mesh, dir.path(), "exit", &["--exec", &program, "--max-attempts", "2"]).await;
    // Payload, status, code, attempts.
    let cases: [(&str, &str, Option<&str>, u32); 5] = [
        ("0", "completed", None, 1),
        ("65", "failed", Some("EXIT_65"), 1),
        ("75", "parked", Some("EXIT_75"), 2),
        ("1", "parked", Some("EXIT_1"), 2),
        ("second", "completed", None, 2),
    ];
    for (payload, status, code, attempts) in cases {
        let intent = format!("exit-{payload}");
        mesh.submit(&intent, "exit", &format!("\"{payload}\"")).await;
        let head = mesh.until(&id(&intent), status, SOON).await;
        let snapshot = &head.record.snapshot;
        assert_eq!(snapshot.error.as_ref().map(|error| &*error.code), code, "{intent}");
        assert_eq!(snapshot.attempt, attempts, "{intent}");
        if let Some(error) = &snapshot.error {
            assert!(
                error.message.contains(&format!("because {payload}")),
                "{intent}: {}",
                error.message
            );
        } else {
            assert_eq!(text(&head), "\"done\"");
        }
        let retries = mesh.events_of(&id(&intent)).await;
        let retries = retries.iter().filter(|event| *event == "retry_scheduled").count();
        assert_eq!(retries, attempts as usize - 1, "{intent}");
        let ran = std::fs::read_to_string(&runs).expect("runs");
        let ran: Vec<&str> = ran
            .lines()
            .filter(|line| line.split(' ').next() == Some(&intent))
            .collect();
        let each: Vec<String> = (1..=attempts).map(|attempt| format!("{intent} {attempt}")).collect();
        assert_eq!(ran, each);
    }
}
