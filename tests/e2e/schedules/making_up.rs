//! What becomes of firings that were not made in time, that overlap, or that cannot be submitted; and the death of a
//! controller between the intents and the document.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::Outcome;
use baton_controller::{ArchiveConfig, Controller, ControllerConfig};
use baton_e2e::chaos::{Running, SOON, agent};
use baton_e2e::gated::Gate;
use baton_e2e::{TestMesh, connect};
use baton_envelope::schedule::{Firing, Missed, Overlap, Schedule, Why};
use baton_envelope::{Author, Extra, Json, Priority, Role, Timestamp};
use baton_jetstream::{ControllerMesh, DueWork, Submitted};
use baton_testkit::eventually;
use futures::StreamExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{add, echo, intents, json, known, name, stored, until_fired};

/// A schedule that was made some time ago and has fired nothing since.
fn old(name: &str, created_at: Timestamp, every: Duration) -> Schedule {
    Schedule {
        name: name.parse().expect("a name"),
        agent: "report".parse().expect("a name"),
        cron: None,
        tz: None,
        every_ms: Some(u64::try_from(every.as_millis()).expect("a number")),
        jitter_ms: 0,
        until: None,
        missed: Missed::default(),
        overlap: Overlap::default(),
        kind: None,
        priority: Priority::default(),
        deadline_ms: None,
        payload: Json::null(),
        payload_encoding: None,
        created_at,
        created_by: "test".to_owned(),
        revision: None,
        through: created_at,
        paused: None,
        fired: 0,
        last: None,
        skipped: None,
        held: None,
        extra: Extra::new(),
    }
}

/// A controller in this process.
struct Controlling {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Controlling {
    /// Waits until it has ended, and leads no more.
    async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.task.await.expect("it ends");
    }
}

async fn controller(mesh: &TestMesh, grace: Duration) -> Controlling {
    let config = ControllerConfig {
        sweep_interval: Duration::from_millis(500),
        archive: ArchiveConfig {
            grace,
            ..ArchiveConfig::default()
        },
        ..ControllerConfig::default()
    };
    let controller = Controller::new(connect(mesh.server.url()).await, config);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        controller.run_until(stopped).await.expect("controller");
    });
    Controlling { stop, task }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_while_no_controller_ran_is_made_as_the_schedule_says() {
    let mesh = TestMesh::start_without_controller().await;
    let as_controller = ControllerMesh::of(&mesh.mesh);
    let minute = Duration::from_secs(60);
    // Ten firings are due: nine of them are missed, and the tenth is late.
    let created = mesh.mesh.now().minus(minute * 10 + Duration::from_secs(5));
    for (of, missed) in [("all", Missed::All), ("once", Missed::Once), ("skip", Missed::Skip)] {
        let schedule = Schedule {
            missed,
            ..old(of, created, minute)
        };
        as_controller
            .create_schedule(&schedule)
            .await
            .expect("written")
            .expect("new");
    }
    // The work of each must be done within ten seconds of its time.
    let late = Schedule {
        missed: Missed::All,
        deadline_ms: Some(10_000),
        ..old("late", created, minute)
    };
    as_controller
        .create_schedule(&late)
        .await
        .expect("written")
        .expect("new");
    // A thousand years of seconds are not looked at one by one.
    let ages = Schedule {
        until: Some(mesh.mesh.now().minus(minute * 2)),
        ..old(
            "ages",
            "1970-01-01T00:00:00Z".parse().expect("a time"),
            Duration::from_secs(1),
        )
    };
    as_controller
        .create_schedule(&ages)
        .await
        .expect("written")
        .expect("new");

    let running = controller(&mesh, Duration::from_secs(600)).await;
    let _worker = echo(&mesh).await;
    for (of, count) in [("all", 10), ("once", 2), ("skip", 1), ("late", 1), ("ages", 1)] {
        let schedule = until_fired(&mesh, of, count).await;
        let last = schedule.last.clone().expect("a firing");
        if of != "ages" {
            assert_eq!(last.at, created.plus(minute * 10), "{schedule:?}");
            assert_eq!(schedule.fired, count, "{schedule:?}");
        }
        mesh.until(&last.intent, "completed", SOON).await;
    }
    let skipped = async |of: &'static str| stored(&mesh, of).await.skipped.expect("one was left out");
    assert_eq!(skipped("once").await.at, created.plus(minute * 8));
    assert_eq!(skipped("skip").await.at, created.plus(minute * 9));
    assert!(skipped("late").await.why.contains("deadline"));
    assert_eq!(intents(&mesh).await, 10 + 2 + 1 + 1 + 1);
    running.stop().await;
}

