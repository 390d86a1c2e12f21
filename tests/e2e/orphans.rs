//! A draining version that lost its workers while it still has work: an alarm, and ways out that work. And moves: what
//! they do, and what they leave alone.

use std::time::Duration;

use baton_agent::RetryPolicy;
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Program, Running, SOON, TAKEOVER, assert_legal, events, logged, ready};
use baton_e2e::rolling::{AGENT, NEW, OLD, PROMPT, Stage, code, pasted, version};
use baton_envelope::control::{Alarm, MoveView};
use baton_envelope::{Event, IntentId};
use baton_testkit::{ProcessGuard, eventually};
use tokio::time::Instant;

/// How soon an alarm must come.
const ALARM: Duration = Duration::from_secs(5);

/// 1.0.0 drains, and `kill -9` killed its only worker: one intent is half done (two of three steps), two are queued.
/// A worker of 2.0.0 runs the same program.
struct Orphaned {
    mesh: TestMesh,
    program: Program,
    half: IntentId,
    queued: [IntentId; 2],
    alarm: Alarm,
    _new: ProcessGuard,
}

impl Orphaned {
    async fn start() -> Self {
        let (mesh, program) = (TestMesh::start().await, Program::three_steps());
        let one = ["--json", "--concurrency", "1"];
        let mut old = program.worker_of(&mesh, (AGENT, OLD), "old", &one);
        mesh.until_state(OLD, "active", SOON).await;
        let half = mesh.submit("half", AGENT, r#"{"gate":"three"}"#).await;
        mesh.until_events(&half, &Event::Step, 2, SOON).await;
        let queued = [
            mesh.submit("queued-1", AGENT, "{}").await,
            mesh.submit("queued-2", AGENT, "{}").await,
        ];
        let new = program.worker_of(&mesh, (AGENT, NEW), "new", &["--json"]);
        ready(&new).await;
        mesh.roll_out().await;
        assert_eq!(mesh.rollout_status().await.alarms, [], "its worker lives");

        let killed = Instant::now();
        old.kill();
        let alarm = eventually("an alarm", SOON, async || {
            let alarms = mesh.rollout_status().await.alarms;
            alarms.into_iter().next().ok_or_else(|| "no alarm".to_owned())
        })
        .await;
        let took = killed.elapsed();
        println!("DRAIN_WITHOUT_WORKERS {} ms after the kill", took.as_millis());
        assert!(took < ALARM, "the alarm came only after {took:?}");
        assert_eq!(alarm.code, "DRAIN_WITHOUT_WORKERS");
        assert_eq!((&alarm.agent, &alarm.version), (&code(), &version(OLD)));
        for part in ["3 open intents", "2 queued", "1 running", "half"] {
            assert!(alarm.message.contains(part), "{part:?}: {}", alarm.message);
        }
        Self {
            mesh,
            program,
            half,
            queued,
            alarm,
            _new: new,
        }
    }

    /// The way out that begins with this text.
    fn way_out(&self, begins: &str) -> &str {
        let found = self.alarm.ways_out.iter().find(|line| line.starts_with(begins));
        found.unwrap_or_else(|| panic!("no way out begins with {begins:?}: {:?}", self.alarm.ways_out))
    }

    async fn alarm_is_over(&self) {
        eventually("no alarm", SOON, async || {
            let alarms = self.mesh.rollout_status().await.alarms;
            alarms.is_empty().then_some(()).ok_or_else(|| format!("{alarms:?}"))
        })
        .await;
    }

    /// Checks that a version finished everything, that each effect happened once, and that 1.0.0 is drained.
    async fn is_finished_by(&self, of: &str, within: Duration) {
        let [one, two] = &self.queued;
        for intent in [&self.half, one, two] {
            let head = self.mesh.until(intent, "completed", within).await;
            assert_eq!(head.record.by.version, Some(version(of)), "{:?}", head.record);
            assert_legal(&self.mesh.history_of(intent).await);
        }
        let did = self.program.did(&self.half);
        assert_eq!(
            did,
            ["one 1", "two 1", "three 2", "outcome 2"],
            "recorded steps were repeated"
        );
        for intent in [one, two] {
            assert_eq!(self.program.did(intent), ["one 1", "two 1", "three 1", "outcome 1"]);
        }
        let took = self.mesh.until_state(OLD, "drained", PROMPT).await;
        println!("finished by {of}: drained {} ms after that", took.as_millis());
        self.mesh.assert_drained_was_true(OLD).await;
        self.alarm_is_over().await;
        let drain = self.mesh.drain_of(OLD).await.expect("shown");
        assert_eq!((drain.open, drain.tickets), (0, 0), "{drain:?}");
    }
}

/// Would fail without the alarm, with an alarm whose command does not parse or does nothing, with a move that loses
/// recorded steps, or with one that leaves tickets behind which nobody removes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphaned_work_is_moved_by_the_very_command_of_the_alarm() {
    let scene = Orphaned::start().await;
    scene.program.open_gate(&scene.half, 2);
    let line = scene.way_out("baton intents move");
    let mut command = pasted(&scene.mesh, line);
    let moved = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("join")
        .expect("sh runs");
    assert!(moved.status.success(), "{line}: {moved:?}");
    // Less than the ack wait: moved work does not wait for the dead worker's deliveries.
    scene.is_finished_by(NEW, Duration::from_secs(8)).await;
    for intent in [&scene.half, &scene.queued[0], &scene.queued[1]] {
        let history = scene.mesh.history_of(intent).await;
        assert!(events(&history).contains(&"moved"), "{:?}", events(&history));
    }
}

