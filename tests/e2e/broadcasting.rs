//! A hop ends with a message of a channel: each receiver gets a copy, and the intent of the hop completes when all have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome, RetryPolicy, Wait};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, assert_legal, count, events};
use baton_e2e::gated::result_as;
use baton_envelope::control::{SetRoute, ShowBroadcast, VersionAct};
use baton_envelope::{IntentId, MaxHops, RECEIVERS};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_cli::{run, worker};

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);

/// What an announcer is told to do.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Order {
    channel: String,
    news: Value,
    to: Option<Vec<String>>,
    kind: Option<String>,
    /// Whether a wait has the name that the receivers need.
    waits: bool,
}

/// Sends what it is told to a channel, and counts how often it does so.
struct Announce(Arc<AtomicUsize>);

impl Handler for Announce {
    type Input = Order;

    async fn handle(&self, hop: &mut Hop, order: Order) -> Result<Outcome, Fault> {
        self.0.fetch_add(1, Ordering::SeqCst);
        hop.step("written", || async { Ok::<_, Fault>(()) }).await?;
        if order.waits {
            hop.wait(Wait::sleep(RECEIVERS, Duration::from_millis(50))).await?;
        }
        let mut outcome = Outcome::broadcast(&order.channel, &order.news)?.with_note("told all");
        if let Some(agents) = &order.to {
            outcome = outcome.to_receivers(agents.iter().map(String::as_str))?;
        }
        Ok(match order.kind {
            Some(kind) => outcome.with_kind(kind),
            None => outcome,
        })
    }
}

/// Takes a copy, and declines where its payload says so.
struct Listen;

impl Handler for Listen {
    type Input = Value;

    async fn handle(&self, hop: &mut Hop, news: Value) -> Result<Outcome, Fault> {
        match news["refuse"] == json!(hop.envelope().to.as_str()) {
            true => Err(Fault::terminal("NO_INTEREST", "not for me")),
            false => Outcome::complete(&news),
        }
    }
}

struct Stage {
    mesh: TestMesh,
    workers: Vec<Running>,
    runs: Arc<AtomicUsize>,
}

impl Stage {
    /// An announcer, and two that listen to `news`.
    async fn start() -> Self {
        let mesh = TestMesh::start().await;
        let runs = Arc::new(AtomicUsize::new(0));
        let agent = |name: &str| Agent::builder(name, "1.0.0").expect("agent");
        // What is tried again in vain is parked soon.
        let policy = RetryPolicy {
            max_attempts: 2,
            ..RetryPolicy::default()
        };
        let announcer = agent("crier").handler(Announce(Arc::clone(&runs))).retry(policy);
        let url = mesh.server.url();
        let workers = vec![
            Running::start(url, agent("ada").handler(Listen).channel("news")).await,
            Running::start(url, agent("bob").handler(Listen).channel("news")).await,
            Running::start(url, announcer).await,
        ];
        for agent in ["ada", "bob", "crier"] {
            mesh.until_version_is(agent, "1.0.0", "active").await;
        }
        Self { mesh, workers, runs }
    }

    async fn stop(self) {
        for worker in self.workers {
            worker.stop().await;
        }
    }
}

