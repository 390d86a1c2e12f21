//! What waiting costs the leader: nothing. It reads no head, however many sweeps pass.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome, RetryPolicy, Wait};
use baton_controller::{Controller, ControllerConfig};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_envelope::IntentId;
use baton_jetstream::Target;
use baton_testkit::{Proxy, Traffic, Way, eventually};

/// How many intents wait in each way.
const OF_EACH: usize = 30;
/// How often the controller sweeps.
const SWEEP: Duration = Duration::from_millis(500);
/// How long to count.
const WINDOW: Duration = Duration::from_secs(4);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Waits for a signal, fails, or completes.
struct Waits;

impl Handler for Waits {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        match payload.get() {
            "\"signal\"" => {
                hop.wait(Wait::signal("paid").within(DAY)).await?;
                Outcome::complete(&"paid")
            }
            "\"park\"" => Err(Fault::retry("it never works")),
            _ => Outcome::complete(&"done"),
        }
    }
}

/// What reads records of the ledger.
const READS: [&str; 2] = ["$JS.API.DIRECT.GET.MESH_LEDGER", "$JS.API.STREAM.MSG.GET.MESH_LEDGER"];

/// Submits as many as wait in each way.
async fn submit(mesh: &TestMesh, name: &str, agent: &str, payload: &str, delay: Option<Duration>) -> Vec<IntentId> {
    let envelope = |n: usize| {
        let mut envelope = mesh.envelope(&format!("{name}-{n}"), agent, payload);
        envelope.not_before = delay.map(|delay| mesh.mesh.now().plus(delay));
        envelope
    };
    mesh.submit_all((0..OF_EACH).map(envelope).collect()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_that_wait_are_not_read() {
    let mesh = TestMesh::start_without_controller().await;
    let traffic = Traffic::default();
    let proxy = Proxy::recording(mesh.server.url(), &traffic).await;
    let config = ControllerConfig {
        sweep_interval: SWEEP,
        sweep_slack: SWEEP,
        ..ControllerConfig::default()
    };
    let its_own = Target::at(proxy.url()).connect().await.expect("connect");
    let controller = Controller::new(its_own, config);
    let controller = tokio::spawn(controller.run_until(std::future::pending()));
    let retry = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let builder = Agent::builder("waits", "1.0.0")
        .expect("names")
        .handler(Waits)
        .retry(retry);
    let worker = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("waits", "1.0.0", "active").await;
    let added = mesh.run_baton(&["agents", "add", "reviewer", "--manual"]).await;
    assert!(added.status.success(), "{added:?}");
    mesh.until_version_is("reviewer", "1.0.0", "active").await;

    for (name, agent, payload, delay, status) in [
        ("signal", "waits", "\"signal\"", None, "waiting"),
        ("park", "waits", "\"park\"", None, "parked"),
        ("later", "waits", "null", Some(DAY), "waiting"),
        ("hand", "reviewer", "null", None, "pending"),
    ] {
        for intent in submit(&mesh, name, agent, payload, delay).await {
            mesh.until(&intent, status, SOON).await;
        }
    }
    // After a change in the ledger the leader looks around for a while.
    let sweeps = eventually("nothing is read that waits", Duration::from_secs(120), async || {
        drop(traffic.take());
        tokio::time::sleep(WINDOW).await;
        let passed = traffic.take();
        let sent = |prefix: &str| {
            let is_sent = |subject: &str| subject.starts_with(prefix);
            let sent = passed
                .iter()
                .filter(|one| one.way == Way::Sent && is_sent(&one.subject));
            sent.count()
        };
        let reads: usize = READS.into_iter().map(sent).sum();
        let sweeps = sent("$JS.API.STREAM.INFO.MESH_LEDGER");
        match (reads, sweeps) {
            (0, 4..) => Ok(sweeps),
            _ => Err(format!("{reads} reads of the ledger in {sweeps} looks at its end")),
        }
    })
    .await;
    assert!(sweeps < 60, "the end of the ledger was asked for {sweeps} times");

    // Of those that owe something it still reads.
    worker.stop().await;
    let queued = mesh.submit_all(vec![mesh.envelope("queued", "waits", "null")]).await;
    drop(traffic.take());
    let subject = format!("mesh.ledger.0.{}", queued[0]);
    eventually("what is queued is looked at", SOON, async || {
        let passed = traffic.take();
        let mut sent = passed.iter().filter(|one| one.way == Way::Sent);
        let read = sent.any(|one| {
            let is_read = READS.iter().any(|read| one.subject.starts_with(read));
            is_read && String::from_utf8_lossy(&one.body).contains(&subject)
        });
        read.then_some(()).ok_or_else(|| "it was not".to_owned())
    })
    .await;
    controller.abort();
}