/// Would fail if a returning worker were kept from the work of a draining version, or repeated steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphaned_work_is_finished_by_a_worker_that_is_started_as_the_alarm_says() {
    let scene = Orphaned::start().await;
    scene.program.open_gate(&scene.half, 2);
    let line = scene.way_out("baton worker");
    assert!(line.contains("'CMD…'"), "{line}");
    let line = line.replace("'CMD…'", &format!("'{}' --json", scene.program.exec()));
    let _back = ProcessGuard::spawn("back", pasted(&scene.mesh, &line), scene.program.dir());
    scene.alarm_is_over().await;
    // The half-done intent comes back when the ack wait of the dead worker is over.
    scene.is_finished_by(OLD, TAKEOVER).await;
}

/// Would fail if the third way out were refused, left the alarm, or hid the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphaned_work_is_paused_as_the_alarm_says() {
    let scene = Orphaned::start().await;
    let mut command = pasted(&scene.mesh, scene.way_out("baton agents quarantine"));
    let done = tokio::task::spawn_blocking(move || command.output()).await;
    let done = done.expect("join").expect("sh runs");
    assert!(done.status.success(), "{done:?}");
    scene.alarm_is_over().await;
    let drain = scene.mesh.drain_of(OLD).await.expect("shown");
    assert_eq!((drain.state.name(), drain.open), ("quarantined", 3), "{drain:?}");
    assert!(
        drain
            .holds
            .iter()
            .any(|hold| hold.cause.name() == "paused" && hold.count == 2)
    );
    scene.mesh.stays(OLD, &["quarantined"]).await;
    let (exit, said) = scene.mesh.retire(OLD).await;
    assert_eq!(exit, Some(4), "{said}");
}

// --- moves ------------------------------------------------------------------------------------------------------

async fn moves(mesh: &TestMesh, flags: &[&str]) -> MoveView {
    let mut args = vec!["intents", "move", "--agent", AGENT, "--from", OLD, "--to", NEW];
    args.extend(flags);
    args.extend(["--output", "json"]);
    let done = mesh.run_baton(&args).await;
    assert!(done.status.success(), "{done:?}");
    let view: MoveView = serde_json::from_slice(&done.stdout).expect("a document");
    assert!(view.failed.is_empty(), "{:?}", view.failed);
    view
}

fn moved(view: &MoveView) -> Vec<&str> {
    let mut found: Vec<&str> = view.moved.iter().map(|one| one.intent.as_str()).collect();
    found.sort_unstable();
    found
}

