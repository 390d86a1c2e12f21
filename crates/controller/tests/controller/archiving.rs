//! The archive as controllers keep it: what a controller that was away makes of it, what is not archived, how fast it is.

use std::time::Duration;

use baton_controller::{ArchiveConfig, ControllerConfig, Projection};
use baton_envelope::control::ShowArchive;
use baton_envelope::{Author, Envelope, Event, IntentId, Json, Record, Role};
use baton_jetstream::{Error, Mesh};
use baton_testkit::records;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, Running, TestServer, eventually, id, mesh_with_research, operator, quiet, research};

/// At once, and nothing is kept.
fn at_once(instance: &str) -> ControllerConfig {
    ControllerConfig {
        archive: ArchiveConfig {
            enabled: true,
            grace: Duration::ZERO,
            keep_chosen_ids: Duration::ZERO,
            ..ArchiveConfig::default()
        },
        ..quiet(instance)
    }
}

fn off(instance: &str) -> ControllerConfig {
    let mut config = at_once(instance);
    config.archive.enabled = false;
    config
}

/// The first record of an intent, and the one that ends it.
fn life(mesh: &Mesh, intent: &IntentId, seq: u64, payload: &Json) -> [Record; 2] {
    let (agent, version) = research();
    let mut envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), agent, payload.clone());
    envelope.to_version = Some(version.clone());
    let mut first = records::submitted(mesh.record_id(), mesh.now(), operator(), version, envelope);
    first.generated_id = true;
    let by = Author::of(Role::Operator, "test");
    let (at, event) = (mesh.now(), Event::Completed);
    let done = records::following(&first.snapshot, seq, mesh.record_id(), intent.clone(), event, at, by);
    [first, done]
}

async fn left(mesh: &Mesh, server: &TestServer) -> u64 {
    let client = server.client().await;
    let subject = format!("$JS.API.STREAM.INFO.{}", mesh.subjects().ledger_stream());
    let info = client.request(subject, "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    info.pointer("/state/messages")
        .and_then(|count| count.as_u64())
        .unwrap()
}

/// A projection that saw an intent open, and was away while it ended and was archived and purged, learns of its end from
/// the archive; and one that is built anew knows the archive, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controller_that_was_away_learns_of_ends_from_the_archive() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let file = server.dir().join("away.db");
    let intent = id("away");
    let [first, done] = life(&mesh, &intent, 1, &Json::null());
    records::put(mesh.url(), &first, 0).await;
    let (agent, version) = research();
    {
        let (away, stop) = follow(&mesh, &file).await;
        away.caught_up(PATIENCE).await.unwrap();
        assert_eq!(away.held(&agent, &version).await.unwrap().len(), 1);
        stop.cancel();
    }
    records::put(mesh.url(), &done, 1).await;
    let running = Running::start(&mesh, at_once("a"));
    eventually("the ledger is empty", PATIENCE, async || {
        let left = left(&mesh, &server).await;
        (left == 0).then_some(()).ok_or(format!("{left} records"))
    })
    .await;
    let (back, stop) = follow(&mesh, &file).await;
    back.caught_up(PATIENCE).await.unwrap();
    back.archive_caught_up(PATIENCE).await.unwrap();
    assert_eq!(back.held(&agent, &version).await.unwrap(), []);
    stop.cancel();
    let trail = mesh.trail(&intent).await.unwrap();
    assert_eq!(trail.len(), 2);
    assert!(matches!(mesh.must_find(&intent).await, Err(Error::Archived { .. })));
    running.stop().await;
    // In memory, and so built anew from the ledger and from the archive.
    let anew = Running::start(&mesh, off("b"));
    assert_eq!(mesh.trail(&intent).await.unwrap().len(), 2);
    anew.stop().await;
    let without = mesh.trail(&intent).await;
    assert!(matches!(without, Err(Error::NoController)), "{without:?}");
}

async fn follow(mesh: &Mesh, file: &std::path::Path) -> (Projection, CancellationToken) {
    let projection = Projection::open(mesh, Some(file.to_owned())).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(projection.clone().run(stop.clone()));
    (projection, stop)
}

/// What cannot be bundled stays where it is, is told, and keeps nobody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_closed_history_stays_and_is_told() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let client = server.client().await;
    let [first, done] = life(&mesh, &id("odd"), 1, &Json::null());
    // A record after the last one: no writer of Baton's makes that.
    for record in [&first, &done, &done] {
        let body = serde_json::to_vec(record).unwrap();
        client.publish("mesh.ledger.0.odd", body.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let good = id("good");
    let [first, _] = life(&mesh, &good, 0, &Json::null());
    let seq = records::put(mesh.url(), &first, 0).await;
    let by = Author::of(Role::Operator, "test");
    let (at, event) = (mesh.now(), Event::Completed);
    let done = records::following(&first.snapshot, seq, mesh.record_id(), good, event, at, by);
    records::put(mesh.url(), &done, seq).await;
    let running = Running::start(&mesh, at_once("a"));
    let status = eventually("one is archived and one is told", PATIENCE, async || {
        let status = mesh
            .ask_controller(&ShowArchive {})
            .await
            .map_err(|error| error.to_string())?;
        match (status.archived, status.failing) {
            (1, 1) => Ok(status),
            _ => Err(format!("{status:?}")),
        }
    })
    .await;
    let problem = status.problem.expect("a problem");
    assert!(
        problem.starts_with("odd: ") && problem.contains("follows a terminal one"),
        "{problem}"
    );
    assert_eq!(left(&mesh, &server).await, 3);
    running.stop().await;
}

/// Prints how many closed intents are archived a second. For a figure that says something:
/// `BATON_INTENTS=50000 cargo test --release -p baton-controller --test controller archived_a_second -- --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intents_archived_a_second() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let client = server.client().await;
    let wanted = std::env::var("BATON_INTENTS").ok();
    let intents: u64 = wanted.map_or(2_000, |count| count.parse().unwrap());
    let payload = Json::of(&"x".repeat(512)).unwrap();
    for number in 0..intents {
        let intent = id(&format!("i-{number}"));
        for record in life(&mesh, &intent, 1, &payload) {
            let body = serde_json::to_vec(&record).unwrap();
            client
                .publish(mesh.subjects().ledger(&intent), body.into())
                .await
                .unwrap();
        }
    }
    client.flush().await.unwrap();
    eventually("all is stored", Duration::from_secs(120), async || {
        let there = left(&mesh, &server).await;
        (there == intents * 2).then_some(()).ok_or(format!("{there}"))
    })
    .await;
    let running = Running::start(&mesh, at_once("a"));
    let begun = eventually("the first are archived", PATIENCE, async || {
        let left = left(&mesh, &server).await;
        (left < intents * 2).then_some(left).ok_or(format!("{left}"))
    })
    .await;
    let started = tokio::time::Instant::now();
    eventually("all are archived", Duration::from_secs(300), async || {
        let left = left(&mesh, &server).await;
        (left == 0).then_some(()).ok_or(format!("{left}"))
    })
    .await;
    let rate = (begun / 2) as f64 / started.elapsed().as_secs_f64();
    println!(
        "{} intents archived in {:?}, {rate:.0} a second",
        begun / 2,
        started.elapsed()
    );
    running.stop().await;
}
