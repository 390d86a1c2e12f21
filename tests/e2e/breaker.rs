//! The breaker of a version, shared by all senders: after three hops in a row whose attempts were used up nobody writes a
//! ticket, until one intent has shown that it works again.

mod canary;
mod watched;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use baton_agent::{AgentBuilder, Fault, Outcome, RetryPolicy};
use baton_controller::{BreakerConfig, Controller, ControllerConfig};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, agent_at, assert_legal};
use baton_e2e::gated::{Gate, id, result, teller};
use baton_envelope::{Author, Breaker, BreakerState, IntentId, Role, Timestamp};
use baton_jetstream::Mesh;
use baton_testkit::eventually;
use futures::StreamExt as _;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use self::watched::{Revisions, Tickets};
use crate::nats_cli::{publish, run};

/// How many senders there are.
const SENDERS: usize = 20;
/// How long a breaker stays open here.
const OPEN_FOR: Duration = Duration::from_secs(3);
/// From when on no ticket may be written.
const BOUND: Duration = Duration::from_secs(1);
const AGENT: &str = "fragile";

fn config() -> ControllerConfig {
    ControllerConfig {
        breaker: BreakerConfig {
            open_for: OPEN_FOR,
            ..BreakerConfig::default()
        },
        ..ControllerConfig::default()
    }
}

/// Controllers in this process, each on a connection of its own.
struct Controllers {
    running: Vec<JoinHandle<()>>,
    stop: Arc<Notify>,
}

impl Controllers {
    async fn start(mesh: &TestMesh, count: usize) -> Self {
        Self::start_with(mesh, count, config().breaker).await
    }

    async fn start_with(mesh: &TestMesh, count: usize, breaker: BreakerConfig) -> Self {
        let (mut running, stop) = (Vec::new(), Arc::new(Notify::new()));
        for number in 0..count {
            let stop = Arc::clone(&stop);
            let own = baton_e2e::connect(mesh.server.url()).await;
            let config = ControllerConfig {
                instance: format!("controller-{number}"),
                breaker,
                ..ControllerConfig::default()
            };
            running.push(tokio::spawn(async move {
                let controller = Controller::new(own, config);
                controller.run_until(stop.notified()).await.expect("controller");
            }));
        }
        Self { running, stop }
    }

    /// Stops those that have started, and waits for that.
    async fn stop(mut self) {
        let running = std::mem::take(&mut self.running);
        running.iter().for_each(|_| self.stop.notify_one());
        for one in running {
            one.await.expect("stopped");
        }
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::abort);
    }
}

/// An agent whose only attempt fails until it is cured.
fn fragile(cured: &Arc<AtomicBool>, runs: &Arc<AtomicU32>) -> AgentBuilder {
    fragile_at("1.0.0", cured, runs)
}

/// Likewise, of a version.
fn fragile_at(of: &str, cured: &Arc<AtomicBool>, runs: &Arc<AtomicU32>) -> AgentBuilder {
    let (cured, runs) = (Arc::clone(cured), Arc::clone(runs));
    let once = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let builder = agent_at(AGENT, of, move |_| {
        runs.fetch_add(1, Ordering::SeqCst);
        let cured = cured.load(Ordering::SeqCst);
        async move {
            if cured {
                Outcome::complete("well")
            } else {
                Err(Fault::retry("out of order"))
            }
        }
    });
    builder.retry(once)
}

async fn breaker_of(mesh: &Mesh, of: &str) -> Option<Breaker> {
    let (agent, version) = (AGENT.parse().expect("name"), of.parse().expect("version"));
    mesh.breaker(&agent, &version)
        .await
        .expect("read")
        .map(|(breaker, _)| breaker)
}

async fn until_breaker_is(mesh: &TestMesh, state: BreakerState) -> Breaker {
    until_breaker_of_is(mesh, "1.0.0", state).await
}

async fn until_breaker_of_is(mesh: &TestMesh, of: &str, state: BreakerState) -> Breaker {
    eventually(
        &format!("the breaker of {of} is {}", state.name()),
        SOON,
        async || match breaker_of(&mesh.mesh, of).await {
            Some(breaker) if breaker.state == state => Ok(breaker),
            other => Err(format!("{other:?}")),
        },
    )
    .await
}

/// Three intents that use up their only attempt; gives the time at which the server stored the end of the last one.
async fn exhaust(mesh: &TestMesh, prefix: &str) -> Timestamp {
    let mut last = None;
    for number in 0..3 {
        let intent = mesh.submit(&format!("{prefix}-{number}"), AGENT, "1").await;
        last = mesh.until(&intent, "parked", SOON).await.stored_at;
    }
    last.expect("a time of storing")
}

