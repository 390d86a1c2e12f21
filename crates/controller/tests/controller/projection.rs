//! The projection says what the ledger says, whatever happens to its file, to the server, and to the ledger.

mod faults;
mod random;
mod speed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use baton_controller::Projection;
use baton_envelope::{
    AgentName, AgentVersion, Author, Cause, Envelope, Event, IntentId, Json, Record, Successor, Timestamp, WaitReason,
    holds,
};
use baton_jetstream::{Error, Filter, Limits, Mesh};
use baton_testkit::records;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::random::lives;
use crate::support::{PATIENCE, TestServer, connect, eventually, id, operator};

type Version = (AgentName, AgentVersion);
type Counts = BTreeMap<Version, BTreeMap<Cause, u64>>;

fn version(agent: &str, version: &str) -> Version {
    (agent.parse().unwrap(), version.parse().unwrap())
}

fn versions() -> Vec<Version> {
    vec![
        version("research", "1.0.0"),
        version("research", "2.0.0-rc.1+build"),
        version("code", "1.0.0"),
        version("review", "0.3.7"),
    ]
}

fn worker((agent, version): &Version) -> Author {
    Author::worker(agent.clone(), version.clone(), "w1")
}

async fn mesh_of(server: &TestServer) -> Mesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    mesh
}

async fn write(mesh: &Mesh, record: &Record, expected: u64) -> u64 {
    records::put(mesh.url(), record, expected).await
}

fn envelope(mesh: &Mesh, name: &str, to: &Version) -> Envelope {
    Envelope::first(mesh.clock().envelope_id(), id(name), to.0.clone(), Json::null())
}

fn submitted(mesh: &Mesh, name: &str, to: &Version) -> Record {
    let envelope = envelope(mesh, name, to);
    records::submitted(mesh.record_id(), mesh.now(), operator(), to.1.clone(), envelope)
}

fn following(mesh: &Mesh, head: &Record, seq: u64, event: Event, at: Timestamp, by: Author) -> Record {
    let (id, intent) = (mesh.record_id(), head.intent.clone());
    records::following(&head.snapshot, seq, id, intent, event, at, by)
}

fn figures(mut record: Record, took_ms: u64, cost: Option<&str>) -> Record {
    let took = Json::of(&took_ms).unwrap();
    record.extra.insert("took_ms".to_owned(), took);
    if let Some(cost) = cost {
        record.extra.insert("cost".to_owned(), Json::parse(cost).unwrap());
    }
    record
}

fn successor(mesh: &Mesh, from: &Version, to: &Version) -> Successor {
    Successor {
        id: mesh.clock().envelope_id(),
        to: to.0.clone(),
        to_version: to.1.clone(),
        from: format!("{}@{}", from.0, from.1),
        payload: Json::null(),
        kind: None,
        history: None,
    }
}

/// What the heads of the ledger say.
async fn expected(mesh: &Mesh) -> Result<(Counts, BTreeMap<Version, Vec<(IntentId, Cause)>>), Error> {
    let mut counts = Counts::new();
    let mut held: BTreeMap<Version, Vec<(Timestamp, IntentId, Cause)>> = BTreeMap::new();
    for head in mesh.list(&Filter::default()).await?.heads {
        for hold in holds(&head.record.snapshot) {
            let version = (hold.agent, hold.version);
            *counts
                .entry(version.clone())
                .or_default()
                .entry(hold.cause)
                .or_default() += 1;
            let held = held.entry(version).or_default();
            held.push((hold.since, head.record.intent.clone(), hold.cause));
        }
    }
    let held = held.into_iter().map(|(version, mut held)| {
        held.sort();
        (
            version,
            held.into_iter().map(|(_, intent, cause)| (intent, cause)).collect(),
        )
    });
    Ok((counts, held.collect()))
}

