//! A rollback takes effect within a second, for every sender; what the new version had taken stays with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_controller::{Controller, ControllerConfig};
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::{Gate, ids_in, result, teller, version_of};
use baton_e2e::{TestMesh, connect};
use baton_envelope::{Author, Envelope, Event, IntentId, Json, Role};
use baton_jetstream::{Filter, Mesh};
use baton_testkit::eventually;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::nats_cli::run;

/// How many rollbacks to do over the control API, and how many with the binary.
const RUNS: usize = 50;
const WITH_THE_BINARY: usize = 5;
/// The longest that an operator may have to wait.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a publisher waits between two intents.
const PACE: Duration = Duration::from_millis(10);
/// The ways in which intents arrive; each has its own ids.
const WAYS: [&str; 2] = ["raw", "direct"];

/// The versions that intents were routed to, and when that was seen.
#[derive(Debug, Clone, Default)]
struct Routings(Arc<Mutex<Vec<(Instant, IntentId, String)>>>);

impl Routings {
    /// Follows the ledger from now on.
    async fn follow(mesh: &Mesh, tasks: &mut JoinSet<()>) -> Self {
        let routings = Self::default();
        let (mut events, seen) = (mesh.events(None).await.expect("events"), routings.clone());
        tasks.spawn(async move {
            while let Some(live) = events.next().await {
                let record = live.record;
                if record.event == Event::Submitted {
                    let version = record.snapshot.version.map(|version| version.to_string());
                    let seen = &mut seen.0.lock().expect("not poisoned");
                    seen.push((Instant::now(), record.intent, version.unwrap_or_default()));
                }
            }
        });
        routings
    }

    /// When intents of this way were routed to a version within a time.
    fn when(&self, way: &str, version: &str, (from, to): (Instant, Instant)) -> Vec<Instant> {
        let seen = self.0.lock().expect("not poisoned");
        let of = |(at, id, to_version): &&(Instant, IntentId, String)| {
            (from..to).contains(at) && id.as_str().starts_with(way) && to_version == version
        };
        seen.iter().filter(of).map(|(at, ..)| *at).collect()
    }

    /// Waits until this many intents of each way were routed to a version since then.
    async fn until(&self, version: &str, since: Instant, count: usize) {
        eventually(
            &format!("each way leads to {version} {count} times"),
            SOON,
            async || {
                let window = (since, Instant::now());
                let found = WAYS.map(|way| self.when(way, version, window).len());
                let enough = found.iter().all(|found| *found >= count);
                enough.then_some(()).ok_or_else(|| format!("{WAYS:?}: {found:?}"))
            },
        )
        .await;
    }
}

/// Publishes steadily, as `nats pub` would and as a client that follows the routes. Only chains of the new version's
/// half, since the others never change versions.
async fn publish_steadily(mesh: &TestMesh, tasks: &mut JoinSet<()>) {
    let client = mesh.server.client().await;
    tasks.spawn(async move {
        for intent in ids_in("raw", 0..50) {
            let headers = [("Baton-Intent", intent.as_str())];
            let headers = headers.into_iter().collect::<HashMap<_, _>>();
            let headers = headers.into_iter().map(|(name, value)| {
                let name: &'static str = name;
                (name.parse().expect("name"), value.parse().expect("value"))
            });
            let sent = client.publish_with_headers("mesh.intent.code", headers.collect(), "1".into());
            sent.await.expect("published");
            tokio::time::sleep(PACE).await;
        }
    });
    let direct = connect(mesh.server.url()).await;
    tasks.spawn(async move {
        let _following = direct.follow_routes().await.expect("followed");
        for intent in ids_in("direct", 0..50) {
            let to = "code".parse().expect("name");
            let payload = Json::parse("1").expect("JSON");
            let envelope = Envelope::first(direct.clock().envelope_id(), intent, to, payload);
            let by = Author::of(Role::Client, "test");
            direct.submit(envelope, by).await.expect("submitted");
            tokio::time::sleep(PACE).await;
        }
    });
}