/// The controller dies between the intents and the document: here the document is put back to before the firings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_died_before_it_wrote_down_what_it_made_makes_nothing_twice() {
    let mesh = TestMesh::start_without_controller().await;
    // Each intent that ends leaves the ledger for the archive at once.
    let first = controller(&mesh, Duration::ZERO).await;
    let _worker = echo(&mesh).await;
    add(&mesh, &["tick", "--agent", "report", "--every", "1s", "--payload", "1"]).await;
    until_fired(&mesh, "tick", 4).await;
    json(&mesh, "schedules pause tick").await;
    eventually("all is archived, and none is left in the ledger", SOON, async || {
        let there = mesh.stream_state("MESH_LEDGER").await["messages"].clone();
        let open = json(&mesh, "archive status").await["waiting"].clone();
        (there == 0 && open == 0)
            .then_some(())
            .ok_or_else(|| format!("{there} records, {open} wait"))
    })
    .await;
    first.stop().await;

    let made = stored(&mesh, "tick").await;
    let as_controller = ControllerMesh::of(&mesh.mesh);
    let before = |schedule: &Schedule| {
        let paused = None;
        Some(Schedule {
            through: schedule.created_at,
            until: Some(made.through),
            missed: Missed::All,
            fired: 0,
            paused,
            ..schedule.clone()
        })
    };
    let changed = as_controller.change_schedule(&name("tick"), None, before).await;
    changed.expect("written").expect("there");
    let second = controller(&mesh, Duration::ZERO).await;
    let again = until_fired(&mesh, "tick", made.fired).await;
    assert_eq!((again.through, again.fired), (made.through, made.fired));
    let state = mesh.stream_state("MESH_LEDGER").await;
    assert_eq!(
        state["messages"], 0,
        "something that was archived was made again: {state}"
    );
    let last = made.last.expect("a firing");
    let shown = json(&mesh, "schedules show tick").await;
    assert_eq!(
        (&shown["status"], &shown["next"]),
        (&"completed".into(), &serde_json::json!([]))
    );
    assert_eq!(shown["schedule"]["last"]["intent"], last.intent.as_str());
    second.stop().await;
}

