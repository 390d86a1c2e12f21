//! One piece of work of an agent under one key: what holds the key, what becomes of other work, and what a death in between
//! leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Fault, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, assert_legal};
use baton_e2e::gated::{Gate, id};
use baton_envelope::{Author, Envelope, OnConflict, Role, Unique, UniqueHolder};
use baton_jetstream::{ControllerMesh, Submitted, Uniquely};
use baton_testkit::{Headers, eventually};
use serde_json::{Value, json};

use crate::nats_cli::{Run, run};

/// An agent whose hops wait at a gate and then complete, or fail if the payload says so; counts its runs.
async fn worker(mesh: &TestMesh, gate: &Gate) -> (Running, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let (counted, gate) = (Arc::clone(&runs), gate.clone());
    let builder = agent("bill", move |envelope: Envelope| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = gate.clone();
        async move {
            gate.pass().await;
            match envelope.payload.get() {
                "\"fail\"" => Err(Fault::terminal("NO_LUCK", "not today")),
                _ => Outcome::complete(&envelope.payload),
            }
        }
    });
    let worker = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("bill", "1.0.0", "active").await;
    (worker, runs)
}

async fn send(mesh: &TestMesh, args: &[&str]) -> Run {
    let line: Vec<&str> = ["send", "bill"].iter().chain(args).copied().collect();
    run(mesh.baton(&line)).await
}

/// The intent that a `send --output json` tells of.
fn intent_of(sent: &Run) -> String {
    let document: Value = sent.json();
    document["intent"].as_str().expect("an intent").to_owned()
}

fn key(key: &str, on_conflict: OnConflict) -> Unique {
    Unique::new(key, None, on_conflict).expect("a key")
}

fn controller(mesh: &TestMesh) -> ControllerMesh {
    ControllerMesh::of(&mesh.mesh)
}

fn client() -> Author {
    Author::of(Role::Client, "test")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_work_holds_its_key_and_so_does_work_that_has_just_completed() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let (worker, runs) = worker(&mesh, &gate).await;
    let unique = ["--unique", "invoice 7", "--output", "json"];
    let first = send(&mesh, &[&["7", "--id", "first"], &unique[..]].concat())
        .await
        .exits(0);
    assert_eq!(
        (intent_of(&first), &first.json()["known"]),
        ("first".to_owned(), &Value::from(false))
    );

    // Kept, refused, and kept by whoever waits for the answer.
    let kept = send(&mesh, &[&["8"], &unique[..]].concat()).await.exits(0);
    assert_eq!(
        (intent_of(&kept), &kept.json()["known"]),
        ("first".to_owned(), &Value::from(true))
    );
    let refused = send(&mesh, &[&["8", "--on-conflict", "refuse"], &unique[..]].concat())
        .await
        .exits(4);
    assert!(
        format!("{refused:?}").contains("NOT_UNIQUE") && format!("{refused:?}").contains("first"),
        "{refused:?}"
    );
    // Another key, and another id under no key, are other work.
    let other = send(&mesh, &["8", "--unique", "invoice 8", "--output", "json"])
        .await
        .exits(0);
    assert_eq!(other.json()["known"], false);
    let waits = tokio::spawn(run(mesh.baton(&[
        "send",
        "bill",
        "9",
        "--unique",
        "invoice 7",
        "--wait",
    ])));
    gate.lift();
    assert_eq!(waits.await.expect("it ends").exits(0).stdout.trim(), "7");
    mesh.until(&id("first"), "completed", SOON).await;

    // Completed an instant ago: it holds its key still. Whose time is over, does not.
    let kept = send(&mesh, &[&["8"], &unique[..]].concat()).await.exits(0);
    assert_eq!(
        (intent_of(&kept), &kept.json()["snapshot"]["result"]),
        ("first".to_owned(), &Value::from(7))
    );
    let short = ["--unique", "short", "--within", "1ms", "--wait", "--output", "json"];
    let one = send(&mesh, &[&["1"], &short[..]].concat()).await.exits(0);
    let two = send(&mesh, &[&["2"], &short[..]].concat()).await.exits(0);
    assert_ne!(intent_of(&one), intent_of(&two));
    // The same id is the same work, whoever holds the key.
    let again = send(&mesh, &[&["7", "--id", "first"], &unique[..]].concat())
        .await
        .exits(0);
    assert_eq!(intent_of(&again), "first");
    assert_eq!(runs.load(Ordering::SeqCst), 4);

    for (bad, said) in [
        (&["8", "--unique", ""][..], "unique"),
        (&["8", "--within", "1h"][..], "--unique"),
        (&["8", "--unique", "k", "--within", "1y"][..], "within"),
        (&["8", "--unique", "k", "--on-conflict", "wait"][..], "replace"),
    ] {
        send(&mesh, bad).await.exits(2).says(&[said]);
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replaced_is_cancelled_and_what_failed_leaves_its_key() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let (worker, runs) = worker(&mesh, &gate).await;
    let unique = ["--unique", "k", "--on-conflict", "replace", "--output", "json"];
    send(&mesh, &[&["1", "--id", "one"], &unique[..]].concat())
        .await
        .exits(0);
    mesh.until(&id("one"), "in_progress", SOON).await;
    let two = send(&mesh, &[&["2", "--id", "two"], &unique[..]].concat())
        .await
        .exits(0);
    assert_eq!(intent_of(&two), "two");
    let head = mesh.until(&id("one"), "cancelled", SOON).await;
    assert!(
        head.record.note.as_deref().is_some_and(|note| note.contains("two")),
        "{head:?}"
    );
    gate.lift();
    mesh.until(&id("two"), "completed", SOON).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);

    let failed = ["--unique", "f", "--output", "json"];
    send(&mesh, &[&["fail", "--id", "bad", "--wait"], &failed[..]].concat())
        .await
        .exits(1);
    let next = send(&mesh, &[&["3", "--id", "good"], &failed[..]].concat())
        .await
        .exits(0);
    assert_eq!(
        (intent_of(&next), &next.json()["known"]),
        ("good".to_owned(), &Value::from(false))
    );
    // Work for an agent that is not there takes no key.
    let nobody = ["send", "nobody", "1", "--unique", "n"];
    run(mesh.baton(&nobody)).await.exits(3);
    let control = mesh.stream_state("KV_MESH_CONTROL").await;
    // The leader's lease, the server, and the keys `k` and `f`.
    assert_eq!(control["num_subjects"], 4, "{control}");
    for intent in ["one", "two", "bad", "good"] {
        assert_legal(&mesh.history_of(&id(intent)).await);
    }
    worker.stop().await;
}

