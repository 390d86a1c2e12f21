//! A message of a channel reaches every subscriber once, also the one that is down; a message that not all can get, nobody gets.

mod away;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, count, events};
use baton_e2e::gated::{id, result_as};
use baton_envelope::control::{ChannelAct, SetRoute, ShowBroadcast, SubscribeAgent, UnsubscribeAgent, VersionAct};
use baton_envelope::{ChannelName, IntentId, RECEIVERS};
use baton_jetstream::ChannelMessage;
use baton_testkit::{eventually, nats_cli};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_cli::{Publisher, Run, run, worker};

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);
/// How long a hundred receivers may take there.
const LONG: Duration = Duration::from_secs(400);

/// Notes that it ran, and fails where its payload says so.
struct Note(Arc<AtomicUsize>);

impl Handler for Note {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, news: Value) -> Result<Outcome, Fault> {
        let runs = Arc::clone(&self.0);
        hop.step("noted", || async {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Fault>(())
        })
        .await?;
        match news["refuse"] == json!(hop.envelope().to.as_str()) {
            true => Err(Fault::terminal("NO_INTEREST", "not for me")),
            false => Outcome::complete(&news),
        }
    }
}

fn listener(name: &str, runs: &Arc<AtomicUsize>) -> AgentBuilder {
    let agent = Agent::builder(name, "1.0.0").expect("agent");
    agent.handler(Note(Arc::clone(runs)))
}

/// Starts an agent that declares the channel.
async fn subscriber(mesh: &TestMesh, name: &str, runs: &Arc<AtomicUsize>) -> Running {
    let worker = Running::start(mesh.server.url(), listener(name, runs).channel("news")).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    worker
}

fn message(intent: &str, receivers: &[&str], body: &Value) -> ChannelMessage {
    ChannelMessage {
        channel: "news".parse().expect("channel"),
        intent: id(intent),
        body: body.to_string().into(),
        kind: None,
        receivers: receivers.iter().map(|name| name.parse().expect("agent")).collect(),
        headers: Vec::new(),
    }
}

async fn publish(mesh: &TestMesh, message: ChannelMessage) {
    mesh.mesh.publish_to_channel(message).await.expect("stored");
}

fn copy(of: &IntentId, index: u32) -> IntentId {
    IntentId::of_child(of, 0, RECEIVERS, index)
}

async fn baton(mesh: &TestMesh, arguments: &[&str]) -> Run {
    run(mesh.baton(arguments)).await
}

async fn rejected_with(mesh: &TestMesh, intent: &IntentId, code: &str) -> String {
    let head = mesh.until(intent, "rejected", SOON).await;
    let error = head.record.error.expect("an error");
    assert_eq!(error.code, code, "{error:?}");
    assert!(head.record.raw.is_some(), "the message is kept");
    error.message
}

