//! kill -9, SIGSTOP, a dead server, lost acks: nothing is lost, no hop commits twice, no recorded step runs again.

use std::sync::Arc;
use std::time::Duration;

use baton_agent::{AgentBuilder, Outcome};
use baton_e2e::chaos::{
    Program, Running, SOON, TAKEOVER, agent, assert_legal, commits, events, ready, submit_all, workers,
};
use baton_e2e::{TestMesh, connect};
use baton_envelope::{Event, Status};
use baton_testkit::{Proxy, eventually};
use tokio::sync::watch;
use tokio::time::Instant;

/// How many hops the agents of a relay have run so far.
#[derive(Debug, Clone)]
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    fn add(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    fn get(&self) -> usize {
        *self.0.borrow()
    }

    async fn reach(&self, count: usize) {
        let mut seen = self.0.subscribe();
        let reached = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|seen| *seen >= count)).await;
        reached.expect("the relays go on").expect("counter");
    }
}

/// An agent of a relay: hands on to `to`, or completes with its payload.
fn relay(name: &str, to: Option<&'static str>, runs: &Counted) -> AgentBuilder {
    let runs = runs.clone();
    agent(name, move |envelope| {
        runs.add();
        async move {
            match to {
                Some(to) => Outcome::hand_off(to, &envelope.payload),
                None => Outcome::complete(&envelope.payload),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_worker_is_taken_over_and_only_the_open_step_runs() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let mut first = program.worker(&mesh, "steps", "first", &["--json"]);
    let intent = mesh.submit("kill", "steps", r#"{"gate":"three"}"#).await;
    mesh.until_events(&intent, &Event::Step, 2, SOON).await;
    let held = mesh.head_of(&intent).await.record.snapshot;
    let second = program.worker(&mesh, "steps", "second", &["--json"]);
    ready(&second).await;
    program.open_gate(&intent, 2);

    first.kill();
    let head = mesh.until(&intent, "completed", TAKEOVER).await;

    assert_eq!(program.did(&intent), ["one 1", "two 1", "three 2", "outcome 2"]);
    assert_eq!(program.runs(&intent), 2);
    let snapshot = head.record.snapshot;
    assert_eq!(snapshot.attempt, 2);
    assert_eq!(snapshot.epoch, held.epoch + 1);
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    let holders = workers(&history);
    assert_eq!(holders.len(), 2, "{holders:?}");
    assert_eq!(held.holder.as_ref(), holders.first());
    let shown = mesh.run_baton(&["intents", "get", intent.as_str()]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(holders.iter().all(|holder| shown.contains(holder)), "{shown}");
    let epoch = format!("epoch {}", snapshot.epoch);
    assert!(shown.contains(&epoch), "no {epoch:?} in\n{shown}");
}

/// A frozen worker that wakes up: with a step still to record, with only its commit left while another holder is at
/// work, and with only its commit left when the hop is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_worker_that_wakes_up_commits_nothing() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    // All slots are taken: a frozen worker with free slots has a pull open at the server, which may swallow the first
    // redelivery; then a takeover takes another ack wait.
    let args = ["--json", "--concurrency", "3"];
    let mut first = program.worker(&mesh, "steps", "first", &args);
    let step = mesh.submit("step", "steps", r#"{"gate":"three"}"#).await;
    let commit = mesh.submit("commit", "steps", r#"{"gate":"outcome"}"#).await;
    let over = mesh.submit("over", "steps", r#"{"gate":"outcome"}"#).await;
    for (intent, steps) in [(&step, 2), (&commit, 3), (&over, 3)] {
        mesh.until_events(intent, &Event::Step, steps, SOON).await;
    }
    first.pause();
    let _second = program.worker(&mesh, "steps", "second", &args);
    for intent in [&step, &commit, &over] {
        mesh.until_events(intent, &Event::Claimed, 1, 2 * TAKEOVER).await;
        eventually("the second run has begun", SOON, async || match program.runs(intent) {
            2 => Ok(()),
            other => Err(format!("{other} runs")),
        })
        .await;
    }
    program.open_gate(&over, 2);
    mesh.until(&over, "completed", SOON).await;

    for intent in [&step, &commit, &over] {
        program.open_gate(intent, 1);
    }
    first.resume();
    // Each is refused at its next write, or before it, where the holder has heard that it is another's.
    eventually("the first holder has dropped all three", SOON, async || {
        let log = first.stderr();
        let dropped = log.lines().filter(|line| line.contains("result dropped")).count();
        (dropped == 3).then_some(()).ok_or(log)
    })
    .await;
    for intent in [&step, &commit, &over] {
        let history = mesh.history_of(intent).await;
        let claimed = history.iter().position(|head| head.record.event == Event::Claimed);
        let since = &history[claimed.expect("it was taken over")..];
        assert_eq!(workers(since).len(), 1, "a woken holder wrote to the ledger: {since:?}");
    }

    program.open_gate(&step, 2);
    program.open_gate(&commit, 2);
    for intent in [&step, &commit, &over] {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(head.record.snapshot.attempt, 2);
        // The result is the number of the run that took over.
        assert_eq!(
            head.record.snapshot.result.as_ref().map(|result| result.get()),
            Some("2")
        );
        let history = mesh.history_of(intent).await;
        assert_legal(&history);
        assert_eq!(workers(&history).len(), 2);
    }
    assert_eq!(
        program.did(&commit),
        ["one 1", "two 1", "three 1", "outcome 1", "outcome 2"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_that_is_down_gets_its_work_after_a_restart_of_everything() {
    let mut mesh = TestMesh::start().await;
    let runs = Counted::new();
    let first = Running::start(mesh.server.url(), relay("late", None, &runs)).await;
    let known = mesh.submit("known", "late", "1").await;
    mesh.until(&known, "completed", SOON).await;
    first.stop().await;

    let waiting = mesh.submit("waiting", "late", "2").await;
    mesh.restart_everything().await;
    let head = mesh.head_of(&waiting).await;
    assert_eq!(head.record.snapshot.status, Status::Pending);
    assert_eq!(runs.get(), 1);

    let _second = Running::start(mesh.server.url(), relay("late", None, &runs)).await;
    let head = mesh.until(&waiting, "completed", SOON).await;
    assert_eq!(head.record.snapshot.attempt, 1, "waiting burns no attempt");
    assert_eq!(runs.get(), 2);
    assert_legal(&mesh.history_of(&waiting).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_server_loses_no_relay_and_repeats_no_commit() {
    const RELAYS: usize = 1000;
    let mesh = TestMesh::start().await;
    let runs = Counted::new();
    let mut agents = Vec::new();
    for (name, to) in [("research", Some("code")), ("code", Some("qa")), ("qa", None)] {
        agents.push(Running::start(mesh.server.url(), relay(name, to, &runs).concurrency(16)).await);
    }
    let envelopes = (0..RELAYS)
        .map(|n| mesh.envelope(&format!("relay-{n}"), "research", "{}"))
        .collect();
    let submitter = connect(mesh.server.url()).await;
    submitter.follow_routes().await.expect("routes");
    let submitting = tokio::spawn(async move { submit_all(&submitter, envelopes).await });

    for hops in [400, 1500] {
        runs.reach(hops).await;
        mesh.server.kill().await;
        assert!(runs.get() < 3 * RELAYS, "the server must die in the middle");
        mesh.server.restart().await;
    }
    let intents = submitting.await.expect("submits");
    mesh.until_all_completed(RELAYS, Duration::from_secs(60)).await;

    for history in mesh.histories(&intents).await {
        assert_legal(&history);
        assert_eq!(
            commits(&history).into_iter().collect::<Vec<_>>(),
            [(1, 1), (2, 1), (3, 1)]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_lose_no_relay_and_repeat_no_commit() {
    const RELAYS: usize = 200;
    let mesh = TestMesh::start().await;
    let (runs, done) = (Counted::new(), Counted::new());
    let _research = Running::start(mesh.server.url(), relay("research", Some("code"), &runs)).await;
    let _qa = Running::start(mesh.server.url(), relay("qa", None, &done)).await;
    let program = Program::shell(r#"sleep 0.02; echo '{"outcome":"hand_off","to":"qa","payload":{}}'"#);
    let args = ["--json", "--concurrency", "4"];
    let start = |n: usize| program.worker(&mesh, "code", &format!("code-{n}"), &args);
    let mut workers = vec![start(0), start(1)];
    let envelopes = (0..RELAYS)
        .map(|n| mesh.envelope(&format!("relay-{n}"), "research", "{}"))
        .collect();
    let intents = mesh.submit_all(envelopes).await;

    for (n, hops) in [15, 40, 65, 90].into_iter().enumerate() {
        done.reach(hops).await;
        // The moment within a hop is as random as the worker's schedule; the spread makes it more so.
        tokio::time::sleep(Duration::from_millis(u64::from(mesh.mesh.clock().random()[0]) / 8)).await;
        workers.remove(0).kill();
        workers.push(start(n + 2));
    }
    assert!(done.get() < RELAYS, "the workers must die in the middle");
    mesh.until_all_completed(RELAYS, Duration::from_secs(60)).await;

    let histories = mesh.histories(&intents).await;
    for history in &histories {
        assert_legal(history);
        assert_eq!(
            commits(history).into_iter().collect::<Vec<_>>(),
            [(1, 1), (2, 1), (3, 1)]
        );
    }
    let taken_over = histories
        .iter()
        .filter(|history| events(history).contains(&"claimed"))
        .count();
    assert!(taken_over > 0, "no kill hit a hop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acks_complete_each_intent_once() {
    const RELAYS: usize = 20;
    let mesh = TestMesh::start().await;
    let proxy = Proxy::start(mesh.server.url()).await;
    let (research, qa) = (Counted::new(), Counted::new());
    let _research = Running::start(proxy.url(), relay("research", Some("qa"), &research)).await;
    let _qa = Running::start(proxy.url(), relay("qa", None, &qa)).await;
    // A handoff to an agent that is not known yet would be tried again.
    for agent in ["research", "qa"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    proxy.drop_publishes("$JS.ACK.");
    let envelopes = (0..RELAYS)
        .map(|n| mesh.envelope(&format!("relay-{n}"), "research", "{}"))
        .collect();
    let started = Instant::now();
    let intents = mesh.submit_all(envelopes).await;
    mesh.until_all_completed(RELAYS, SOON).await;
    // The second ack of each of the two tickets of each intent is the answer to its redelivery.
    eventually("every ticket was redelivered", TAKEOVER, async || {
        match proxy.dropped() {
            lost if lost >= 4 * RELAYS => Ok(()),
            lost => Err(format!("{lost} acks lost")),
        }
    })
    .await;
    assert!(
        started.elapsed() > Duration::from_secs(9),
        "redelivered without an ack wait"
    );
    proxy.pass_publishes();

    for history in mesh.histories(&intents).await {
        assert_legal(&history);
        assert_eq!(
            events(&history),
            ["submitted", "handed_off", "completed"],
            "{history:#?}"
        );
    }
    assert_eq!(
        (research.get(), qa.get()),
        (RELAYS, RELAYS),
        "a committed hop was run again"
    );
    let client = mesh.server.client().await;
    eventually("the tickets are gone", TAKEOVER, async || {
        let mut left = 0;
        for stream in ["MESH_WORK_research", "MESH_WORK_qa"] {
            let info = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await;
            let info = info.map_err(|error| error.to_string())?;
            let info: serde_json::Value = serde_json::from_slice(&info.payload).map_err(|error| error.to_string())?;
            left += info["state"]["messages"].as_u64().ok_or_else(|| info.to_string())?;
        }
        (left == 0).then_some(()).ok_or(format!("{left} tickets"))
    })
    .await;
}