/// Would fail if who meets others at the key gave up, or came back at the same moment as they.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_that_replace_each_other_are_all_submitted_and_one_is_left() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let (worker, _) = worker(&mesh, &gate).await;
    let mut senders = tokio::task::JoinSet::new();
    let ids: Vec<String> = (0..30).map(|number| format!("sender-{number}")).collect();
    for intent in &ids {
        let (mesh, envelope) = (mesh.mesh.clone(), mesh.envelope(intent, "bill", "1"));
        senders.spawn(async move {
            mesh.ask_to_submit_unique(envelope, key("k", OnConflict::Replace), client())
                .await
        });
    }
    for submitted in senders.join_all().await {
        assert!(matches!(submitted, Ok(Submitted::New { .. })), "{submitted:?}");
    }
    let mut open = 0;
    for intent in &ids {
        open += usize::from(!mesh.head_of(&id(intent)).await.record.snapshot.status.is_terminal());
    }
    assert_eq!(open, 1, "the others were replaced");
    gate.lift();
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_say_the_same_to_whoever_has_nats_alone() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let (worker, runs) = worker(&mesh, &gate).await;
    let bare = mesh.server.client().await;
    let mut answers = bare.subscribe("clients.answers").await.expect("subscribed");
    let headers = |pairs: &[(&str, &str)]| {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.insert(*name, *value);
        }
        headers
    };
    let publish = async |with: &[(&str, &str)]| {
        let stored = bare.request_with_headers("mesh.intent.bill", headers(with), "5".into());
        stored.await.expect("stored");
    };
    publish(&[("Baton-Intent", "one"), ("Baton-Unique", "k")]).await;
    mesh.until(&id("one"), "in_progress", SOON).await;
    publish(&[
        ("Baton-Intent", "two"),
        ("Baton-Unique", "k"),
        ("Baton-On-Conflict", "refuse"),
    ])
    .await;
    let refused = mesh.until(&id("two"), "rejected", SOON).await;
    let error = refused.record.snapshot.error.expect("why");
    assert_eq!(
        (error.code.as_str(), error.message.contains("one")),
        ("NOT_UNIQUE", true)
    );
    // What is kept is told the answer of what holds the key.
    publish(&[
        ("Baton-Intent", "three"),
        ("Baton-Unique", "k"),
        ("Baton-Reply-To", "clients.answers"),
    ])
    .await;
    for (intent, with) in [
        ("bad-1", ("Baton-Within", "soon")),
        ("bad-2", ("Baton-On-Conflict", "wait")),
        ("bad-3", ("Baton-Unique", "")),
    ] {
        publish(&[("Baton-Intent", intent), ("Baton-Unique", "k"), with]).await;
        let head = mesh.until(&id(intent), "rejected", SOON).await;
        assert_eq!(
            head.record.snapshot.error.map(|error| error.code),
            Some("BAD_HEADER".to_owned())
        );
    }
    eventually("all is taken in", SOON, async || {
        match mesh.mesh.intake_waiting().await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(mesh.mesh.head(&id("three")).await.expect("read").is_none());
    gate.lift();
    let told = tokio::time::timeout(SOON, futures::StreamExt::next(&mut answers)).await;
    let told = told.expect("in time").expect("an answer");
    assert_eq!(
        told.headers
            .and_then(|headers| headers.get("Baton-Intent").cloned())
            .as_ref()
            .map(|id| id.as_str()),
        Some("one")
    );
    // Whoever asks an agent hears what the one work comes to.
    let with = headers(&[("Baton-Unique", "k"), ("Baton-Wait", "10s")]);
    let asked = bare
        .request_with_headers("mesh.ask.bill", with, "6".into())
        .await
        .expect("an answer");
    assert_eq!(&*asked.payload, b"5");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submitter_that_died_between_the_key_and_the_work_leaves_neither_lost_work_nor_a_stuck_key() {
    let mesh = TestMesh::start().await;
    let (worker, runs) = worker(&mesh, &Gate::open()).await;
    let control = controller(&mesh);
    let dead = |intent: &str, to: &str, within_ms: u64| {
        let mut envelope = mesh.envelope(intent, "bill", "1");
        envelope.to = to.parse().expect("agent");
        UniqueHolder {
            key: "k".to_owned(),
            intent: id(intent),
            at: mesh.mesh.now(),
            within_ms,
            by: client(),
            envelope,
        }
    };
    // It took the key, and nothing else.
    let put = async |key: &Unique, holder: &UniqueHolder| {
        let bucket_key = key.bucket_key(&"bill".parse().expect("agent"), None);
        let body = serde_json::to_vec(holder).expect("JSON");
        let subject = format!("$KV.MESH_CONTROL.{bucket_key}");
        let client = mesh.server.client().await;
        let stored = client.request(subject, body.into()).await.expect("stored");
        let stored: Value = serde_json::from_slice(&stored.payload).expect("JSON");
        assert_eq!(stored.get("error"), None, "{stored}");
    };
    let submit = async |intent: &str, unique: &Unique| {
        let envelope = mesh.envelope(intent, "bill", "2");
        Box::pin(control.submit_unique(envelope, client(), unique))
            .await
            .expect("submitted")
    };
    let kept = key("kept", OnConflict::Keep);
    put(&kept, &dead("dead-1", "bill", 3_600_000)).await;
    let Uniquely::Held(head) = submit("next-1", &kept).await else {
        panic!("the work of the dead one is lost")
    };
    assert_eq!(head.record.intent, id("dead-1"));
    mesh.until(&id("dead-1"), "completed", SOON).await;
    // One that comes back itself goes on where it was.
    let back = key("back", OnConflict::Keep);
    put(&back, &dead("dead-2", "bill", 3_600_000)).await;
    let envelope = mesh.envelope("dead-2", "bill", "1");
    let again = control
        .submit_unique(envelope, client(), &back)
        .await
        .expect("submitted");
    assert!(matches!(again, Uniquely::Submitted(Submitted::New { .. })), "{again:?}");
    // Work that is refused holds no key, nor does work that nobody has waited for in all its time.
    for (name, to, within) in [("refused", "nobody", 3_600_000), ("old", "bill", 0)] {
        let unique = key(name, OnConflict::Refuse);
        put(&unique, &dead(&format!("dead-{name}"), to, within)).await;
        let next = submit(&format!("next-{name}"), &unique).await;
        assert!(matches!(next, Uniquely::Submitted(Submitted::New { .. })), "{next:?}");
    }
    for done in ["dead-2", "next-refused", "next-old"] {
        mesh.until(&id(done), "completed", SOON).await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_is_submitted() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let (worker, runs) = worker(&mesh, &gate).await;
    let unique = key("crowd", OnConflict::Keep);
    let mut tries = Vec::new();
    for number in 0..16 {
        let (control, unique) = (controller(&mesh), unique.clone());
        let envelope = mesh.envelope(&format!("crowd-{number}"), "bill", &number.to_string());
        tries.push(tokio::spawn(async move {
            match control
                .submit_unique(envelope, client(), &unique)
                .await
                .expect("an answer")
            {
                // Whoever was submitted by another in the crowd finds itself as a repeat.
                Uniquely::Submitted(Submitted::New { .. } | Submitted::Repeated(_)) => None,
                Uniquely::Submitted(conflict) => panic!("{conflict:?}"),
                Uniquely::Held(head) => Some(head.record.intent),
            }
        }));
    }
    let mut held = Vec::new();
    for one in tries {
        held.extend(one.await.expect("it ends"));
    }
    assert_eq!(held.len(), 15, "{held:?}");
    held.dedup();
    let [winner] = &held[..] else {
        panic!("several hold the key: {held:?}")
    };
    gate.lift();
    mesh.until(winner, "completed", Duration::from_secs(30)).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // The keys that nobody holds any more go.
    let over = Unique::new("over", Some(Duration::ZERO), OnConflict::Keep).expect("a key");
    let envelope = mesh.envelope("over", "bill", "1");
    controller(&mesh)
        .submit_unique(envelope, client(), &over)
        .await
        .expect("submitted");
    mesh.until(&id("over"), "completed", SOON).await;
    assert_eq!(controller(&mesh).remove_free_keys().await.expect("removed"), 1);
    assert_eq!(mesh.stream_state("KV_MESH_CONTROL").await["num_subjects"], json!(3));
    worker.stop().await;
}
