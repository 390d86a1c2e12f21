//! Schedules: each firing is one intent, at its time, whoever makes it and however often.

mod making_up;

use std::collections::BTreeSet;
use std::time::Duration;

use baton_agent::Outcome;
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent};
use baton_e2e::firing::{Scale, each_firing_once};
use baton_envelope::control::RunSchedule;
use baton_envelope::schedule::{Firing, Schedule, Why};
use baton_envelope::{IntentId, ScheduleName};
use baton_jetstream::Filter;
use baton_testkit::eventually;
use serde_json::Value;

/// Starts an agent that completes what it gets, and waits until it is known.
async fn echo(mesh: &TestMesh) -> Running {
    let builder = agent("report", |envelope| async move { Outcome::complete(&envelope.payload) });
    let running = Running::start(mesh.server.url(), builder).await;
    known(mesh).await;
    running
}

async fn known(mesh: &TestMesh) {
    eventually("the agent is known", SOON, async || {
        let route = mesh.mesh.route(&"report".parse().expect("a name")).await;
        let route = route.map_err(|error| error.to_string())?;
        route.map(drop).ok_or_else(|| "no route".to_owned())
    })
    .await;
}

fn name(text: &str) -> ScheduleName {
    text.parse().expect("a name")
}

/// Runs a command that must succeed, and gives its document.
async fn json(mesh: &TestMesh, line: &str) -> Value {
    let mut args: Vec<&str> = line.split(' ').collect();
    args.extend(["--output", "json"]);
    let out = mesh.run_baton(&args).await;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{line}: {said}");
    serde_json::from_slice(&out.stdout).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Runs a command that must fail: its exit code, its code, and all that it said.
async fn refused(mesh: &TestMesh, args: &[&str]) -> (Option<i32>, String, String) {
    let args = [args, &["--output", "json"]].concat();
    let out = mesh.run_baton(&args).await;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let line = said.lines().last().unwrap_or_default();
    let document: Value = serde_json::from_str(line).unwrap_or_default();
    let code = document["code"].as_str().unwrap_or_default().to_owned();
    (out.status.code(), code, said)
}

/// The schedule as it is stored.
async fn stored(mesh: &TestMesh, of: &str) -> Schedule {
    let found = mesh.mesh.schedule(&name(of)).await.expect("read");
    found.expect("a schedule").schedule
}

/// Waits until a schedule has fired so often.
async fn until_fired(mesh: &TestMesh, of: &str, count: u64) -> Schedule {
    eventually(&format!("{of} has fired {count} times"), SOON, async || {
        let found = mesh.mesh.schedule(&name(of)).await.map_err(|error| error.to_string())?;
        let schedule = found.ok_or("there is none")?.schedule;
        (schedule.fired >= count)
            .then(|| schedule.clone())
            .ok_or_else(|| format!("{schedule:?}"))
    })
    .await
}

/// How many intents there are.
async fn intents(mesh: &TestMesh) -> usize {
    mesh.mesh.list(&Filter::default()).await.expect("a list").heads.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_fires_in_time_and_its_intents_say_so() {
    let mesh = TestMesh::start().await;
    let _worker = echo(&mesh).await;
    let payload = mesh.server.dir().join("payload.json");
    std::fs::write(&payload, r#"{"pages": [1, 2]}"#).unwrap();
    let line = format!(
        "schedules add tick --agent report --every 1s --kind a.b.v1 --priority 7 --payload @{}",
        payload.display()
    );
    let added = json(&mesh, &line).await;
    assert_eq!(
        (&added["schedule"]["name"], &added["status"]),
        (&"tick".into(), &Value::Null)
    );
    assert!(
        added["schedule"]["revision"]
            .as_u64()
            .is_some_and(|revision| revision > 0),
        "{added}"
    );

    let fired = until_fired(&mesh, "tick", 3).await;
    let last = fired.last.expect("a firing");
    let history = mesh.history_of(&last.intent).await;
    let first = &history[0];
    let envelope = first.record.envelope.as_ref().expect("an envelope");
    assert_eq!(envelope.from.as_deref(), Some("schedule/tick"));
    assert_eq!(
        (envelope.payload.get(), envelope.kind.as_deref()),
        (r#"{"pages": [1, 2]}"#, Some("a.b.v1"))
    );
    assert_eq!(
        (first.record.at, first.record.snapshot.submitted_at),
        (last.at, last.at)
    );
    assert!(
        first
            .record
            .note
            .as_deref()
            .is_some_and(|note| note.contains("schedule tick")),
        "{history:?}"
    );
    let late = first.record.snapshot.updated_at.since(last.at);
    assert!(late < Duration::from_secs(1), "{late:?} late");
    assert_eq!(
        last.at.since(fired.created_at).as_millis() % 1000,
        0,
        "counted from its creation"
    );
    mesh.until(&last.intent, "completed", SOON).await;

    // A person sees which schedule it was, and how the last firing ended.
    let got = json(&mesh, &format!("intents get {}", last.intent)).await;
    assert!(got.to_string().contains("schedule/tick"), "{got}");
    eventually("show says how it ended", SOON, async || {
        let shown = json(&mesh, "schedules show tick").await;
        let next = shown["next"].as_array().map_or(0, Vec::len);
        let is_right = shown["status"] == "completed" && next == 5;
        is_right.then_some(()).ok_or_else(|| shown.to_string())
    })
    .await;
    let next = json(&mesh, "schedules next tick 7").await;
    assert_eq!(next["next"].as_array().map(Vec::len), Some(7));
    let list = json(&mesh, "schedules list").await;
    assert_eq!(list["schedules"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_makes_none_up_and_a_removed_schedule_is_another_when_it_is_added_again() {
    let mesh = TestMesh::start().await;
    let _worker = echo(&mesh).await;
    json(&mesh, "schedules add tick --agent report --every 1s --payload 1").await;
    until_fired(&mesh, "tick", 1).await;
    let paused = json(&mesh, "schedules pause tick").await;
    assert!(paused["schedule"]["paused"]["by"].is_string(), "{paused}");
    // What was under way when it was paused is in by now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (before, there) = (stored(&mesh, "tick").await, intents(&mesh).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        (stored(&mesh, "tick").await.fired, intents(&mesh).await),
        (before.fired, there)
    );
    let resumed = json(&mesh, "schedules resume tick").await;
    let first = resumed["next"][0].as_str().expect("a time").to_owned();
    let after = until_fired(&mesh, "tick", before.fired + 1).await;
    assert!(after.through.to_string() >= first, "{after:?} begins at {first}");
    assert!(
        after.fired <= before.fired + 2,
        "what the pause left out was made: {after:?}"
    );

    let old = stored(&mesh, "tick").await;
    json(&mesh, "schedules remove tick").await;
    let (exit, code, said) = refused(&mesh, &["schedules", "show", "tick"]).await;
    assert_eq!((exit, &*code), (Some(3), "UNKNOWN_SCHEDULE"), "{said}");
    let again = json(&mesh, "schedules add tick --agent report --every 1s --payload 1").await;
    assert_ne!(
        again["schedule"]["revision"],
        old.revision.expect("a revision"),
        "{again}"
    );
    until_fired(&mesh, "tick", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_twice_is_made_once() {
    let mesh = TestMesh::start().await;
    let _worker = echo(&mesh).await;
    add(
        &mesh,
        &[
            "rare",
            "--agent",
            "report",
            "--cron",
            "0 5 * * *",
            "--tz",
            "Europe/Berlin",
            "--payload",
            "1",
        ],
    )
    .await;

    // Out of turn: a repeat of the same question is the same firing.
    let question = RunSchedule {
        name: name("rare"),
        at: mesh.mesh.now(),
        by: "test".to_owned(),
    };
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let view = mesh.mesh.ask_controller(&question).await.expect("an answer");
        outcomes.extend(view.firings.into_iter().map(|firing| (firing.intent, firing.outcome)));
    }
    assert_eq!((&*outcomes[0].1, &*outcomes[1].1), ("new", "before"));
    assert_eq!(outcomes[0].0, outcomes[1].0);
    mesh.until(&outcomes[0].0, "completed", SOON).await;
    let other = json(&mesh, "schedules run-now rare").await;
    assert_eq!(other["firings"][0]["outcome"], "new");
    assert_eq!((intents(&mesh).await, stored(&mesh, "rare").await.fired), (2, 2));

    // A span of the past, from before the schedule was there: three days, over the end of summer time.
    let line = "schedules backfill rare 2026-10-24T00:00:00Z 2026-10-26T23:00:00Z";
    let first = json(&mesh, line).await;
    let at = |view: &Value, n: usize| view["firings"][n]["at"].as_str().unwrap_or_default().to_owned();
    let times: Vec<String> = (0..3).map(|n| at(&first, n)).collect();
    assert_eq!(
        times,
        [
            "2026-10-24T03:00:00.000Z",
            "2026-10-25T04:00:00.000Z",
            "2026-10-26T04:00:00.000Z"
        ]
    );
    let outcomes = |view: &Value| -> Vec<String> {
        let firings = view["firings"].as_array().expect("firings").iter();
        firings
            .map(|one| one["outcome"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(outcomes(&first), ["new", "new", "new"]);
    let again = json(
        &mesh,
        "schedules backfill rare 2026-10-25T00:00:00Z 2026-10-27T23:00:00Z",
    )
    .await;
    assert_eq!(outcomes(&again), ["before", "before", "new"]);
    assert_eq!(intents(&mesh).await, 6);
    let intent: IntentId = again["firings"][2]["intent"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("an id");
    let history = mesh.history_of(&intent).await;
    let submitted = &history[0].record;
    assert_eq!(
        submitted.at.to_string(),
        "2026-10-27T04:00:00.000Z",
        "the nominal time, however late"
    );
    assert!(
        submitted.snapshot.updated_at.since(submitted.at) > Duration::from_secs(3600),
        "{submitted:?}"
    );
    mesh.until(&intent, "completed", SOON).await;
}

/// Adds a schedule.
async fn add(mesh: &TestMesh, args: &[&str]) -> Value {
    let args = [&["schedules", "add"], args, &["--output", "json"]].concat();
    let out = mesh.run_baton(&args).await;
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_cannot_be_is_refused_with_its_code() {
    let mesh = TestMesh::start().await;
    let _worker = echo(&mesh).await;
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--cron", "0 0 30 2 *"], 2, "NEVER_FIRES"),
        (&["--cron", "0 0 1 1 *", "--until", "5s"], 2, "NEVER_FIRES"),
        (&["--cron", "61 * * * *"], 2, "BAD_SCHEDULE"),
        (&["--cron", "0 5 * * *", "--tz", "Mars/Olympus"], 2, "UNKNOWN_ZONE"),
        (&["--every", "0s"], 2, "BAD_SCHEDULE"),
        (&["--every", "1s", "--jitter", "5s"], 2, "BAD_SCHEDULE"),
        (&["--every", "1s", "--until", "2020-01-01T00:00:00Z"], 2, "BAD_SCHEDULE"),
        (&["--every", "1s", "--cron", "* * * * *"], 2, "USAGE"),
        (&["--payload", "1"], 2, "USAGE"),
    ];
    for (times, exit, code) in cases {
        let args = [
            &["schedules", "add", "bad", "--agent", "report", "--payload", "1"],
            times,
        ]
        .concat();
        let (found, said_code, said) = refused(&mesh, &args).await;
        assert_eq!((found, &*said_code), (Some(exit), code), "{times:?}: {said}");
    }
    let nobody = [
        "schedules",
        "add",
        "bad",
        "--agent",
        "nobody",
        "--every",
        "1s",
        "--payload",
        "1",
    ];
    let (exit, code, said) = refused(&mesh, &nobody).await;
    assert_eq!((exit, &*code), (Some(3), "UNKNOWN_AGENT"), "{said}");

    assert_eq!(intents(&mesh).await, 0, "nothing was submitted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_of_a_schedule_is_refused_with_its_code() {
    let mesh = TestMesh::start().await;
    let _worker = echo(&mesh).await;
    add(&mesh, &["once", "--agent", "report", "--every", "1h", "--payload", "1"]).await;
    let again = [
        "schedules",
        "add",
        "once",
        "--agent",
        "report",
        "--every",
        "2h",
        "--payload",
        "1",
    ];
    let (exit, code, said) = refused(&mesh, &again).await;
    assert_eq!((exit, &*code), (Some(4), "SCHEDULE_EXISTS"), "{said}");
    assert_eq!(
        stored(&mesh, "once").await.every_ms,
        Some(3_600_000),
        "it is left as it was"
    );
    for args in [
        &[
            "schedules",
            "backfill",
            "once",
            "2026-01-02T00:00:00Z",
            "2026-01-01T00:00:00Z",
        ][..],
        &[
            "schedules",
            "backfill",
            "once",
            "2026-01-01T00:00:00Z",
            "2200-01-01T00:00:00Z",
        ],
        &[
            "schedules",
            "backfill",
            "once",
            "2020-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
        ],
    ] {
        let (exit, code, said) = refused(&mesh, args).await;
        assert_eq!((exit, &*code), (Some(2), "BAD_SCHEDULE"), "{said}");
    }
    for act in ["show", "pause", "resume", "remove", "run-now", "next"] {
        let (exit, code, said) = refused(&mesh, &["schedules", act, "nothing"]).await;
        assert_eq!((exit, &*code), (Some(3), "UNKNOWN_SCHEDULE"), "{act}: {said}");
        assert!(said.contains("once"), "it names those that there are: {said}");
    }
    assert_eq!(intents(&mesh).await, 0, "nothing was submitted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_firing_exists_once_while_controllers_are_killed_and_frozen() {
    let scale = Scale {
        schedules: 20,
        seconds: 16,
        between: Duration::from_secs(4),
    };
    let found = each_firing_once(scale).await;
    println!("{found:?}");
    assert!(found.firings >= 20 * 10, "{found:?}");
    assert!(found.deaths >= 2, "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_firing_is_put_off_by_its_jitter_and_none_comes_after_the_end() {
    let mesh = TestMesh::start().await;
    let _worker = echo(&mesh).await;
    let line = "schedules add spread --agent report --every 1s --jitter 800ms --until 4500ms --payload 1";
    json(&mesh, line).await;
    let schedule = stored(&mesh, "spread").await;
    assert_eq!(schedule.jitter(), Duration::from_millis(800));
    let until = schedule.until.expect("an end");
    let times = (1..).map(|number| schedule.created_at.plus(Duration::from_secs(number)));
    let mut put_off = Vec::new();
    for at in times.take_while(|at| *at <= until) {
        let firing = Firing::of(&schedule, Why::Due, at);
        mesh.until(&firing.intent, "completed", SOON).await;
        let first = mesh.history_of(&firing.intent).await.remove(0);
        let by = firing.put_off(&schedule);
        let stored = first.stored_at.expect("stored");
        assert!(stored >= at.plus(by), "{by:?} after {at}: made at {stored}");
        assert_eq!(first.record.at, at, "its time is the nominal one");
        put_off.push(by);
    }
    assert_eq!(put_off.len(), 4, "the fifth would come after {until}");
    assert!(put_off.iter().all(|by| *by < schedule.jitter()), "{put_off:?}");
    let distinct: BTreeSet<Duration> = put_off.iter().copied().collect();
    assert!(distinct.len() > 1, "all at the same moment: {put_off:?}");
    // Nothing is due any more, so there is nothing to wait for but the next round of the leader.
    let ended = until_fired(&mesh, "spread", 4).await;
    let later = until.plus(Duration::from_secs(2));
    eventually("its end has passed", SOON, async || {
        (mesh.mesh.now() > later).then_some(()).ok_or("not yet".to_owned())
    })
    .await;
    assert_eq!(stored(&mesh, "spread").await.fired, ended.fired);
    assert_eq!(intents(&mesh).await, 4);
}
