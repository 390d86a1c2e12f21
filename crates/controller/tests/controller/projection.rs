//! The projection says what the ledger says, whatever happens to its file, to the server, and to the ledger.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_controller::Projection;
use baton_envelope::{
    AgentName, AgentVersion, Author, Cause, Envelope, Event, IntentId, Json, Record, Successor, Timestamp, WaitReason,
    holds, next,
};
use baton_jetstream::{Filter, Limits, Mesh, Written};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::{PATIENCE, TestServer, connect, eventually, id, operator};

type Version = (AgentName, AgentVersion);
type Counts = BTreeMap<Version, BTreeMap<Cause, u64>>;

/// Random numbers that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of.get(self.roll(of.len())).unwrap().clone()
    }
}

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
    match mesh.write(record, expected).await.unwrap() {
        Written::Stored { seq } => seq,
        Written::Superseded(head) => panic!("somebody else wrote {head:?}"),
    }
}

fn envelope(mesh: &Mesh, name: &str, to: &Version) -> Envelope {
    Envelope::first(mesh.clock().envelope_id(), id(name), to.0.clone(), Json::null())
}

fn submitted(mesh: &Mesh, name: &str, to: &Version) -> Record {
    let envelope = envelope(mesh, name, to);
    Record::submitted(mesh.record_id(), mesh.now(), operator(), to.1.clone(), envelope)
}

fn following(mesh: &Mesh, head: &Record, seq: u64, event: Event, at: Timestamp, by: Author) -> Record {
    let (id, intent) = (mesh.record_id(), head.intent.clone());
    Record::following(&head.snapshot, seq, id, intent, event, at, by).unwrap()
}

fn figures(mut record: Record, took_ms: u64, cost: Option<&str>) -> Record {
    let took = Json::of(&took_ms).unwrap();
    record.extra.insert("took_ms".to_owned(), took);
    if let Some(cost) = cost {
        record.extra.insert("cost".to_owned(), Json::parse(cost).unwrap());
    }
    record
}

/// An intent's life of up to nine records, any that is legal. `name` must be new.
async fn live(mesh: &Mesh, dice: &mut Dice, name: &str) {
    let all = versions();
    let mut envelope = envelope(mesh, name, &dice.pick(&all));
    if dice.roll(3) == 0 {
        let (agent, version) = dice.pick(&all);
        envelope.pins.insert(agent, version);
    }
    let first = all.iter().find(|(agent, _)| *agent == envelope.to).unwrap().1.clone();
    let mut head = Record::submitted(mesh.record_id(), mesh.now(), operator(), first, envelope.clone());
    let mut seq = write(mesh, &head, 0).await;
    for _ in 0..dice.roll(9) {
        let code = "CODE".to_owned();
        let mut events = vec![
            Event::Claimed,
            Event::Started,
            Event::Step,
            Event::HandedOff,
            Event::HandedOff,
            Event::Waiting {
                reason: dice.pick(&[WaitReason::Human, WaitReason::Time, WaitReason::Tool]),
            },
            Event::FannedOut,
            Event::Signalled,
            Event::Resumed,
            Event::RetryScheduled,
            Event::Released,
            Event::Parked { code: code.clone() },
            Event::Redriven,
            Event::Moved,
            Event::Completed,
            Event::Rejected { code: code.clone() },
            Event::Failed { code: code.clone() },
            Event::Cancelled,
            Event::Compensating,
            Event::Compensated { code: None },
        ];
        events.retain(|event| next(Some(&head.snapshot.status), event).is_ok());
        let Some(event) = (!events.is_empty()).then(|| dice.pick(&events)) else {
            break;
        };
        let holder: Version = (
            head.snapshot.agent.clone().unwrap(),
            head.snapshot.version.clone().unwrap(),
        );
        let mut record = following(mesh, &head, seq, event.clone(), mesh.now(), worker(&holder));
        let to = dice.pick(&all);
        if matches!(event, Event::HandedOff) {
            let Ok(next) = envelope.successor(successor(mesh, &holder, &to)) else {
                break;
            };
            envelope = next;
            record = record.with_work(envelope.clone(), to.1);
        } else if matches!(event, Event::Redriven | Event::Resumed | Event::Moved) {
            envelope = envelope.again(mesh.clock().envelope_id());
            record = record.with_work(envelope.clone(), holder.1);
        } else if matches!(event, Event::RetryScheduled) {
            record.snapshot.wake_at = Some(mesh.now().plus(Duration::from_secs(1)));
        }
        if dice.roll(8) == 0 {
            let (agent, version) = dice.pick(&all);
            record.snapshot.pins.insert(agent, version);
        }
        seq = write(mesh, &record, seq).await;
        head = record;
    }
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

/// Several intents at once, so that their records are mixed.
async fn lives(mesh: &Mesh, name: &str, count: usize) {
    let tracker = TaskTracker::new();
    for task in 0..8 {
        let (mesh, name) = (mesh.clone(), name.to_owned());
        tracker.spawn(async move {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (task + 1) << 20 ^ name.len() as u64);
            for number in 0..count / 8 {
                live(&mesh, &mut dice, &format!("{name}-{task}-{number}")).await;
            }
        });
    }
    tracker.close();
    tracker.wait().await;
}

