//! Caps of agents from end to end: all workers together spend no more than a day has, whoever dies, and what waits for room goes
//! on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Amounts, Fault, Handler, Hop, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, TAKEOVER, assert_legal};
use baton_e2e::gated::id;
use baton_envelope::{Event, codes};
use baton_testkit::{Proxy, eventually};
use serde_json::Value;
use tokio::sync::Notify;

use crate::nats_cli::{Run, run};

/// How long what is sent to an agent without room is watched: several looks of a worker, and of the leader.
const WATCHED: Duration = Duration::from_secs(3);

/// Calls once, and holds as many tokens as its payload says; says that it took all of them.
struct Caller {
    paid: Arc<AtomicU64>,
}

impl Handler for Caller {
    type Input = u64;

    async fn handle(&self, hop: &mut Hop, most: u64) -> Result<Outcome, Fault> {
        let paid = Arc::clone(&self.paid);
        hop.spend("ask", Amounts::tokens(most), |permit| async move {
            paid.fetch_add(most, Ordering::Relaxed);
            permit.spent(Amounts::tokens(most));
            Ok::<_, Fault>(())
        })
        .await?;
        Outcome::complete(&most)
    }
}

fn caller(paid: &Arc<AtomicU64>) -> AgentBuilder {
    let handler = Caller { paid: Arc::clone(paid) };
    Agent::builder("caller", "1.0.0")
        .expect("agent")
        .concurrency(4)
        .handler(handler)
}

async fn baton(mesh: &TestMesh, args: &[&str]) -> Run {
    run(mesh.baton(args)).await
}

async fn cap(mesh: &TestMesh) -> Value {
    let shown = baton(mesh, &["agents", "budget", "caller", "--output", "json"])
        .await
        .exits(0);
    serde_json::from_str(&shown.stdout).expect("JSON")
}

async fn until_cap(mesh: &TestMesh, what: &str, is_so: impl Fn(&Value) -> bool) {
    eventually(what, SOON, async || match cap(mesh).await {
        now if is_so(&now) => Ok(()),
        now => Err(now.to_string()),
    })
    .await;
}

/// Sends work until some of it is not begun for a while: what a worker has asked the server for just before it heard that nothing
/// is left may still be begun. Gives what waits.
async fn until_new_work_waits(mesh: &TestMesh) -> String {
    for number in 0..10 {
        let name = format!("later-{number}");
        baton(mesh, &["send", "caller", "10", "--id", &name]).await.exits(0);
        tokio::time::sleep(WATCHED).await;
        let head = mesh.mesh.head(&id(&name)).await.expect("read").expect("a record");
        if matches!(head.record.event, Event::Submitted | Event::Released) {
            return name;
        }
    }
    panic!("all of it was begun though nothing is left");
}