/// Would fail if a dry run wrote anything, or ignored the status.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_moves_only_what_was_asked_for() {
    let (mesh, stage) = (TestMesh::start().await, Stage::default());
    let once = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let _old = Running::start(mesh.server.url(), stage.agent(AGENT, OLD).retry(once)).await;
    mesh.until_state(OLD, "active", SOON).await;
    let parked = mesh.submit("parked", AGENT, "\"fail\"").await;
    let running = mesh.submit("running", AGENT, "\"wait\"").await;
    mesh.until(&parked, "parked", SOON).await;
    mesh.until(&running, "in_progress", SOON).await;
    let _new = stage.code(&mesh, NEW).await;
    mesh.roll_out().await;

    let heads = async || [mesh.head_of(&parked).await.seq, mesh.head_of(&running).await.seq];
    let before = heads().await;
    assert_eq!(moved(&moves(&mesh, &["--dry-run"]).await), ["parked", "running"]);
    assert_eq!(
        moved(&moves(&mesh, &["--dry-run", "--status", "parked"]).await),
        ["parked"]
    );
    mesh.stays(OLD, &["draining"]).await;
    assert_eq!(heads().await, before, "a dry run wrote something");

    assert_eq!(moved(&moves(&mesh, &["--status", "parked"]).await), ["parked"]);
    let after = mesh.head_of(&parked).await.record.snapshot;
    assert_eq!((after.status.name(), after.version), ("parked", Some(version(NEW))));
    mesh.held(OLD, "running", &running).await;
    assert_eq!(heads().await[1], before[1]);

    stage.open();
    let head = mesh.until(&running, "completed", SOON).await;
    assert_eq!(head.record.by.version, Some(version(OLD)));
    // The parked intent no longer concerns 1.0.0.
    mesh.until_state(OLD, "drained", PROMPT).await;
    mesh.assert_drained_was_true(OLD).await;
    mesh.redrive(&parked, &[]).await;
    let head = mesh.until(&parked, "completed", SOON).await;
    assert_eq!(head.record.by.version, Some(version(NEW)));
}

/// Would fail if the ledger took the old holder's commit, if its steps were repeated, if it ran queued work whose
/// ticket it got after the move (I7), or if the drain waited for the ack wait of a delivery that no longer counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_fences_out_a_live_worker() {
    let (mesh, program) = (TestMesh::start().await, Program::three_steps());
    let one = ["--json", "--concurrency", "1"];
    let old = program.worker_of(&mesh, (AGENT, OLD), "old", &one);
    mesh.until_state(OLD, "active", SOON).await;
    let running = mesh.submit("running", AGENT, r#"{"gate":"outcome"}"#).await;
    mesh.until_events(&running, &Event::Step, 3, SOON).await;
    let mut queued = Vec::new();
    for n in 1..=3 {
        queued.push(mesh.submit(&format!("queued-{n}"), AGENT, "{}").await);
    }
    let new = program.worker_of(&mesh, (AGENT, NEW), "new", &["--json"]);
    ready(&new).await;
    mesh.roll_out().await;

    let all = ["queued-1", "queued-2", "queued-3", "running"];
    assert_eq!(moved(&moves(&mesh, &[]).await), all);
    mesh.until_events(&running, &Event::Claimed, 1, SOON).await;
    // The new holder is about to commit. The old one was told, and its program has ended before its own commit.
    logged(&old, "result dropped").await;
    program.open_gate(&running, 1);
    let head = mesh.head_of(&running).await;
    assert!(!head.record.snapshot.status.is_terminal(), "{:?}", head.record);
    program.open_gate(&running, 2);
    let head = mesh.until(&running, "completed", SOON).await;
    assert_eq!(head.record.by.version, Some(version(NEW)));
    assert_eq!(program.did(&running), ["one 1", "two 1", "three 1", "outcome 2"]);
    let took = mesh.until_state(OLD, "drained", PROMPT).await;
    println!(
        "moved from a live worker: drained {} ms after the last commit",
        took.as_millis()
    );
    mesh.assert_drained_was_true(OLD).await;
    for intent in &queued {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(head.record.by.version, Some(version(NEW)));
        assert_eq!(program.runs(intent), 1, "{intent} was moved, and run by both versions");
    }
    for history in mesh.everything().await {
        assert_legal(&history);
    }
}