/// A leader looks whether a firing was made, freezes, and writes it when another has made it, and it is done and archived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_froze_before_it_wrote_has_nothing_run_twice() {
    let mesh = TestMesh::start_without_controller().await;
    let _controller = controller(&mesh, Duration::ZERO).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let builder = agent("report", move |envelope| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { Outcome::complete(&envelope.payload) }
    });
    let _worker = Running::start(mesh.server.url(), builder).await;
    known(&mesh).await;
    let half_a_minute = Duration::from_secs(30);
    let schedule = old("froze", mesh.mesh.now().minus(half_a_minute), Duration::from_secs(3600));
    let firing = Firing::of(&schedule, Why::Due, schedule.created_at);
    let due = DueWork {
        at: firing.at,
        looked_at: firing.at,
        note: "froze".to_owned(),
        path: Vec::new(),
    };
    let submit = async || {
        let envelope = firing.envelope(&schedule, mesh.mesh.clock().envelope_id());
        let by = Author::of(Role::Controller, "frozen");
        mesh.mesh.submit_due(envelope, by, &due).await.expect("submitted")
    };
    let until_gone = async |what: &str| {
        eventually(what, Duration::from_secs(60), async || {
            let there = mesh.stream_state("MESH_LEDGER").await["messages"].clone();
            let archived = json(&mesh, "archive status").await["archived"].clone();
            (there == 0 && archived == 1)
                .then_some(())
                .ok_or_else(|| format!("{there} records, {archived} archived"))
        })
        .await;
    };
    submit().await;
    until_gone("it is done and archived").await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);

    let again = submit().await;
    assert!(
        matches!(again, Submitted::New { .. }),
        "the ledger knows nothing of it: {again:?}"
    );
    until_gone("its second life is taken away").await;
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it ran twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firing_that_overlaps_is_left_out_while_the_last_one_is_open() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let held = gate.clone();
    let builder = agent("report", move |envelope| {
        let held = held.clone();
        async move {
            held.pass().await;
            Outcome::complete(&envelope.payload)
        }
    });
    let _worker = Running::start(mesh.server.url(), builder).await;
    known(&mesh).await;
    add(
        &mesh,
        &[
            "slow",
            "--agent",
            "report",
            "--every",
            "1s",
            "--overlap",
            "skip",
            "--payload",
            "1",
        ],
    )
    .await;
    let first = until_fired(&mesh, "slow", 1).await.last.expect("a firing");
    let skipping = eventually("two are left out", SOON, async || {
        let schedule = stored(&mesh, "slow").await;
        let is_later = |at: Timestamp| at.since(first.at) >= Duration::from_secs(2);
        let skipped = schedule.skipped.as_ref().is_some_and(|skipped| is_later(skipped.at));
        skipped.then(|| schedule.clone()).ok_or_else(|| format!("{schedule:?}"))
    })
    .await;
    assert_eq!((skipping.fired, intents(&mesh).await), (1, 1));
    assert!(
        skipping
            .skipped
            .is_some_and(|skipped| skipped.why.contains(first.intent.as_str()))
    );
    gate.lift();
    mesh.until(&first.intent, "completed", SOON).await;
    let next = until_fired(&mesh, "slow", 2).await.last.expect("a firing");
    assert_ne!(next.intent, first.intent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firing_that_would_be_refused_waits_and_says_why() {
    let mesh = TestMesh::start().await;
    let client = mesh.server.client().await;
    let mut alarms = client.subscribe("mesh.alarm").await.expect("subscribed");
    client.flush().await.expect("flushed");
    // Its agent is not known yet, or not any more.
    let schedule = old("orphan", mesh.mesh.now(), Duration::from_secs(1));
    let as_controller = ControllerMesh::of(&mesh.mesh);
    as_controller
        .create_schedule(&schedule)
        .await
        .expect("written")
        .expect("new");
    let alarm = tokio::time::timeout(SOON, alarms.next())
        .await
        .expect("an alarm")
        .expect("an alarm");
    let alarm: serde_json::Value = serde_json::from_slice(&alarm.payload).expect("JSON");
    assert_eq!(alarm["code"], "SCHEDULE_HELD", "{alarm}");
    assert!(
        alarm["message"].as_str().is_some_and(|text| text.contains("orphan")),
        "{alarm}"
    );
    let held = eventually("the schedule says why", SOON, async || {
        let schedule = stored(&mesh, "orphan").await;
        schedule.held.clone().ok_or_else(|| format!("{schedule:?}"))
    })
    .await;
    assert_eq!(held.code, "UNKNOWN_AGENT");
    assert_eq!(intents(&mesh).await, 0);

    let _worker = echo(&mesh).await;
    let fired = until_fired(&mesh, "orphan", 3).await;
    assert_eq!(fired.held, None, "{fired:?}");
    let first = Firing::of(&fired, Why::Due, fired.created_at.plus(Duration::from_secs(1)));
    mesh.until(&first.intent, "completed", SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_are_written_again_when_somebody_removes_their_bucket() {
    let mesh = TestMesh::start().await;
    let _worker = echo(&mesh).await;
    add(&mesh, &["tick", "--agent", "report", "--every", "1s", "--payload", "1"]).await;
    let before = until_fired(&mesh, "tick", 2).await;
    let client = mesh.server.client().await;
    let removed = client
        .request("$JS.API.STREAM.DELETE.KV_MESH_SCHEDULES", "".into())
        .await;
    assert!(String::from_utf8_lossy(&removed.expect("an answer").payload).contains("true"));
    let after = eventually("it is there again, and fires", SOON, async || {
        let found = mesh
            .mesh
            .schedule(&name("tick"))
            .await
            .map_err(|error| error.to_string())?;
        let schedule = found.ok_or("there is none")?.schedule;
        (schedule.fired > before.fired + 2)
            .then(|| schedule.clone())
            .ok_or_else(|| format!("{schedule:?}"))
    })
    .await;
    assert_eq!((after.revision, after.created_at), (before.revision, before.created_at));
    // Each firing since its creation is there once.
    let upto = after.through.since(after.created_at).as_secs();
    assert!(
        u64::try_from(intents(&mesh).await).is_ok_and(|count| (upto..=upto + 2).contains(&count)),
        "{after:?}"
    );
}
