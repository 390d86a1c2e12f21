//! An agent is asked and the answer is the reply; whoever was restarted meanwhile finds the answer again by the same id.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::Outcome;
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal, logged};
use baton_e2e::gated::{Gate, id};
use baton_envelope::{Envelope, IntentId};
use baton_testkit::{Client, Headers, ProcessGuard, Request, TestServer, eventually, nats_cli};
use futures::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::accounts::Secured;
use crate::nats_cli::{Run, run};

/// A reply, as a program sees it that knows NATS alone.
#[derive(Debug)]
struct Answer {
    intent: Option<String>,
    status: Option<String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn parts(&self) -> (Option<&str>, Option<&str>, &str) {
        (self.intent.as_deref(), self.status.as_deref(), &self.body)
    }
}

/// How long an answer may take: longer than a controller waits for one, on a machine that does much else.
const ANSWERED: Duration = Duration::from_secs(60);

/// Where an ask goes, its headers, and the code that it is refused with.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

fn headers(pairs: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in pairs {
        headers.insert(*name, *value);
    }
    headers
}

/// Asks, and waits for as long as the answer takes; the error says why there is none.
async fn try_ask(client: &Client, subject: &str, with: &[(&str, &str)], body: &str) -> Result<Answer, String> {
    let request = Request::new()
        .headers(headers(with))
        .payload(body.to_owned().into())
        .timeout(Some(ANSWERED));
    let asked = client.send_request(subject.to_owned(), request);
    let answer = asked.await.map_err(|error| error.to_string())?;
    let header = |name: &str| {
        let value = answer.headers.as_ref().and_then(|headers| headers.get(name));
        value.map(|value| value.as_str().to_owned())
    };
    Ok(Answer {
        intent: header("Baton-Intent"),
        status: header("Baton-Status"),
        body: String::from_utf8_lossy(&answer.payload).into_owned(),
    })
}

async fn ask(client: &Client, subject: &str, with: &[(&str, &str)], body: &str) -> Answer {
    let answer = try_ask(client, subject, with, body).await;
    answer.unwrap_or_else(|error| panic!("{subject} {with:?} {body}: {error}"))
}

/// An agent that says `<payload>!` when its gate is open; counts its runs.
async fn teller(mesh: &TestMesh, gate: &Gate) -> (Running, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let (counted, gate) = (Arc::clone(&runs), gate.clone());
    let builder = agent("tell", move |envelope: Envelope| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Outcome::complete(&format!("{}!", envelope.payload.get().trim_matches('"')))
        }
    });
    let worker = Running::start(mesh.server.url(), builder).await;
    (worker, runs)
}

/// A controller in its own process, which can be killed.
fn controller(mesh: &TestMesh, name: &str, dir: &TempDir, settings: &[(&str, &str)]) -> ProcessGuard {
    let mut command = mesh.baton(&["controller", "--sweep-interval", "300ms"]);
    command.env("BATON_LOG", "info,async_nats=off");
    for (key, value) in settings {
        command.env(key, value);
    }
    ProcessGuard::spawn(name, command, dir.path())
}

async fn baton(mesh: &TestMesh, args: &[&str]) -> Run {
    run(mesh.baton(args)).await
}