/// What the heads of the ledger say.
async fn expected(mesh: &Mesh) -> (Counts, BTreeMap<Version, Vec<(IntentId, Cause)>>) {
    let mut counts = Counts::new();
    let mut held: BTreeMap<Version, Vec<(Timestamp, IntentId, Cause)>> = BTreeMap::new();
    for head in mesh.list(&Filter::default()).await.unwrap().heads {
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
    (counts, held.collect())
}

async fn assert_equal(mesh: &Mesh, projection: &Projection) {
    let end = projection.caught_up(PATIENCE).await.unwrap();
    assert_eq!(end, mesh.ledger_end().await.unwrap().last_seq);
    let (counts, held) = expected(mesh).await;
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

async fn make_ledger_anew(server: &TestServer, mesh: &Mesh) {
    let client = server.client().await;
    let deleted = client
        .request("$JS.API.STREAM.DELETE.MESH_LEDGER", Vec::new().into())
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&deleted.payload).contains("\"success\":true"));
    mesh.ensure_topology(Limits::default()).await.unwrap();
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

async fn is_built_anew_after(damage: impl AsyncFn(&TestServer, &Mesh, &Path)) {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    lives(&mesh, "before", 80).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;

    damage(&server, &mesh, &file(&server)).await;
    let opened = Projection::open(&mesh, Some(file(&server))).await.unwrap();
    assert_eq!(opened.position(), 0, "nothing of it is used");
    drop(opened);
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    lives(&mesh, "after", 40).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_deleted_is_built_anew() {
    is_built_anew_after(async |_, _, file| std::fs::remove_file(file).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_garbage_is_built_anew() {
    is_built_anew_after(async |_, _, file| std::fs::write(file, [b'x'; 20_000]).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_in_the_middle_is_built_anew() {
    is_built_anew_after(async |_, _, file| {
        let mut bytes = std::fs::read(file).unwrap();
        let from = bytes.len() / 3;
        bytes[from..].fill(0x5a);
        std::fs::write(file, bytes).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ledger_is_noticed_when_it_starts() {
    is_built_anew_after(async |server, mesh, _| {
        make_ledger_anew(server, mesh).await;
        lives(mesh, "anew", 40).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ledger_is_noticed_while_it_follows() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    lives(&mesh, "before", 80).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    make_ledger_anew(&server, &mesh).await;
    // Also while the new one is empty: what is known of the old one has to go.
    assert_eq!(following.projection.caught_up(PATIENCE).await.unwrap(), 0);
    assert_equal(&mesh, &following.projection).await;
    lives(&mesh, "after", 40).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_while_it_is_used_is_built_anew() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    lives(&mesh, "before", 160).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    for path in [file(&server), file(&server).with_extension("db-wal")] {
        if let Ok(length) = std::fs::metadata(&path).map(|data| data.len()) {
            let garbage = vec![0x5a; usize::try_from(length).unwrap()];
            std::fs::write(&path, garbage).unwrap();
        }
    }
    lives(&mesh, "after", 160).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_when_the_server_restarts() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, None).await;
    for round in ["one", "three", "five05"] {
        let writer = tokio::spawn({
            let (mesh, round) = (mesh.clone(), round.to_owned());
            async move { lives(&mesh, &round, 160).await }
        });
        let position = following.projection.position();
        let mut changes = following.projection.changes();
        changes.wait_for(|now| *now > position).await.unwrap();
        server.kill().await;
        server.restart().await;
        writer.await.unwrap();
        assert_equal(&mesh, &following.projection).await;
    }
    // Idle when the server restarts; then new records must come soon all the same.
    server.restart().await;
    let to = version("research", "1.0.0");
    let seq = write(&mesh, &submitted(&mesh, "after-all", &to), 0).await;
    let mut changes = following.projection.changes();
    let seen = tokio::time::timeout(Duration::from_secs(4), changes.wait_for(|position| *position >= seq)).await;
    seen.expect("soon after the restart").unwrap();
    assert_equal(&mesh, &following.projection).await;
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
    assert!(late.unwrap_err().to_string().contains("1 records behind"));
    assert_eq!(projection.behind().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
            record = record.with_work(next, "1.0.0".parse().unwrap());
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
async fn three_parked_in_a_row_open_the_breaker_for_a_minute() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    let projection = &following.projection;
    let of = version("code", "1.0.0");
    let now = mesh.now();
    let mut number = 0;
    let mut ends = async |event: Event| {
        number += 1;
        let first = submitted(&mesh, &format!("i-{number}"), &of);
        let seq = write(&mesh, &first, 0).await;
        write(&mesh, &attempted(&mesh, &first, seq, event, now, &of), seq).await;
        projection.caught_up(PATIENCE).await.unwrap();
        projection.breaker_open(&of.0, &of.1, now)
    };
    let parked = |code: &str| Event::Parked { code: code.to_owned() };
    assert!(!ends(parked("EXHAUSTED")).await);
    assert!(!ends(parked("POISON")).await);
    assert!(!ends(Event::Completed).await);
    assert!(!ends(parked("EXHAUSTED")).await);
    assert!(!ends(Event::RetryScheduled).await);
    assert!(!ends(parked("EXHAUSTED")).await);
    assert!(ends(parked("EXHAUSTED")).await);
    let later = now.plus(Duration::from_secs(60));
    assert!(!projection.breaker_open(&of.0, &of.1, later), "time for a probe");
    following.stop().await;
    let opened = Projection::open(&mesh, Some(file(&server))).await.unwrap();
    assert!(opened.breaker_open(&of.0, &of.1, now), "kept over a restart");
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

/// Prints how many records a second are applied: `cargo test --release … -- --ignored --nocapture speed`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let client = server.client().await;
    let intents: u64 = 60_000;
    let payload = Json::of(&"x".repeat(500)).unwrap();
    let to = version("code", "1.0.0");
    let mut sent = 0;
    for number in 0..intents {
        let name = format!("i-{number}");
        let mut envelope = envelope(&mesh, &name, &to);
        envelope.payload = payload.clone();
        let first = Record::submitted(mesh.record_id(), mesh.now(), operator(), to.1.clone(), envelope);
        let subject = mesh.subjects().ledger(&id(&name));
        let mut records = vec![first];
        if number % 4 != 0 {
            records.push(figures(
                attempted(&mesh, &records[0], 1, Event::Started, mesh.now(), &to),
                1,
                None,
            ));
            records.push(figures(
                attempted(&mesh, &records[1], 1, Event::Completed, mesh.now(), &to),
                number % 900,
                Some("0.01"),
            ));
        }
        for record in records {
            let body = serde_json::to_vec(&record).unwrap();
            client.publish(subject.clone(), body.into()).await.unwrap();
            sent += 1;
        }
    }
    client.flush().await.unwrap();
    eventually("all records are stored", Duration::from_secs(120), async || match mesh
        .ledger_end()
        .await
        .map(|end| end.last_seq)
    {
        Ok(end) if end == sent => Ok(()),
        other => Err(format!("{other:?} of {sent}")),
    })
    .await;
    for place in [None, Some(file(&server))] {
        let what = if place.is_some() { "in a file" } else { "in memory" };
        let started = tokio::time::Instant::now();
        let following = Following::start(&mesh, place).await;
        following.projection.caught_up(Duration::from_secs(120)).await.unwrap();
        let took = started.elapsed();
        println!(
            "{what}: {sent} records in {took:?}, {:.0} a second",
            sent as f64 / took.as_secs_f64()
        );
        let started = tokio::time::Instant::now();
        let counts = following.projection.counts().await.unwrap();
        println!("counts of {:?} open intents in {:?}", counts[&to], started.elapsed());
        following.stop().await;
    }
}

/// The record that a worker writes after `head`.
fn attempted(mesh: &Mesh, head: &Record, seq: u64, event: Event, at: Timestamp, of: &Version) -> Record {
    following(mesh, head, seq, event, at, worker(of))
}