/// One sender: submits again and again until it is told to stop; gives what it submitted.
async fn sender(url: String, number: usize, stop: Arc<AtomicBool>) -> Vec<IntentId> {
    let mesh = baton_e2e::connect(&url).await;
    // Half of them follow the routes, as processes do that stay; the others read each when they need it.
    let follower = match number % 2 {
        0 => Some(mesh.follow_routes().await.expect("follow")),
        _ => None,
    };
    let mut submitted = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let intent = id(&format!("s{number}-{}", submitted.len()));
        let envelope = baton_envelope::Envelope::first(
            mesh.clock().envelope_id(),
            intent.clone(),
            AGENT.parse().expect("name"),
            baton_envelope::Json::null(),
        );
        let by = Author::of(Role::Client, format!("sender-{number}"));
        mesh.submit(envelope, by).await.expect("submit");
        submitted.push(intent);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    drop(follower);
    submitted
}

/// How often the whole story is told.
fn runs() -> usize {
    std::env::var("BREAKERS").map_or(1, |text| text.parse().expect("BREAKERS"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_controllers_and_twenty_senders_agree_within_a_second_and_let_one_through() {
    let mut worst = Duration::ZERO;
    for turn in 0..runs() {
        let late = agree_and_let_one_through().await;
        worst = worst.max(late);
        println!("run {turn}: the last ticket was written {late:?} after the third exhaustion");
    }
    println!("the latest of {} runs: {worst:?}", runs());
}

/// Tells the story once; gives how long after the third exhaustion the last ticket was written.
async fn agree_and_let_one_through() -> Duration {
    let mesh = TestMesh::start_without_controller().await;
    let _controllers = Controllers::start(&mesh, 2).await;
    let (cured, ran, stop) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
    let _worker = Running::start(mesh.server.url(), fragile(&cured, &ran)).await;
    mesh.until_version_is(AGENT, "1.0.0", "active").await;
    let mut tickets = Tickets::watch(&mesh).await;
    let mut revisions = Revisions::watch(&mesh).await;
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        senders.spawn(sender(mesh.server.url().to_owned(), number, Arc::clone(&stop)));
    }
    let open = revisions.next(BreakerState::Open).await;
    // While it is open they go on, and nothing reaches the worker.
    let half = revisions.next(BreakerState::HalfOpen).await;
    let third = third_exhaustion(&mesh, &tickets.take(), half.since).await;
    let mut late = Duration::ZERO;
    for (at, intent) in third.1 {
        let after = at.since(third.0);
        let is_probe = half.probe.as_ref() == Some(&intent) && after > BOUND;
        if !is_probe {
            assert!(
                after <= BOUND,
                "{intent} got its ticket {after:?} after the third exhaustion"
            );
            late = late.max(after);
        }
    }
    assert!(half.since.since(open.since) >= OPEN_FOR, "it was open for {OPEN_FOR:?}");
    // The probe fails, too: it stays open.
    let again = revisions.next(BreakerState::Open).await;
    assert_eq!(again.opened, 2, "{again:?}");
    cured.store(true, Ordering::SeqCst);
    // A probe may have begun before the cure; then there is another one.
    let mut probes = vec![half.probe.clone()];
    let mut last = again;
    let closed = loop {
        let next = revisions.any().await;
        match next.state {
            BreakerState::HalfOpen if last.state == BreakerState::Open => probes.push(next.probe.clone()),
            BreakerState::Open if last.state == BreakerState::HalfOpen => {}
            BreakerState::Closed if last.state == BreakerState::HalfOpen => break next,
            BreakerState::Closed | BreakerState::Open | BreakerState::HalfOpen | BreakerState::Unknown(_) => {
                panic!("{next:?} after {last:?}")
            }
        }
        last = next;
    };
    assert_eq!(closed.opened, 0);
    let meanwhile = tickets.take();
    let meanwhile = meanwhile.iter().filter(|(at, _)| *at < closed.since);
    let others: Vec<_> = meanwhile
        .filter(|(_, intent)| !probes.contains(&Some(intent.clone())))
        .collect();
    assert_eq!(others, [] as [&(Timestamp, IntentId); 0], "one probe and not twenty");
    stop.store(true, Ordering::SeqCst);
    let submitted: Vec<IntentId> = senders.join_all().await.into_iter().flatten().collect();
    let mut parked = 0;
    for intent in &submitted {
        let head = eventually(&format!("{intent} is done"), SOON, async || {
            let head = mesh.head_of(intent).await;
            let status = &head.record.snapshot.status;
            if ["completed", "parked"].contains(&status.name()) {
                Ok(head)
            } else {
                Err(status.to_string())
            }
        })
        .await;
        parked += usize::from(head.record.snapshot.status.name() == "parked");
    }
    // What was in flight when it opened, and the probe: most of what was submitted waited, and was done.
    assert!(
        parked * 2 < submitted.len(),
        "{parked} of {} were parked",
        submitted.len()
    );
    late
}

/// When the server stored the end of the third intent that used up its attempts, and all tickets that were seen.
async fn third_exhaustion(
    mesh: &TestMesh,
    tickets: &[(Timestamp, IntentId)],
    before: Timestamp,
) -> (Timestamp, Vec<(Timestamp, IntentId)>) {
    let mut ends = Vec::new();
    // An intent had several tickets, and two intents may end in the same millisecond.
    let intents: BTreeSet<&IntentId> = tickets.iter().map(|(_, intent)| intent).collect();
    for intent in intents {
        for head in mesh.history_of(intent).await {
            if head.record.exhausted {
                ends.push(head.stored_at.unwrap_or(head.record.at));
            }
        }
    }
    ends.retain(|end| *end < before);
    ends.sort_unstable();
    (*ends.get(2).expect("three exhausted"), tickets.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_an_open_breaker_is_seen_told_and_released_by_hand() {
    let mesh = TestMesh::start().await;
    let (cured, ran) = (Arc::default(), Arc::default());
    let _worker = Running::start(mesh.server.url(), fragile(&cured, &ran)).await;
    mesh.until_version_is(AGENT, "1.0.0", "active").await;
    let client = mesh.server.client().await;
    let mut alarms = client.subscribe("mesh.alarm").await.expect("subscribe");
    client.flush().await.expect("flush");
    exhaust(&mesh, "first").await;
    let open = until_breaker_is(&mesh, BreakerState::Open).await;
    assert_eq!(
        open.until.map(|until| until.since(open.since)),
        Some(Duration::from_secs(60))
    );
    let alarm = tokio::time::timeout(SOON, alarms.next())
        .await
        .expect("an alarm")
        .expect("open");
    let alarm = String::from_utf8_lossy(&alarm.payload).into_owned();
    assert!(
        alarm.contains("BREAKER_OPEN") && alarm.contains("3 hops in a row"),
        "{alarm}"
    );

    let before = ran.load(Ordering::SeqCst);
    run(mesh.baton(&["send", AGENT, "1", "--id", "by-command"]))
        .await
        .exits(0);
    publish(
        &mesh.server,
        &format!("mesh.intent.{AGENT}"),
        &[("Baton-Intent", "by-nats")],
        b"1",
    )
    .await;
    mesh.until(&id("by-nats"), "pending", SOON).await;
    let listed = run(mesh.baton(&["agents", "list"])).await.exits(0).stdout;
    assert!(
        listed.contains("active, breaker open") && listed.contains("ALARM BREAKER_OPEN"),
        "{listed}"
    );
    let shown = run(mesh.baton(&["agents", "breaker", AGENT])).await.exits(0).stdout;
    assert!(shown.contains("open") && shown.contains("3 hops in a row"), "{shown}");
    let (agent, version) = (AGENT.parse().expect("name"), "1.0.0".parse().expect("version"));
    let queued = mesh.mesh.queued_tickets(&agent, &version).await.expect("read");
    assert_eq!(queued, [], "no ticket is written");
    assert_eq!(ran.load(Ordering::SeqCst), before, "nothing was tried");

    cured.store(true, Ordering::SeqCst);
    let close = ["agents", "breaker", AGENT, "--close", "--reason", "mended"];
    run(mesh.baton(&close)).await.exits(0);
    for intent in ["by-command", "by-nats"] {
        assert_eq!(result(&mesh.until(&id(intent), "completed", SOON).await), "well");
        assert_legal(&mesh.history_of(&id(intent)).await);
    }
    run(mesh.baton(&close)).await.exits(4).says(&["closed already"]);
    let closed = until_breaker_is(&mesh, BreakerState::Closed).await;
    assert_eq!(closed.reason.as_deref(), Some("mended"));
    // A closed one has forgiven what was before: one failure more does not open it.
    cured.store(false, Ordering::SeqCst);
    let intent = mesh.submit("once-more", AGENT, "1").await;
    mesh.until(&intent, "parked", SOON).await;
    cured.store(true, Ordering::SeqCst);
    mesh.submit_to(AGENT, &id("goes-on")).await;
    mesh.until(&id("goes-on"), "completed", SOON).await;

    // By hand it opens, too, and stays open.
    let open = ["agents", "breaker", AGENT, "1.0.0", "--open", "--reason", "maintenance"];
    run(mesh.baton(&open)).await.exits(0);
    mesh.submit_to(AGENT, &id("waits")).await;
    assert_eq!(until_breaker_is(&mesh, BreakerState::Open).await.until, None);
    let again = ["agents", "breaker", AGENT, "--open", "--reason", "another"];
    run(mesh.baton(&again))
        .await
        .exits(4)
        .says(&["open already, by hand", "maintenance"]);
    let held_back = run(mesh.baton(&["intents", "get", "waits"])).await.exits(0).stdout;
    assert!(
        held_back.contains("its breaker is open") && held_back.contains("maintenance"),
        "{held_back}"
    );
    run(mesh.baton(&["agents", "breaker", AGENT, "--close"])).await.exits(0);
    mesh.until(&id("waits"), "completed", SOON).await;
    run(mesh.baton(&["agents", "breaker", AGENT, "9.9.9", "--open"]))
        .await
        .exits(3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_work_is_refused_or_goes_to_an_alternative_where_the_policy_says_so() {
    let mesh = TestMesh::start().await;
    let (cured, ran) = (Arc::default(), Arc::default());
    let _worker = Running::start(mesh.server.url(), fragile(&cured, &ran)).await;
    let _other = Running::start(mesh.server.url(), teller("steady", "1.0.0", &Gate::open())).await;
    let front = agent("front", |envelope| async move {
        Outcome::hand_off(AGENT, &envelope.payload)
    });
    let _front = Running::start(mesh.server.url(), front).await;
    for name in [AGENT, "steady", "front"] {
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    run(mesh.baton(&["agents", "policy", AGENT, "--on-open", "refuse"]))
        .await
        .exits(0);
    exhaust(&mesh, "first").await;
    let open = until_breaker_is(&mesh, BreakerState::Open).await;
    let until = open.until.expect("a time").to_string();
    eventually("senders know", SOON, async || {
        let refused = run(mesh.baton(&["send", AGENT, "1"])).await;
        if refused.stderr.contains("BREAKER_OPEN") {
            Ok(())
        } else {
            Err(refused.stderr)
        }
    })
    .await;
    run(mesh.baton(&["send", AGENT, "1"]))
        .await
        .exits(4)
        .says(&["BREAKER_OPEN", &until]);
    publish(
        &mesh.server,
        &format!("mesh.intent.{AGENT}"),
        &[("Baton-Intent", "by-nats")],
        b"1",
    )
    .await;
    let head = mesh.until(&id("by-nats"), "rejected", SOON).await;
    assert_eq!(head.record.snapshot.error.expect("an error").code, "BREAKER_OPEN");

    let flags = ["--on-open", "alternative", "--alternatives", "steady"];
    run(mesh.baton(&[&["agents", "policy", AGENT][..], &flags].concat()))
        .await
        .exits(0);
    let sent = ["send", AGENT, "1", "--id", "elsewhere", "--wait"];
    assert_eq!(run(mesh.baton(&sent)).await.exits(0).stdout.trim(), "steady@1.0.0");
    // The same work once more is the same intent, wherever it went.
    assert_eq!(run(mesh.baton(&sent)).await.exits(0).stdout.trim(), "steady@1.0.0");
    mesh.submit_to("front", &id("handed-off")).await;
    assert_eq!(
        result(&mesh.until(&id("handed-off"), "completed", SOON).await),
        "steady@1.0.0"
    );
    // Whoever reads of it learns for whom it stood in, and why.
    for (intent, turn) in [("elsewhere", 0), ("handed-off", 1)] {
        let history = mesh.history_of(&id(intent)).await;
        let with_envelope = history.iter().filter(|head| head.record.envelope.is_some());
        let record = &with_envelope.map(|head| &head.record).nth(turn).expect("a hop");
        let note = record.note.clone().unwrap_or_default();
        assert!(
            note.contains("fragile@1.0.0 was passed by; steady stands in; BREAKER_OPEN"),
            "{intent}: {note:?}"
        );
        let told = record.envelope.as_ref().and_then(|envelope| envelope.history.last());
        assert_eq!(told.map(|entry| entry.agent.as_str()), Some(AGENT), "{told:?}");
    }
}

/// Would fail if senders were told no time: nobody would come any more, and the breaker would stay open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_that_refuses_set_while_it_is_open_lets_work_in_when_its_time_is_up() {
    let mesh = TestMesh::start_without_controller().await;
    let _controllers = Controllers::start(&mesh, 1).await;
    let (cured, ran) = (Arc::default(), Arc::default());
    let _worker = Running::start(mesh.server.url(), fragile(&cured, &ran)).await;
    mesh.until_version_is(AGENT, "1.0.0", "active").await;
    exhaust(&mesh, "first").await;
    until_breaker_is(&mesh, BreakerState::Open).await;
    eventually("senders are told", SOON, async || match withheld(&mesh).await {
        Some(told) if told.until.is_none() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    cured.store(true, Ordering::SeqCst);
    let refuse = ["agents", "policy", AGENT, "--on-open", "refuse"];
    run(mesh.baton(&refuse)).await.exits(0);
    // With the answer to the command they know the time.
    if let Some(told) = withheld(&mesh).await {
        assert!(told.until.is_some(), "{told:?}");
    }
    eventually("work is taken again", SOON, async || {
        let sent = run(mesh.baton(&["send", AGENT, "1", "--id", "probe"])).await;
        if sent.stderr.contains("BREAKER_OPEN") {
            return Err(sent.stderr);
        }
        sent.exits(0);
        Ok(())
    })
    .await;
    mesh.until(&id("probe"), "completed", SOON).await;
    until_breaker_is(&mesh, BreakerState::Closed).await;
}

async fn withheld(mesh: &TestMesh) -> Option<baton_envelope::Withheld> {
    let (route, _) = mesh
        .mesh
        .route(&AGENT.parse().expect("name"))
        .await
        .expect("read")
        .expect("a route");
    let version = "1.0.0".parse().expect("version");
    route.versions.get(&version).and_then(|entry| entry.withheld.clone())
}

/// Would fail if what a closed breaker has forgiven were kept by whoever leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_by_hand_it_has_forgiven_what_was_before_whoever_leads() {
    let mesh = TestMesh::start_without_controller().await;
    let controllers = Controllers::start_with(&mesh, 1, BreakerConfig::default()).await;
    let (cured, ran) = (Arc::default(), Arc::default());
    let _worker = Running::start(mesh.server.url(), fragile(&cured, &ran)).await;
    mesh.until_version_is(AGENT, "1.0.0", "active").await;
    let mut revisions = Revisions::watch(&mesh).await;
    exhaust(&mesh, "first").await;
    revisions.next(BreakerState::Open).await;
    run(mesh.baton(&["agents", "breaker", AGENT, "--close"])).await.exits(0);
    revisions.next(BreakerState::Closed).await;
    // At once: no round need have seen that it is closed.
    exhaust(&mesh, "second").await;
    let open = loop {
        let next = revisions.any().await;
        if next.state == BreakerState::Open {
            break next;
        }
    };
    let reason = open.reason.unwrap_or_default();
    assert!(reason.starts_with("3 hops in a row"), "{reason}");
    run(mesh.baton(&["agents", "breaker", AGENT, "--close"])).await.exits(0);
    until_breaker_is(&mesh, BreakerState::Closed).await;
    controllers.stop().await;
    let _others = Controllers::start_with(&mesh, 1, BreakerConfig::default()).await;
    exhaust(&mesh, "third").await;
    let open = until_breaker_is(&mesh, BreakerState::Open).await;
    let reason = open.reason.unwrap_or_default();
    assert!(reason.starts_with("3 hops in a row"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_breakers_are_turned_off_one_that_was_open_is_closed() {
    let mesh = TestMesh::start_without_controller().await;
    let controllers = Controllers::start_with(&mesh, 1, BreakerConfig::default()).await;
    let (cured, ran) = (Arc::default(), Arc::default());
    let _worker = Running::start(mesh.server.url(), fragile(&cured, &ran)).await;
    mesh.until_version_is(AGENT, "1.0.0", "active").await;
    exhaust(&mesh, "first").await;
    until_breaker_is(&mesh, BreakerState::Open).await;
    controllers.stop().await;
    let off = BreakerConfig {
        after: 0,
        ..BreakerConfig::default()
    };
    let _others = Controllers::start_with(&mesh, 1, off).await;
    let closed = until_breaker_is(&mesh, BreakerState::Closed).await;
    assert_eq!(closed.reason.as_deref(), Some("breakers are turned off"));
    exhaust(&mesh, "second").await;
    until_breaker_is(&mesh, BreakerState::Closed).await;
}