async fn client(server: &TestServer) -> Client {
    server.client().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_of_an_agent_is_the_reply() {
    let mesh = TestMesh::start().await;
    let (worker, runs) = teller(&mesh, &Gate::open()).await;
    mesh.until_version_is("tell", "1.0.0", "active").await;
    let asker = client(&mesh.server).await;

    let with = [("Baton-Intent", "q-1")];
    let answer = ask(&asker, "mesh.ask.tell", &with, "otters").await;
    assert_eq!(answer.parts(), (Some("q-1"), Some("completed"), "\"otters!\""));
    // The same question once more is the same intent, however long it is waited for.
    let again = [("Baton-Intent", "q-1"), ("Baton-Wait", "1m")];
    let repeated = ask(&asker, "mesh.ask.tell", &again, "otters").await;
    assert_eq!(repeated.parts(), answer.parts());
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(mesh.events_of(&id("q-1")).await, ["submitted", "completed"]);
    // Nothing of it went through the intake.
    assert_eq!(mesh.stream_state("MESH_INTAKE").await["last_seq"], 0);

    // Without an id each ask is an intent of its own, and the reply names it.
    let one = ask(&asker, "mesh.ask.tell", &[], "otters").await;
    let two = ask(&asker, "mesh.ask.tell", &[], "otters").await;
    assert_eq!((one.body.as_str(), two.body.as_str()), ("\"otters!\"", "\"otters!\""));
    assert!(one.intent.is_some() && one.intent != two.intent, "{one:?} {two:?}");

    if let Some(nats) = nats_cli().await {
        let asked = ["req", "mesh.ask.tell", "weasels", "-H", "Baton-Intent:q-2", "--raw"];
        let printed = Run::from(nats.run(mesh.server.url(), &asked).await).exits(0);
        assert_eq!(printed.stdout.trim(), "\"weasels!\"", "{printed:?}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_wait_so_long_is_told_how_to_fetch_the_answer() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let (worker, runs) = teller(&mesh, &gate).await;
    mesh.until_version_is("tell", "1.0.0", "active").await;
    let asker = client(&mesh.server).await;
    let with = [("Baton-Intent", "q-1"), ("Baton-Wait", "300ms")];
    let told = ask(&asker, "mesh.ask.tell", &with, "otters").await;
    let body = told.json();
    let status = told.status.as_deref().unwrap_or_default();
    assert!(["pending", "in_progress"].contains(&status), "{told:?}");
    assert_eq!(
        (&body["intent"], &body["agent"]),
        (&Value::from("q-1"), &Value::from("tell"))
    );
    assert_eq!(body["status"], status);
    let fetch = body["fetch"].as_str().unwrap_or_default();
    for part in ["mesh.ask.tell", "Baton-Intent: q-1", "baton intents wait q-1"] {
        assert!(fetch.contains(part), "{fetch}");
    }
    let late = baton(&mesh, &["intents", "wait", "q-1", "--timeout", "300ms"])
        .await
        .exits(5);
    late.says(&["q-1", "has not ended"]);

    // Two ways to fetch it; whoever comes before the answer is there waits for it.
    let waits = tokio::spawn(run(mesh.baton(&["intents", "wait", "q-1"])));
    gate.lift();
    let answer = ask(&asker, "mesh.ask.tell", &[("Baton-Intent", "q-1")], "otters").await;
    assert_eq!(answer.parts(), (Some("q-1"), Some("completed"), "\"otters!\""));
    let waited = waits.await.expect("it ends").exits(0);
    assert_eq!(waited.stdout.trim(), "otters!", "{waited:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_ask_is_answered_with_its_code_and_recorded() {
    let mesh = TestMesh::start().await;
    let (worker, runs) = teller(&mesh, &Gate::open()).await;
    mesh.until_version_is("tell", "1.0.0", "active").await;
    let asker = client(&mesh.server).await;
    let cases: [Case<'_>; 5] = [
        ("mesh.ask.nobody", &[("Baton-Intent", "b-1")], "UNKNOWN_AGENT"),
        ("mesh.ask.No-Agent", &[("Baton-Intent", "b-2")], "BAD_SUBJECT"),
        (
            "mesh.ask.tell",
            &[("Baton-Intent", "b-3"), ("Baton-Priority", "eleven")],
            "BAD_HEADER",
        ),
        (
            "mesh.ask.tell",
            &[("Baton-Intent", "b-4"), ("Baton-Wait", "1h")],
            "BAD_HEADER",
        ),
        (
            "mesh.ask.tell",
            &[("Baton-Intent", "b-5"), ("Baton-Protocol", "1.3.0")],
            "MALFORMED_ENVELOPE",
        ),
    ];
    for (subject, with, code) in cases {
        let refused = ask(&asker, subject, with, "otters").await;
        let said = refused.json();
        assert_eq!(
            (&said["error"]["code"], refused.status.as_deref()),
            (&Value::from(code), Some("rejected"))
        );
        let text = |field: &str| said["error"][field].as_str().unwrap_or_default().to_owned();
        assert!(
            !text("fix").is_empty() && !text("message").contains("fix:"),
            "what to do stands apart: {said}"
        );
        let intent = id(refused.intent.as_deref().expect("an id"));
        let head = mesh.head_of(&intent).await;
        let raw = head.record.raw.as_ref().expect("the message is kept");
        assert_eq!(
            raw.subject,
            subject.replace(".ask.", ".intent."),
            "as the intake would have it"
        );
        assert_eq!(
            head.record.snapshot.error.as_ref().map(|error| error.code.as_str()),
            Some(code)
        );
        // The same ask has the same answer.
        let again = ask(&asker, subject, with, "otters").await;
        assert_eq!(again.json()["error"], said["error"], "{again:?}");
    }
    ask(&asker, "mesh.ask.tell", &[("Baton-Intent", "b-6")], "otters").await;
    let other = ask(&asker, "mesh.ask.tell", &[("Baton-Intent", "b-6")], "weasels").await;
    assert_eq!(other.json()["error"]["code"], "CONFLICT", "{other:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // Nobody could be told: nothing is done.
    let plain = asker.publish_with_headers("mesh.ask.tell", headers(&[("Baton-Intent", "b-7")]), "x".into());
    plain.await.expect("sent");
    let own = asker.publish_with_reply_and_headers(
        "mesh.ask.tell",
        "mesh.load",
        headers(&[("Baton-Intent", "b-8")]),
        "x".into(),
    );
    own.await.expect("sent");
    ask(&asker, "mesh.ask.tell", &[("Baton-Intent", "b-9")], "otters").await;
    for dropped in ["b-7", "b-8"] {
        assert!(mesh.mesh.head(&id(dropped)).await.expect("read").is_none(), "{dropped}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_finds_the_answer_after_the_controller_died_and_after_the_archive() {
    let mesh = TestMesh::start_without_controller().await;
    let dir = TempDir::new().expect("a folder");
    let kept = [("BATON_ARCHIVE__ENABLED", "false")];
    let mut first = controller(&mesh, "first", &dir, &kept);
    logged(&first, "controller started").await;
    let gate = Gate::shut();
    let (worker, runs) = teller(&mesh, &gate).await;
    mesh.until_version_is("tell", "1.0.0", "active").await;
    let asker = client(&mesh.server).await;
    let with = [("Baton-Intent", "q-1"), ("Baton-Wait", "30s")];

    // The controller dies with the question in its hands.
    let waits = {
        let asker = asker.clone();
        tokio::spawn(async move { try_ask(&asker, "mesh.ask.tell", &with, "otters").await })
    };
    mesh.until(&id("q-1"), "in_progress", SOON).await;
    first.kill();
    // The server may read this question before it reads that the connection of the dead one is closed.
    eventually("nobody serves questions", ANSWERED, async || {
        match try_ask(&asker, "mesh.ask.tell", &with, "otters").await {
            Err(error) if error.contains("no responders") => Ok(()),
            said => Err(format!("{said:?}")),
        }
    })
    .await;
    waits.abort();
    gate.lift();
    mesh.until(&id("q-1"), "completed", SOON).await;
    let mut second = controller(&mesh, "second", &dir, &kept);
    logged(&second, "controller started").await;
    let answer = ask(&asker, "mesh.ask.tell", &with, "otters").await;
    assert_eq!(answer.parts(), (Some("q-1"), Some("completed"), "\"otters!\""));
    // One whose id Baton made is found by it, too.
    let generated = ask(&asker, "mesh.ask.tell", &[("Baton-Wait", "30s")], "weasels").await;
    assert_eq!(generated.status.as_deref(), Some("completed"), "{generated:?}");
    second.terminate();
    second.wait(SOON).await;

    // The ledger forgets all of it; only the archive knows.
    let purging = [("BATON_ARCHIVE__GRACE", "0s"), ("BATON_ARCHIVE__KEEP_CHOSEN_IDS", "0s")];
    let third = controller(&mesh, "third", &dir, &purging);
    logged(&third, "controller started").await;
    eventually("the ledger is empty", Duration::from_secs(60), async || {
        let state = mesh.stream_state("MESH_LEDGER").await;
        if state["messages"] == 0 {
            Ok(())
        } else {
            Err(state.to_string())
        }
    })
    .await;
    let archived = ask(&asker, "mesh.ask.tell", &with, "otters").await;
    assert_eq!(archived.parts(), answer.parts());
    let own = generated.intent.as_deref().expect("an id");
    let archived = ask(&asker, "mesh.ask.tell", &[("Baton-Intent", own)], "weasels").await;
    assert_eq!(archived.parts(), generated.parts());
    let other = ask(&asker, "mesh.ask.tell", &with, "weasels").await;
    assert_eq!(other.json()["error"]["code"], "CONFLICT", "{other:?}");
    // So do the commands.
    let sent = baton(&mesh, &["send", "tell", "otters", "--id", "q-1", "--wait"])
        .await
        .exits(0);
    assert_eq!(sent.stdout.trim(), "otters!", "{sent:?}");
    let waited = baton(&mesh, &["intents", "wait", "q-1"]).await.exits(0);
    assert_eq!(waited.stdout.trim(), "otters!", "{waited:?}");
    let other = baton(&mesh, &["send", "tell", "weasels", "--id", "q-1", "--wait"])
        .await
        .exits(4);
    other.says(&["q-1", "payload"]);
    assert_eq!(runs.load(Ordering::SeqCst), 2, "nothing ran again");
    worker.stop().await;
}

/// The next answer on a subject, as (intent, body).
async fn heard(answers: &mut baton_testkit::Subscriber) -> (String, String) {
    let next = tokio::time::timeout(SOON, answers.next()).await;
    let message = next.expect("an answer in time").expect("connected");
    let intent = message.headers.as_ref().and_then(|headers| headers.get("Baton-Intent"));
    let intent = intent.map_or_else(String::new, |intent| intent.as_str().to_owned());
    (intent, String::from_utf8_lossy(&message.payload).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_publisher_hears_the_answer_where_it_listens_now() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let (worker, runs) = teller(&mesh, &gate).await;
    mesh.until_version_is("tell", "1.0.0", "active").await;
    let publisher = client(&mesh.server).await;
    let listen = async |subject: &str| publisher.subscribe(subject.to_owned()).await.expect("subscribed");
    let (mut before, mut now, mut later) = (
        listen("clients.1.before").await,
        listen("clients.1.now").await,
        listen("clients.1.later").await,
    );
    let publish = async |reply_to: &str| {
        let with = headers(&[("Baton-Intent", "q-1"), ("Baton-Reply-To", reply_to)]);
        let stored = publisher.request_with_headers("mesh.intent.tell", with, "otters".into());
        stored.await.expect("stored");
    };
    publish("clients.1.before").await;
    mesh.until(&id("q-1"), "in_progress", SOON).await;
    // It comes back while the work goes on, and listens somewhere else.
    publish("clients.1.now").await;
    eventually("the repeat is taken in", SOON, async || {
        match mesh.mesh.intake_waiting().await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    gate.lift();
    let expected = ("q-1".to_owned(), "\"otters!\"".to_owned());
    assert_eq!(heard(&mut now).await, expected);
    assert_eq!(heard(&mut before).await, expected);
    // And once more after the end.
    publish("clients.1.later").await;
    assert_eq!(heard(&mut later).await, expected);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_wait_ends_as_send_wait_does() {
    let mesh = TestMesh::start().await;
    let never = agent("never", |_| async {
        Err::<Outcome, _>(baton_agent::Fault::terminal("NO_LUCK", "not today"))
    });
    let worker = Running::start(mesh.server.url(), never).await;
    mesh.until_version_is("never", "1.0.0", "active").await;
    mesh.submit_to("never", &id("lost")).await;
    let sent = baton(&mesh, &["intents", "wait", "lost"]).await.exits(1);
    sent.says(&["lost", "not today"]);
    let json = baton(&mesh, &["intents", "wait", "lost", "--output", "json"])
        .await
        .exits(1);
    assert_eq!(json.json()["snapshot"]["error"]["code"], "NO_LUCK");
    let unknown = baton(&mesh, &["intents", "wait", "nowhere", "--timeout", "200ms"])
        .await
        .exits(3);
    unknown.says(&["nowhere"]);
    assert_legal(&mesh.history_of(&id("lost")).await);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_secured_mesh_an_account_asks_in_its_own_name_and_hears_its_own_answers() {
    let mesh = Secured::start().await;
    let shop = mesh.server.client_as("shop").await;
    let intent: IntentId = id("order-1");
    let with = [("Baton-Intent", "order-1"), ("Baton-Wait", "20s")];
    let answer = ask(&shop, "mesh.ask.research", &with, "otters").await;
    assert_eq!(
        answer.parts(),
        (Some("order-1"), Some("completed"), "\"done: \\\"otters\\\"\"")
    );
    let history = mesh.control.history(&intent, 1).await.expect("history");
    let first = &history.first().expect("submitted").record;
    let from = first.envelope.as_ref().and_then(|envelope| envelope.from.as_deref());
    assert_eq!((from, &*first.by.instance), (Some("shop"), "shop"));
    // Its own again, and not that of another.
    let again = ask(&shop, "mesh.ask.research", &with, "otters").await;
    assert_eq!(again.parts(), answer.parts());
    let ada = mesh.server.client_as("ada").await;
    let refused = ask(&ada, "mesh.ask.research", &with, "otters").await;
    assert_eq!(refused.json()["error"]["code"], "CONFLICT", "{refused:?}");
    // An agent that it may not ask does not hear it, nor does anybody in another's name.
    for subject in ["mesh.ask.code", "mesh.from.ada.ask.research"] {
        let denied = try_ask(&shop, subject, &with, "x").await;
        assert!(denied.is_err_and(|error| error.contains("no responders")), "{subject}");
    }
}