async fn assert_equal(mesh: &Mesh, projection: &Projection) {
    let end = projection.caught_up(PATIENCE).await.unwrap();
    assert_eq!(end, mesh.ledger_end().await.unwrap().last_seq);
    let (counts, held) = expected(mesh).await.unwrap();
    assert_eq!(projection.counts().await.unwrap(), counts);
    for (agent, version) in versions() {
        let of = (agent.clone(), version.clone());
        let expected = held.get(&of).cloned().unwrap_or_default();
        assert_eq!(projection.held(&agent, &version).await.unwrap(), expected);
        let views = projection.hold_views(&agent, &version).await.unwrap();
        let viewed: BTreeMap<Cause, u64> = views.iter().map(|view| (view.cause, view.count)).collect();
        assert_eq!(viewed, counts.get(&of).cloned().unwrap_or_default());
        for view in views {
            let first = expected
                .iter()
                .filter(|(_, cause)| *cause == view.cause)
                .map(|(intent, _)| intent);
            let first: Vec<IntentId> = first.take(5).cloned().collect();
            assert_eq!((Some(&view.oldest), &view.intents), (first.first(), &first));
        }
    }
    assert_eq!(projection.behind().await.unwrap(), 0);
}

/// A projection that follows.
struct Following {
    projection: Projection,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Following {
    async fn start(mesh: &Mesh, file: Option<PathBuf>) -> Self {
        let projection = Projection::open(mesh, file).await.unwrap();
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        tracker.spawn(projection.clone().run(stop.clone()));
        Self {
            projection,
            stop,
            tracker,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(PATIENCE, self.tracker.wait())
            .await
            .expect("the projection stops");
    }
}

fn file(server: &TestServer) -> PathBuf {
    server.dir().join("controller/projection.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_seen_within_a_second() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    let projection = &following.projection;
    let to = version("research", "1.0.0");
    let mut changes = projection.changes();
    for number in 0..20 {
        let seq = write(&mesh, &submitted(&mesh, &format!("i-{number}"), &to), 0).await;
        let seen = tokio::time::timeout(Duration::from_secs(1), changes.wait_for(|position| *position >= seq)).await;
        seen.expect("within a second").unwrap();
        assert_eq!(projection.counts().await.unwrap()[&to][&Cause::Queued], number + 1);
    }
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_what_the_heads_of_the_ledger_say() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, None).await;
    for round in ["first", "second", "third"] {
        lives(&mesh, round, 160).await;
        assert_equal(&mesh, &following.projection).await;
    }
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_where_it_was_stopped() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    lives(&mesh, "before", 80).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    let position = following.projection.position();
    following.stop().await;

    lives(&mesh, "meanwhile", 80).await;
    let opened = Projection::open(&mesh, Some(file(&server))).await.unwrap();
    assert_eq!(opened.position(), position, "nothing is built anew");
    drop(opened);
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;

    // Another process that wants the same file does without it.
    let other = Following::start(&mesh, Some(file(&server))).await;
    assert_eq!(
        other.projection.caught_up(PATIENCE).await.unwrap(),
        following.projection.position()
    );
    assert_equal(&mesh, &other.projection).await;
    other.stop().await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_end_is_not_waited_for() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let client = server.client().await;
    lives(&mesh, "gone", 40).await;
    let purge = async |filter: &str| {
        let request = format!("{{\"filter\":\"{filter}\"}}");
        client
            .request("$JS.API.STREAM.PURGE.MESH_LEDGER", request.into())
            .await
            .unwrap();
    };
    purge("mesh.ledger.>").await;
    let following = Following::start(&mesh, None).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;

    // The last record of the ledger, purged before anybody saw it.
    lives(&mesh, "there", 40).await;
    let to = version("research", "1.0.0");
    write(&mesh, &submitted(&mesh, "last", &to), 0).await;
    purge(&mesh.subjects().ledger(&id("last"))).await;
    let following = Following::start(&mesh, None).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caught_up_is_caught_up() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    let to = version("code", "1.0.0");
    let mut written = 0;
    for round in 0..20 {
        for number in 0..1 + round * 5 {
            write(&mesh, &submitted(&mesh, &format!("i-{round}-{number}"), &to), 0).await;
            written += 1;
        }
        let end = following.projection.caught_up(PATIENCE).await.unwrap();
        assert_eq!(end, written);
        assert_eq!(
            following.projection.counts().await.unwrap()[&to][&Cause::Queued],
            written
        );
    }
    let Following {
        projection,
        stop,
        tracker,
    } = following;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    write(&mesh, &submitted(&mesh, "unseen", &to), 0).await;
    let late = projection.caught_up(Duration::from_millis(200)).await;
    assert!(late.unwrap_err().to_string().contains("1 record behind"));
    assert_eq!(projection.behind().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one ledger, step by step")]
async fn attempts_are_counted_by_what_they_came_to() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    let projection = &following.projection;
    let (one, two) = (version("code", "1.0.0"), version("code", "2.0.0"));
    let now = Timestamp::from_unix_millis(mesh.now().unix_millis() / 1000 * 1000);
    let ago = |seconds: u64| Timestamp::from_unix_millis(now.unix_millis() - i64::try_from(seconds).unwrap() * 1000);
    let attempt = async |name: &str, of: &Version, event: Event, at: Timestamp, took: u64, cost: Option<&str>| {
        let first = submitted(&mesh, name, of);
        let seq = write(&mesh, &first, 0).await;
        let mut record = figures(attempted(&mesh, &first, seq, event.clone(), at, of), took, cost);
        if event == Event::HandedOff {
            let next = envelope(&mesh, name, &one)
                .successor(successor(&mesh, of, &version("review", "1.0.0")))
                .unwrap();
            record = records::with_work(record, next, "1.0.0".parse().unwrap());
        }
        write(&mesh, &record, seq).await
    };
    let code = || "CODE".to_owned();
    let mut last = 0;
    for millis in 1..=100 {
        let cost = (millis % 2 == 0).then_some("0.25");
        last = attempt(&format!("ok-{millis}"), &one, Event::Completed, ago(20), millis, cost).await;
    }
    attempt("handed", &one, Event::HandedOff, ago(20), 5000, Some("\"free\"")).await;
    attempt(
        "waits",
        &one,
        Event::Waiting {
            reason: WaitReason::Human,
        },
        ago(20),
        1,
        None,
    )
    .await;
    attempt("again", &one, Event::RetryScheduled, ago(20), 1, None).await;
    attempt("failed", &one, Event::Failed { code: code() }, ago(20), 1, None).await;
    attempt(
        "parked",
        &one,
        Event::Parked {
            code: "HOP_LIMIT".to_owned(),
        },
        ago(20),
        1,
        None,
    )
    .await;
    attempt("declined", &one, Event::Rejected { code: code() }, ago(20), 1, None).await;
    attempt("claimed", &one, Event::Claimed, ago(20), 1, None).await;
    attempt("released", &one, Event::Released, ago(20), 1, None).await;
    attempt("earlier", &one, Event::Completed, ago(3600), 70_000, None).await;
    attempt("long-ago", &one, Event::Completed, ago(25 * 3600), 70_000, None).await;
    attempt("other", &two, Event::Failed { code: code() }, ago(20), 1, None).await;

    let look = async || {
        projection.caught_up(PATIENCE).await.unwrap();
        let (agent, version) = &one;
        let tally = projection.tally(agent, version, ago(60), Some(95.0)).await.unwrap();
        assert_eq!(
            (tally.hops, tally.retryable, tally.terminal, tally.declined),
            (106, 1, 2, 1)
        );
        // 1 to 100 ms, five of 1 ms, one of 5 s; percentiles by the nearest rank.
        assert_eq!(
            (tally.p50_ms, tally.p95_ms, tally.p99_ms),
            (Some(48.0), Some(96.0), Some(100.0))
        );
        assert_eq!((tally.slow, tally.cost), (6, Some(12.5)));
        let all = projection.tally(agent, version, ago(48 * 3600), None).await.unwrap();
        assert_eq!((all.hops, all.slow), (107, 0));
        let none = projection.tally(agent, version, now, None).await.unwrap();
        assert_eq!(none, baton_envelope::Tally::default());
        let pace = projection.pace(agent, version, now).await.unwrap().unwrap();
        // Completed, handed off, failed, declined: they hold the version no more; the rest still does, or did long ago.
        assert!((pace - 103.0 / 60.0).abs() < 1e-9, "{pace}");
        assert_eq!(
            projection.pace(&two.0, &"9.9.9".parse().unwrap(), now).await.unwrap(),
            None
        );
        let done = projection.last_done(agent, version, 500).await.unwrap();
        assert_eq!(done.len(), 103);
        assert!(done.is_sorted_by(|a, b| a.2 > b.2));
        assert!(done.contains(&(id("ok-100"), 1, last)), "{done:?}");
        assert!(done.iter().any(|(intent, hop, _)| *intent == id("handed") && *hop == 1));
    };
    look().await;
    following.stop().await;
    // The same out of the file.
    let opened = Projection::open(&mesh, Some(file(&server))).await.unwrap();
    assert_eq!(opened.caught_up(PATIENCE).await.unwrap(), opened.position());
    let tally = opened.tally(&one.0, &one.1, ago(60), None).await.unwrap();
    assert_eq!((tally.hops, tally.p99_ms), (106, Some(100.0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hops_in_a_row_that_use_up_their_attempts_are_counted() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    let projection = &following.projection;
    let of = version("code", "1.0.0");
    let now = mesh.now();
    let mut number = 0;
    let mut ends = async |event: Event, exhausted: bool| {
        number += 1;
        let first = submitted(&mesh, &format!("i-{number}"), &of);
        let seq = write(&mesh, &first, 0).await;
        let mut record = attempted(&mesh, &first, seq, event, now, &of);
        record.exhausted = exhausted;
        write(&mesh, &record, seq).await;
        projection.caught_up(PATIENCE).await.unwrap();
        projection.exhausted_in_a_row(&of.0, &of.1)
    };
    let parked = |code: &str| Event::Parked { code: code.to_owned() };
    let failed = |code: &str| Event::Failed { code: code.to_owned() };
    // Workers before 1.4 do not mark it.
    assert_eq!(ends(parked("EXHAUSTED"), false).await, 1);
    assert_eq!(ends(parked("EXIT_3"), false).await, 2);
    assert_eq!(ends(Event::Completed, false).await, 0);
    assert_eq!(ends(parked("POISON"), true).await, 1);
    assert_eq!(ends(Event::RetryScheduled, false).await, 1);
    assert_eq!(ends(failed("EXIT_3"), true).await, 2, "whatever the policy makes of it");
    assert_eq!(ends(Event::HandedOff, true).await, 3, "an escalation is no success");
    assert_eq!(
        ends(failed("BAD_INPUT"), false).await,
        3,
        "neither is a handler's own failure, nor an exhaustion"
    );
    assert_eq!(ends(parked("HOP_LIMIT"), false).await, 3);
    following.stop().await;
    let opened = Projection::open(&mesh, Some(file(&server))).await.unwrap();
    assert_eq!(opened.exhausted_in_a_row(&of.0, &of.1), 3, "kept over a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_stops_nothing() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, None).await;
    let to = version("code", "1.0.0");
    write(&mesh, &submitted(&mesh, "before", &to), 0).await;
    let subject = mesh.subjects().ledger(&id("broken"));
    mesh.publish_plain(subject, b"{\"protocol\":".to_vec().into())
        .await
        .unwrap();
    eventually("the broken record is stored", PATIENCE, async || {
        match mesh.ledger_end().await.map(|end| end.last_seq) {
            Ok(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    write(&mesh, &submitted(&mesh, "after", &to), 0).await;
    assert_eq!(following.projection.caught_up(PATIENCE).await.unwrap(), 3);
    assert_eq!(following.projection.counts().await.unwrap()[&to][&Cause::Queued], 2);
    following.stop().await;
}

/// The record that a worker writes after `head`.
fn attempted(mesh: &Mesh, head: &Record, seq: u64, event: Event, at: Timestamp, of: &Version) -> Record {
    following(mesh, head, seq, event, at, worker(of))
}