fn act(agent: &str) -> ChannelAct {
    ChannelAct {
        channel: "news".parse().expect("channel"),
        agent: agent.parse().expect("agent"),
        by: "test".to_owned(),
        reason: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subscriber_gets_one_copy_and_the_end_says_who_failed() {
    let mesh = TestMesh::start().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for name in ["ada", "bob", "eve"] {
        workers.push(subscriber(&mesh, name, &runs).await);
    }
    let root = id("news-1");
    publish(&mesh, message("news-1", &[], &json!({"refuse": "bob"}))).await;
    // A repeat is the same message.
    publish(&mesh, message("news-1", &[], &json!({"refuse": "bob"}))).await;
    let head = mesh.until(&root, "completed", SOON).await;
    let expected = json!({"intent": root, "channel": "news", "receivers": 3, "completed": 2, "not_completed": [
        {"agent": "bob", "intent": copy(&root, 1), "state": "failed", "code": "NO_INTEREST"}]});
    assert_eq!(result_as::<Value>(&head), expected);
    let history = mesh.history_of(&root).await;
    assert_legal(&history);
    let first = &history[0].record;
    assert_eq!(first.snapshot.status.to_string(), "waiting(children)");
    assert_eq!((first.snapshot.agent.as_ref(), first.snapshot.hop), (None, 0));
    let receivers: Vec<&str> = first.receivers().iter().map(|agent| agent.as_str()).collect();
    assert_eq!(receivers, ["ada", "bob", "eve"]);
    assert_eq!(history.last().expect("a record").record.snapshot.children, []);
    for (index, agent) in (0..).zip(receivers) {
        let history = mesh.history_of(&copy(&root, index)).await;
        let begun = &history[0].record.snapshot;
        assert_eq!(begun.agent.as_ref().map(|agent| agent.as_str()), Some(agent));
        assert_eq!((&begun.parent, &begun.root), (&Some(root.clone()), &Some(root.clone())));
        assert_eq!(begun.hop, 1);
        assert_legal(&history);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_receivers_of_which_ten_are_down_each_do_it_once() {
    let mesh = TestMesh::start().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let name = |number: usize| format!("agent-{number:03}");
    // The last ten have a version, and no worker lives.
    for number in 90..100 {
        let agent = name(number).parse().expect("agent");
        let version = "1.0.0".parse().expect("version");
        let (by, reason) = ("test".to_owned(), None);
        let asked = SetRoute(VersionAct {
            agent,
            version,
            by,
            reason,
        });
        mesh.ask(&asked).await.expect("a route");
        mesh.ask(&SubscribeAgent(act(&name(number)))).await.expect("subscribed");
    }
    let mut workers = Vec::new();
    for number in 0..90 {
        workers.push(Running::start(mesh.server.url(), listener(&name(number), &runs).channel("news")).await);
    }
    for number in 0..90 {
        mesh.until_version_is(&name(number), "1.0.0", "active").await;
    }
    let root = id("news-100");
    publish(&mesh, message("news-100", &[], &json!({"what": "rain"}))).await;
    let view = eventually("ninety have done it", LONG, async || {
        let view = mesh.ask(&ShowBroadcast { intent: root.clone() }).await;
        let view = view.map_err(|error| error.to_string())?;
        match view.completed {
            90 => Ok(view),
            _ => Err(format!("{} taken, {} completed", view.taken, view.completed)),
        }
    })
    .await;
    assert_eq!(
        (view.receivers, view.taken, view.status.as_str()),
        (100, 90, "waiting(children)")
    );
    let late: Vec<&str> = view
        .copies
        .iter()
        .filter(|copy| !copy.taken)
        .map(|copy| copy.agent.as_str())
        .collect();
    assert_eq!(late, (90..100).map(name).collect::<Vec<_>>());
    for number in 90..100 {
        workers.push(Running::start(mesh.server.url(), listener(&name(number), &runs)).await);
    }
    let head = mesh.until(&root, "completed", LONG).await;
    assert_eq!(result_as::<Value>(&head)["completed"], 100);
    assert_eq!(runs.load(Ordering::SeqCst), 100, "each did it once");
    for index in 0..100 {
        let history = mesh.history_of(&copy(&root, index)).await;
        assert_legal(&history);
        assert_eq!(count(&history, "submitted"), 1, "{:?}", events(&history));
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_receiver_refuses_the_whole_and_nobody_subscribed_is_told() {
    let mesh = TestMesh::start().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = subscriber(&mesh, "ada", &runs).await;
    publish(&mesh, message("misspelt", &["ada", "aad"], &json!({}))).await;
    let said = rejected_with(&mesh, &id("misspelt"), "UNKNOWN_RECEIVER").await;
    assert!(said.contains("aad") && !said.contains("ada,"), "{said}");
    let nowhere = ChannelMessage {
        channel: "weather".parse().expect("channel"),
        ..message("nowhere", &[], &json!({}))
    };
    publish(&mesh, nowhere).await;
    let said = rejected_with(&mesh, &id("nowhere"), "NO_SUBSCRIBERS").await;
    assert!(said.contains("weather"), "{said}");
    // What an operator says comes before what is declared.
    mesh.ask(&UnsubscribeAgent(act("ada"))).await.expect("unsubscribed");
    publish(&mesh, message("silenced", &[], &json!({}))).await;
    rejected_with(&mesh, &id("silenced"), "NO_SUBSCRIBERS").await;
    mesh.ask(&SubscribeAgent(act("ada"))).await.expect("subscribed");
    publish(&mesh, message("heard", &[], &json!({}))).await;
    mesh.until(&id("heard"), "completed", SOON).await;
    // The same id with other work is a conflict, and leaves what is there alone.
    publish(&mesh, message("heard", &[], &json!({"other": true}))).await;
    mesh.until_intake_is_empty().await;
    let heard = mesh.head_of(&id("heard")).await;
    assert_eq!(heard.record.snapshot.status.name(), "completed");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let no_one = [("Baton-Receivers", " , "), ("Baton-Intent", "empty")];
    let bad = [("Baton-Receivers", "ada,a.b"), ("Baton-Intent", "bad-name")];
    let later = [("Baton-Not-Before", "10m"), ("Baton-Intent", "later")];
    for headers in [no_one, bad, later] {
        let own: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let stored = mesh
            .mesh
            .publish_raw("mesh.channel.news".to_owned(), own, "{}".into())
            .await;
        stored.expect("stored");
        rejected_with(&mesh, &id(headers[1].1), "BAD_HEADER").await;
    }
    let long: ChannelName = "a".repeat(63).parse().expect("channel");
    for (name, code) in [(long.to_string(), "NO_SUBSCRIBERS"), ("a".repeat(2_000), "BAD_SUBJECT")] {
        let intent = format!("long-{}", name.len());
        let headers = vec![("Baton-Intent".to_owned(), intent.clone())];
        let stored = mesh
            .mesh
            .publish_raw(format!("mesh.channel.{name}"), headers, "{}".into())
            .await;
        stored.expect("stored");
        rejected_with(&mesh, &id(&intent), code).await;
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_message_takes_its_open_copies_back() {
    let mesh = TestMesh::start().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = subscriber(&mesh, "ada", &runs).await;
    let version = "1.0.0".parse().expect("version");
    let down = SetRoute(VersionAct {
        agent: "bob".parse().expect("agent"),
        version,
        by: "test".to_owned(),
        reason: None,
    });
    mesh.ask(&down).await.expect("a route");
    publish(&mesh, message("recalled", &["ada", "bob"], &json!({}))).await;
    let root = id("recalled");
    mesh.until(&copy(&root, 0), "completed", SOON).await;
    mesh.until(&copy(&root, 1), "pending", SOON).await;
    let paused = baton(&mesh, &["intents", "pause", "recalled", "--reason", "wait"])
        .await
        .exits(4);
    assert!(paused.stderr.contains("no agent has it"), "{paused:#?}");
    baton(&mesh, &["intents", "cancel", "recalled", "--reason", "a mistake"])
        .await
        .exits(0);
    mesh.until(&copy(&root, 1), "cancelled", SOON).await;
    assert_legal(&mesh.history_of(&root).await);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_by_the_command() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let shout = ["--exec", "tr a-z A-Z", "--channel", "news"];
    let _ada = worker(&mesh, dir.path(), "ada", &shout).await;
    let _bob = worker(&mesh, dir.path(), "bob", &["--exec", "cat"]).await;
    baton(&mesh, &["channels", "subscribe", "news", "bob"]).await.exits(0);
    let list = baton(&mesh, &["channels", "list", "--output", "json"])
        .await
        .exits(0)
        .json();
    let agents: Vec<&Value> = list["channels"][0]["subscribers"]
        .as_array()
        .expect("subscribers")
        .iter()
        .map(|one| &one["agent"])
        .collect();
    assert_eq!(agents, ["ada", "bob"], "{list}");
    let show = baton(&mesh, &["channels", "show", "news"]).await.exits(0);
    assert!(
        show.stdout.contains("declared") && show.stdout.contains("operator"),
        "{show:#?}"
    );
    baton(&mesh, &["channels", "show", "weather"])
        .await
        .exits(3)
        .says(&["weather"]);

    let sent = [
        "send",
        "--channel",
        "news",
        "rain",
        "--id",
        "by-command",
        "--wait",
        "--timeout",
        "100s",
    ];
    let sent: Run = baton(&mesh, &sent).await.exits(0);
    let result: Value = serde_json::from_str(&sent.stdout).expect("JSON");
    assert_eq!(
        (&result["receivers"], &result["completed"]),
        (&json!(2), &json!(2)),
        "{result}"
    );
    baton(&mesh, &["send", "--channel", "news", "rain", "--id", "by-command"])
        .await
        .exits(0);
    baton(&mesh, &["send", "--channel", "news", "snow", "--id", "by-command"])
        .await
        .exits(4)
        .says(&["taken"]);
    let status = baton(&mesh, &["channels", "status", "by-command", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(
        (&status["taken"], &status["status"]),
        (&json!(2), &json!("completed")),
        "{status}"
    );
    let refused = [
        "send",
        "--channel",
        "news",
        "rain",
        "--receiver",
        "bob",
        "--receiver",
        "nobody",
    ];
    baton(&mesh, &refused)
        .await
        .exits(4)
        .says(&["UNKNOWN_RECEIVER", "nobody", "baton dead show"]);
    baton(&mesh, &["send", "--channel", &"a".repeat(10_000), "rain"])
        .await
        .exits(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_by_nats_alone() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let _ada = worker(&mesh, dir.path(), "ada", &["--exec", "cat", "--channel", "news"]).await;
    let _bob = worker(&mesh, dir.path(), "bob", &["--exec", "cat"]).await;
    let mut publishers = vec![Publisher::BareClient];
    publishers.extend(nats_cli().await.map(Publisher::NatsCli));
    for (number, publisher) in publishers.into_iter().enumerate() {
        let intent = format!("by-nats-{number}");
        let headers = [("Baton-Intent", intent.as_str()), ("Baton-Receivers", "bob, ada")];
        publisher
            .publish(&mesh.server, "mesh.channel.news", &headers, "snow")
            .await;
        let root = id(&intent);
        mesh.until(&root, "completed", SOON).await;
        // In the order in which the message names them.
        let first = mesh.head_of(&copy(&root, 0)).await;
        assert_eq!(
            first.record.snapshot.agent.as_ref().map(|agent| agent.as_str()),
            Some("bob")
        );
    }
}