/// A mesh with a second controller, so that a decision of one must reach the other, and two versions of an agent.
async fn two_versions(tasks: &mut JoinSet<()>) -> (TestMesh, [Running; 2]) {
    let mesh = TestMesh::start().await;
    let config = ControllerConfig {
        instance: "the-other".to_owned(),
        ..ControllerConfig::default()
    };
    let other = Controller::new(connect(mesh.server.url()).await, config);
    tasks.spawn(async move { other.run_until(std::future::pending()).await.expect("controller") });
    let old = Running::start(mesh.server.url(), teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let new = Running::start(mesh.server.url(), teller("code", "2.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    (mesh, [old, new])
}

/// One run: its times, and whether the binary gave the command.
struct Run {
    commanded: Instant,
    answered: Instant,
    until: Instant,
    with_the_binary: bool,
}

/// The median and the 99th percentile.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
    (at(50), at(99))
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one mesh, step by step")]
async fn a_rollback_from_half_takes_effect_within_a_second_on_every_way() {
    let mut tasks = JoinSet::new();
    let (mesh, _workers) = two_versions(&mut tasks).await;
    let routings = Routings::follow(&connect(mesh.server.url()).await, &mut tasks).await;
    let mut publishers = JoinSet::new();
    publish_steadily(&mesh, &mut publishers).await;

    // Built before the measurement.
    run(mesh.baton(&["--version"])).await.exits(0);
    let mut runs: Vec<Run> = Vec::new();
    for number in 0..RUNS + WITH_THE_BINARY {
        let started = Instant::now();
        if let Some(last) = runs.last_mut() {
            last.until = started;
        }
        mesh.start_rollout("code", "2.0.0", &[25, 50, 100]).await;
        let status = mesh.promote("code", false).await;
        assert_eq!(status.canary.map(|canary| canary.percent.get()), Some(50));
        routings.until("2.0.0", started, 3).await;
        let with_the_binary = number >= RUNS;
        let commanded = Instant::now();
        if with_the_binary {
            run(mesh.baton(&["rollout", "rollback", "code"])).await.exits(0);
        } else {
            mesh.rollback("code").await;
        }
        let answered = Instant::now();
        // Until some time after the rollback takes effect, to count late work for the new version too.
        routings.until("1.0.0", answered, 5).await;
        let until = Instant::now();
        runs.push(Run {
            commanded,
            answered,
            until,
            with_the_binary,
        });
    }

    let mut measured: HashMap<String, Vec<Duration>> = HashMap::new();
    for Run {
        commanded,
        answered,
        until,
        with_the_binary,
    } in &runs
    {
        let how = if *with_the_binary { "the binary" } else { "the API" };
        let mut note = |what: String, took: Duration| measured.entry(what).or_default().push(took);
        note(format!("{how}: the answer"), *answered - *commanded);
        for way in WAYS {
            let window = (*commanded, *until);
            let first = routings.when(way, "1.0.0", window).into_iter().min();
            let first = first.expect("the old version gets work again");
            note(format!("{how}, {way}: the first to 1.0.0"), first - *commanded);
            let last = routings.when(way, "2.0.0", window).into_iter().max();
            let last = last.map_or(Duration::ZERO, |last| last - *commanded);
            note(format!("{how}, {way}: the last to 2.0.0"), last);
        }
    }
    let mut lines: Vec<_> = measured.into_iter().collect();
    lines.sort();
    for (what, times) in lines {
        let (count, (p50, p99)) = (times.len(), percentiles(times));
        eprintln!("rollback over {what}: p50 {p50:?}, p99 {p99:?} ({count} runs)");
        assert!(p99 < LIMIT, "{what}: p99 {p99:?}");
    }

    // Routed work stays where it is, and completes there.
    publishers.shutdown().await;
    mesh.until_intake_is_empty().await;
    eventually("all is done", Duration::from_secs(60), async || {
        let heads = mesh
            .mesh
            .list(&Filter::default())
            .await
            .map_err(|error| error.to_string())?
            .heads;
        let open = heads
            .iter()
            .filter(|head| head.record.snapshot.status.name() != "completed")
            .count();
        (open == 0)
            .then_some(())
            .ok_or(format!("{open} of {} are open", heads.len()))
    })
    .await;
    let heads = mesh.mesh.list(&Filter::default()).await.expect("listed").heads;
    let heads: HashMap<_, _> = heads
        .into_iter()
        .map(|head| (head.record.intent.clone(), head))
        .collect();
    let routed = routings.0.lock().expect("not poisoned").clone();
    assert!(routed.len() > RUNS * 10, "{}", routed.len());
    for (_, intent, version) in routed {
        let head = &heads[&intent];
        assert_eq!(
            (version_of(head), result(head)),
            (version.clone(), format!("code@{version}")),
            "{intent}"
        );
    }
    mesh.until_version_is("code", "2.0.0", "drained").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_version_took_is_done_there_is_told_meanwhile_and_then_it_is_drained() {
    let mesh = TestMesh::start().await;
    let gate = Gate::shut();
    let url = mesh.server.url();
    let _old = Running::start(url, teller("code", "1.0.0", &Gate::open())).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let _new = Running::start(url, teller("code", "2.0.0", &gate).concurrency(4)).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    mesh.start_rollout("code", "2.0.0", &[25, 50, 100]).await;
    mesh.promote("code", false).await;

    let taken: Vec<IntentId> = ids_in("taken", 0..50).take(10).collect();
    for intent in &taken {
        mesh.submit_to("code", intent).await;
    }
    eventually("four run", SOON, async || {
        (gate.came() == 4).then_some(()).ok_or(gate.came().to_string())
    })
    .await;
    let status = mesh.rollback("code").await;
    assert_eq!((status.active.to_string(), status.canary), ("1.0.0".to_owned(), None));

    // The projection follows the ledger, which shows running hops a moment after they begin.
    let drain = mesh
        .until_held("code", "2.0.0", "4 that run and 6 that are queued", |drain| {
            let of = |name: &str| {
                drain
                    .holds
                    .iter()
                    .find(|hold| hold.cause.to_string() == name)
                    .map(|hold| hold.count)
            };
            (of("running"), of("queued")) == (Some(4), Some(6))
        })
        .await;
    assert_eq!(
        (drain.state.name(), drain.open, drain.workers, drain.tickets),
        ("draining", 10, 1, 10)
    );
    assert!(drain.holds.iter().all(|hold| taken.contains(&hold.oldest)), "{drain:?}");
    let shown = run(mesh.baton(&["rollout", "status", "code"])).await.exits(0).stdout;
    for part in ["rolled back", "running", "queued", drain.holds[0].oldest.as_str()] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // New work of the same chains goes to the old version, and does not wait for held work.
    for intent in ids_in("later", 0..50).take(10) {
        mesh.submit_to("code", &intent).await;
        let head = mesh.until(&intent, "completed", SOON).await;
        assert_eq!(
            (version_of(&head), result(&head)),
            ("1.0.0".to_owned(), "code@1.0.0".to_owned())
        );
    }
    assert_eq!(gate.came(), 4);
    mesh.until_version_is("code", "2.0.0", "draining").await;
    gate.lift();
    for intent in &taken {
        let head = mesh.until(intent, "completed", SOON).await;
        assert_eq!(
            (version_of(&head), result(&head)),
            ("2.0.0".to_owned(), "code@2.0.0".to_owned())
        );
    }
    mesh.until_version_is("code", "2.0.0", "drained").await;
    let drain = mesh
        .until_held("code", "2.0.0", "nothing", |drain| {
            drain.open == 0 && drain.tickets == 0
        })
        .await;
    assert_eq!(drain.holds, []);
}