fn copy(of: &IntentId, hop: u32, index: u32) -> IntentId {
    IntentId::of_child(of, hop, RECEIVERS, index)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subscriber_gets_a_copy_and_the_intent_says_who_failed() {
    let stage = Stage::start().await;
    let mesh = &stage.mesh;
    let order = json!({"channel": "news", "news": {"refuse": "bob", "rain": 1.5}});
    let mut envelope = mesh.envelope("order-42", "crier", &order.to_string());
    envelope.priority = baton_envelope::Priority::new(8).expect("in range");
    let intent = mesh.submit_envelope(envelope).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let expected = json!({"intent": intent, "channel": "news", "receivers": 2, "completed": 1, "not_completed": [
        {"agent": "bob", "intent": copy(&intent, 1, 1), "state": "failed", "code": "NO_INTEREST"}]});
    assert_eq!(result_as::<Value>(&head), expected);
    assert_eq!(stage.runs.load(Ordering::SeqCst), 1, "the handler does not run again");
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    for (event, times) in [("fanned_out", 1), ("resumed", 0), ("completed", 1)] {
        assert_eq!(count(&history, event), times, "{event} in {:?}", events(&history));
    }
    let opener = history
        .iter()
        .find(|head| head.record.broadcast.is_some())
        .expect("one");
    assert_eq!(opener.record.note.as_deref(), Some("told all"));
    assert_eq!(opener.record.snapshot.status.to_string(), "waiting(children)");
    for (index, agent) in (0..).zip(["ada", "bob"]) {
        let history = mesh.history_of(&copy(&intent, 1, index)).await;
        assert_legal(&history);
        let begun = &history[0].record;
        let envelope = begun.envelope.as_ref().expect("an envelope");
        assert_eq!((envelope.to.as_str(), envelope.hop), (agent, 2), "one hop further");
        assert_eq!((envelope.root(), envelope.parent.as_ref()), (&intent, Some(&intent)));
        assert_eq!(
            (envelope.from.as_deref(), envelope.kind.as_deref()),
            (Some("crier@1.0.0"), None)
        );
        assert_eq!(envelope.payload.get(), order["news"].to_string());
        assert_eq!(envelope.priority.get(), 8);
    }
    let view = mesh
        .ask(&ShowBroadcast { intent: intent.clone() })
        .await
        .expect("a view");
    assert_eq!((view.receivers, view.taken, view.completed), (2, 2, 1));
    assert_eq!((view.channel.as_str(), view.status.as_str()), ("news", "completed"));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_receiver_that_is_down_gets_its_copy_and_a_cancel_takes_it_back() {
    let stage = Stage::start().await;
    let mesh = &stage.mesh;
    let down = SetRoute(VersionAct {
        agent: "eve".parse().expect("agent"),
        version: "1.0.0".parse().expect("version"),
        by: "test".to_owned(),
        reason: None,
    });
    mesh.ask(&down).await.expect("a route");
    let order = json!({"channel": "news", "news": 1, "to": ["eve", "ada", "eve"], "kind": "weather.v1"}).to_string();
    let (late, recalled) = (
        mesh.submit("late", "crier", &order).await,
        mesh.submit("recalled", "crier", &order).await,
    );
    for intent in [&late, &recalled] {
        mesh.until(&copy(intent, 1, 1), "completed", SOON).await;
        let waits = mesh.until(&copy(intent, 1, 0), "pending", SOON).await;
        assert_eq!(waits.record.snapshot.kind.as_deref(), Some("weather.v1"));
        assert_eq!(mesh.head_of(intent).await.record.snapshot.status.name(), "waiting");
    }
    let pause = ["intents", "pause", "recalled", "--reason", "wait"];
    run(mesh.baton(&pause)).await.exits(4).says(&["no agent has it"]);
    let cancel = ["intents", "cancel", "recalled", "--reason", "a mistake"];
    run(mesh.baton(&cancel)).await.exits(0);
    mesh.until(&copy(&recalled, 1, 0), "cancelled", SOON).await;
    let eve = Agent::builder("eve", "1.0.0").expect("agent").handler(Listen);
    let eve = Running::start(mesh.server.url(), eve).await;
    let told: Value = result_as(&mesh.until(&late, "completed", SOON).await);
    assert_eq!(
        (&told["receivers"], &told["completed"]),
        (&json!(2), &json!(2)),
        "{told}"
    );
    eve.stop().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_to_all_is_sent_to_nobody_and_the_intent_is_kept() {
    let stage = Stage::start().await;
    let mesh = &stage.mesh;
    let cases = [
        (
            "nobody-listens",
            json!({"channel": "weather"}),
            "parked",
            "NO_SUBSCRIBERS",
        ),
        (
            "misspelt",
            json!({"channel": "news", "to": ["ada", "aad"]}),
            "parked",
            "UNKNOWN_RECEIVER",
        ),
        (
            "nobody-named",
            json!({"channel": "news", "to": []}),
            "parked",
            "BAD_FAN_OUT",
        ),
        ("bad-channel", json!({"channel": "No Channel"}), "failed", "BAD_CHANNEL"),
        (
            "bad-receiver",
            json!({"channel": "news", "to": ["A.B"]}),
            "failed",
            "BAD_AGENT_NAME",
        ),
        (
            "taken-name",
            json!({"channel": "news", "waits": true}),
            "failed",
            "BAD_WAIT",
        ),
        ("last-hop", json!({"channel": "news"}), "parked", "HOP_LIMIT"),
    ];
    for (name, order, status, code) in cases {
        let mut envelope = mesh.envelope(name, "crier", &order.to_string());
        if name == "last-hop" {
            envelope.max_hops = MaxHops::new(1).expect("in range");
        }
        let intent = mesh.submit_envelope(envelope).await;
        let head = mesh.until(&intent, status, SOON).await;
        let error = head.record.snapshot.error.as_ref().expect("an error");
        assert_eq!(error.code, code, "{name}: {}", error.message);
        for index in 0..2 {
            let copy = mesh.mesh.head(&copy(&intent, 1, index)).await.expect("an answer");
            assert!(copy.is_none(), "{name}");
        }
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_sends_to_a_channel() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let line = r#"cat > /dev/null; echo '{"outcome":"broadcast","channel":"news","payload":"rain","note":"told"}'"#;
    let named =
        r#"cat > /dev/null; echo '{"outcome":"broadcast","channel":"news","receivers":["bob"],"payload":"snow"}'"#;
    let bad = r#"cat > /dev/null; echo '{"outcome":"broadcast","payload":"rain"}'"#;
    let _workers = [
        worker(&mesh, dir.path(), "ada", &["--exec", "tr a-z A-Z", "--channel", "news"]).await,
        worker(&mesh, dir.path(), "bob", &["--exec", "tr a-z A-Z"]).await,
        worker(&mesh, dir.path(), "tells", &["--exec", line, "--json"]).await,
        worker(&mesh, dir.path(), "names", &["--exec", named, "--json"]).await,
        worker(
            &mesh,
            dir.path(),
            "forgets",
            &["--exec", bad, "--json", "--max-attempts", "1"],
        )
        .await,
    ];
    for (agent, receiver, said) in [("tells", "ada", "\"RAIN\""), ("names", "bob", "\"SNOW\"")] {
        let intent = mesh.submit(agent, agent, "1").await;
        let told: Value = result_as(&mesh.until(&intent, "completed", SOON).await);
        assert_eq!(
            (&told["intent"], &told["completed"]),
            (&json!(intent), &json!(1)),
            "{told}"
        );
        let copy = mesh.head_of(&copy(&intent, 1, 0)).await.record.snapshot;
        assert_eq!(copy.agent.as_ref().map(|agent| agent.as_str()), Some(receiver));
        assert_eq!(copy.result.as_ref().map(|result| result.get()), Some(said));
    }
    let status = run(mesh.baton(&["channels", "status", "tells"])).await.exits(0);
    assert!(status.stdout.contains("completed"), "{status:#?}");
    let intent = mesh.submit("forgets", "forgets", "1").await;
    let head = mesh.until(&intent, "parked", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, "BAD_OUTCOME");
    assert!(
        error.message.contains("\"broadcast\" needs `channel`"),
        "{}",
        error.message
    );
}