/// The events of an intent.
async fn events(mesh: &TestMesh, intent: &str) -> Vec<String> {
    let history = mesh.history_of(&id(intent)).await;
    assert_legal(&history);
    history.iter().map(|head| head.record.event.name().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_together_spend_no_more_than_a_day_has_and_what_waits_goes_on_when_there_is_room() {
    let mesh = TestMesh::start().await;
    let paid = Arc::new(AtomicU64::new(0));
    let workers = [
        Running::start(mesh.server.url(), caller(&paid)).await,
        Running::start(mesh.server.url(), caller(&paid)).await,
    ];
    mesh.until_version_is("caller", "1.0.0", "active").await;
    let set = baton(
        &mesh,
        &[
            "agents",
            "budget",
            "caller",
            "--tokens",
            "1k/day",
            "--reason",
            "the bill of October",
        ],
    )
    .await
    .exits(0);
    assert!(
        set.stdout
            .starts_with("caller: 1000 tokens in a day; today nothing spent, 1000 tokens left until "),
        "{set:?}"
    );
    // Four fit, and what is left is too little for another.
    for number in 0..7 {
        baton(&mesh, &["send", "caller", "230", "--id", &format!("order-{number}")])
            .await
            .exits(0);
    }
    until_cap(&mesh, "three wait", |now| {
        now["waiting"] == 3 && now["spent"]["tokens"] == 920
    })
    .await;
    assert_eq!(paid.load(Ordering::Relaxed), 920);
    let parked = baton(&mesh, &["intents", "list", "--status", "parked"]).await.exits(0);
    assert_eq!(parked.stdout.matches(codes::CAP_REACHED).count(), 3, "{parked:?}");
    let listed = baton(&mesh, &["agents", "list"]).await.exits(0).stdout;
    assert!(
        listed.contains("CAP caller: 1000 tokens in a day; today 920 tokens spent, 80 tokens left until "),
        "{listed}"
    );
    assert!(listed.contains("3 intents wait for room"), "{listed}");
    // What is left goes to work that fits; then the agent takes nothing new.
    // No breaker has opened: what may not spend says nothing of its version.
    baton(&mesh, &["send", "caller", "80", "--id", "small"]).await.exits(0);
    mesh.until(&id("small"), "completed", SOON).await;
    let later = until_new_work_waits(&mesh).await;
    assert_eq!(paid.load(Ordering::Relaxed), 1000, "the cap was passed");
    // There is room.
    baton(&mesh, &["agents", "budget", "caller", "--tokens", "1.73M/day"])
        .await
        .exits(0);
    for number in 0..7 {
        mesh.until(&id(&format!("order-{number}")), "completed", SOON).await;
    }
    mesh.until(&id(&later), "completed", SOON).await;
    until_cap(&mesh, "nothing waits", |now| {
        now["waiting"] == 0 && now["granted"] == serde_json::json!({})
    })
    .await;
    let mut seen = Vec::new();
    for number in 0..7 {
        seen.extend(events(&mesh, &format!("order-{number}")).await);
    }
    assert_eq!(seen.iter().filter(|event| *event == "redriven").count(), 3, "{seen:?}");
    let history = baton(&mesh, &["rollout", "history", "caller"]).await.exits(0).stdout;
    assert!(history.contains("the bill of October"), "{history}");
    for worker in workers {
        worker.stop().await;
    }
}

/// Is cut off in its call, the first time; the next attempt calls nothing.
struct Cut(Arc<Notify>);

impl Handler for Cut {
    type Input = u64;

    async fn handle(&self, hop: &mut Hop, most: u64) -> Result<Outcome, Fault> {
        if hop.attempt() == 1 {
            let called = Arc::clone(&self.0);
            hop.spend("ask", Amounts::tokens(most), |_| async move {
                called.notify_one();
                std::future::pending::<()>().await;
                Ok::<_, Fault>(())
            })
            .await?;
        }
        Outcome::complete(&most)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_was_granted_counts_whole() {
    let mesh = TestMesh::start().await;
    let proxy = Proxy::start(mesh.server.url()).await;
    let called = Arc::new(Notify::new());
    let agent = || {
        let handler = Cut(Arc::clone(&called));
        Agent::builder("caller", "1.0.0").expect("agent").handler(handler)
    };
    let first = Running::start(proxy.url(), agent()).await;
    mesh.until_version_is("caller", "1.0.0", "active").await;
    baton(&mesh, &["agents", "budget", "caller", "--tokens", "1k/day"])
        .await
        .exits(0);
    // One that is at work and one that is granted is seen as such.
    baton(&mesh, &["send", "caller", "600", "--id", "order"]).await.exits(0);
    called.notified().await;
    let now = cap(&mesh).await;
    assert_eq!(
        (&now["granted"]["tokens"], &now["left"]["tokens"]),
        (&600.into(), &400.into()),
        "{now}"
    );
    proxy.cut();
    let second = Running::start(mesh.server.url(), agent()).await;
    mesh.until(&id("order"), "completed", TAKEOVER).await;
    until_cap(&mesh, "it counts whole", |now| {
        now["spent"]["tokens"] == 600 && now["granted"] == serde_json::json!({})
    })
    .await;
    second.stop().await;
    drop(first);
}

/// Says afterwards what it has spent: of tokens in its hop, of cost with its outcome.
struct Teller;

impl Handler for Teller {
    type Input = u64;

    async fn handle(&self, hop: &mut Hop, tokens: u64) -> Result<Outcome, Fault> {
        hop.has_spent(Amounts::tokens(tokens)).await?;
        Ok(Outcome::complete(&tokens)?.with_cost(0.25))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_afterwards_counts_and_a_lifted_cap_lets_all_go_on() {
    let mesh = TestMesh::start().await;
    let agent = Agent::builder("caller", "1.0.0").expect("agent").handler(Teller);
    let worker = Running::start(mesh.server.url(), agent).await;
    mesh.until_version_is("caller", "1.0.0", "active").await;
    baton(
        &mesh,
        &["agents", "budget", "caller", "--tokens", "1k/day", "--cost", "50/day"],
    )
    .await
    .exits(0);
    baton(&mesh, &["send", "caller", "1200", "--id", "much", "--wait"])
        .await
        .exits(0);
    until_cap(&mesh, "it counts", |now| {
        (&now["spent"]["tokens"], &now["spent"]["cost"]) == (&1200.into(), &0.25.into()) && now["left"]["tokens"] == 0
    })
    .await;
    // Nothing is left: new work waits.
    let later = until_new_work_waits(&mesh).await;
    let lifted = baton(&mesh, &["agents", "budget", "caller", "--tokens", "0", "--cost", "0"])
        .await
        .exits(0);
    assert_eq!(lifted.stdout.trim(), "caller has no cap");
    mesh.until(&id(&later), "completed", SOON).await;
    let none = baton(&mesh, &["agents", "budget", "caller"]).await.exits(0);
    assert_eq!(none.stdout.trim(), "caller has no cap");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_fits_says_so_and_bad_caps_are_refused() {
    let mesh = TestMesh::start().await;
    let paid = Arc::new(AtomicU64::new(0));
    let worker = Running::start(mesh.server.url(), caller(&paid)).await;
    mesh.until_version_is("caller", "1.0.0", "active").await;
    baton(&mesh, &["agents", "budget", "caller", "--tokens", "5/day"])
        .await
        .exits(0);
    baton(&mesh, &["send", "caller", "6", "--id", "order"]).await.exits(0);
    let head = mesh.until(&id("order"), "parked", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, codes::CAP_REACHED);
    assert!(
        error
            .message
            .contains("may spend 5 tokens in a day together: it never fits"),
        "{error:?}"
    );
    let got = baton(&mesh, &["intents", "get", "order"]).await.exits(0).stdout;
    assert!(got.contains(codes::CAP_REACHED), "{got}");
    assert_eq!(paid.load(Ordering::Relaxed), 0);
    for bad in ["5", "5/h", "-1/day", "x"] {
        baton(&mesh, &["agents", "budget", "caller", &format!("--cost={bad}")])
            .await
            .exits(2)
            .says(&["is no amount of a day", "50/day"]);
    }
    let unknown = baton(&mesh, &["agents", "budget", "nobody", "--cost", "5/day"])
        .await
        .exits(3);
    unknown.says(&["UNKNOWN_AGENT", "nobody"]);
    baton(&mesh, &["agents", "budget", "nobody"])
        .await
        .exits(3)
        .says(&["UNKNOWN_AGENT"]);
    worker.stop().await;
}
