//! What only a test inside the crate can show: repeated records and corrupt rows.

mod memories;

use std::time::Duration;

use baton_envelope::{
    AgentName, Author, Cause, Envelope, ErrorInfo, Event, IntentId, Json, Record, Stamp, Timestamp, act,
};
use baton_jetstream::{Clock as _, LedgerBatch, LedgerMark, Limits, SystemClock, Target};
use baton_testkit::{Headers, TestServer, eventually, records};
use tokio_util::sync::CancellationToken;

use super::columns::Version;
use super::tables::{evidence, intents};
use super::*;

fn code() -> Version {
    ("code".parse().unwrap(), "1.0.0".parse().unwrap())
}

/// The two records of an intent that a worker completed in 7 ms.
fn records(intent: &str) -> [Record; 2] {
    let (agent, version) = code();
    let by = Author::worker(agent.clone(), version.clone(), "w1");
    let (clock, id) = (SystemClock, intent.parse::<IntentId>().unwrap());
    let envelope = Envelope::first(clock.envelope_id(), id.clone(), agent, Json::null());
    let first = records::submitted(clock.record_id(), clock.now(), by.clone(), version, envelope);
    let record = clock.record_id();
    let mut last = records::following(&first.snapshot, 1, record, id, Event::Completed, clock.now(), by);
    last.extra.insert("took_ms".to_owned(), Json::of(&7).unwrap());
    [first, last]
}

fn batch(records: &[(u64, &Record)], seq: u64) -> LedgerBatch {
    let bodies = records
        .iter()
        .map(|(seq, record)| (*seq, serde_json::to_vec(record).unwrap().into()));
    LedgerBatch::new(bodies.collect(), LedgerMark { seq, stored: seq })
}

#[test]
fn records_that_come_again_change_nothing() {
    let mut store = Store::open(None, "ledger").unwrap();
    let ([first, last], [open, _]) = (records("closed"), records("open"));
    let now = SystemClock.now();
    store
        .apply(&batch(&[(1, &first), (4, &last), (6, &open)], 6), now)
        .unwrap();
    store.apply(&batch(&[(1, &first), (4, &last)], 4), now).unwrap();
    assert_eq!(store.mark(), LedgerMark { seq: 6, stored: 6 });
    let tally = evidence::tally(store.db(), &code(), Timestamp::default(), None).unwrap();
    assert_eq!((tally.hops, tally.p50_ms), (1, Some(7.0)));
    assert_eq!(store.counts()[&code()][&Cause::Queued], 1);
    assert_eq!(*store.counts(), intents::counts(store.db()).unwrap());
    assert_eq!(evidence::last_done(store.db(), &code(), 9).unwrap().len(), 1);
}

#[test]
fn the_file_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = std::env::temp_dir().join(format!("baton-projection-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("projection.db");
    let modes = || {
        let entries = std::fs::read_dir(&folder).unwrap().map(Result::unwrap);
        let modes = entries.map(|entry| {
            (
                entry.file_name(),
                entry.metadata().unwrap().permissions().mode() & 0o777,
            )
        });
        modes.collect::<Vec<_>>()
    };
    for is_new in [true, false] {
        let mut store = Store::open(Some(file.clone()), "ledger").unwrap();
        let [first, _] = records("private");
        store.apply(&batch(&[(1, &first)], 1), SystemClock.now()).unwrap();
        let found = modes();
        assert!(found.len() > 1, "{found:?}");
        assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{is_new}: {found:?}");
        drop(store);
        // As an earlier build left it.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn only_the_newest_commits_are_remembered() {
    let mut store = Store::open(None, "ledger").unwrap();
    for seq in 1..=300 {
        let [_, last] = records(&format!("i-{seq}"));
        store.apply(&batch(&[(seq, &last)], seq), SystemClock.now()).unwrap();
    }
    let done = evidence::last_done(store.db(), &code(), 1000).unwrap();
    let seqs: Vec<u64> = done.into_iter().map(|(_, _, seq)| seq).collect();
    assert_eq!(seqs, (101..=300).rev().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_right_are_built_anew() {
    let server = TestServer::start().await;
    let mesh = Target::at(server.url()).connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let file = server.dir().join("projection.db");
    let projection = Projection::open(&mesh, Some(file)).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(projection.clone().run(stop.clone()));
    let [first, last] = records("closed");
    records::put(mesh.url(), &first, 0).await;
    records::put(mesh.url(), &last, 1).await;
    projection.caught_up(Duration::from_secs(10)).await.unwrap();
    projection
        .inner
        .store()
        .db()
        .execute("UPDATE evidence SET latency = x'80'", [])
        .unwrap();

    let (agent, version) = code();
    let tally = projection.tally(&agent, &version, Timestamp::default(), None).await;
    assert!(matches!(tally, Err(Error::Store(_))), "{tally:?}");
    let tally = eventually("it is built anew", Duration::from_secs(10), async || {
        let tally = projection.tally(&agent, &version, Timestamp::default(), None).await;
        tally
            .ok()
            .filter(|tally| tally.hops > 0)
            .ok_or_else(|| "still damaged, or empty".to_owned())
    })
    .await;
    assert_eq!(tally.p50_ms, Some(7.0));
    stop.cancel();
    running.await.unwrap();
}

/// Follows the ledger to its end, then no more.
async fn follow(projection: &Projection) {
    let stop = CancellationToken::new();
    let following = tokio::spawn({
        let (projection, stop) = (projection.clone(), stop.clone());
        async move { stop.run_until_cancelled(projection.follow_ledger()).await }
    });
    projection.caught_up(Duration::from_secs(10)).await.unwrap();
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_does_not_follow_is_for_the_sweep() {
    let server = TestServer::start().await;
    let mesh = Target::at(server.url()).connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let projection = Projection::open(&mesh, None).await.unwrap();
    let odd = async || {
        follow(&projection).await;
        let mut odd = projection.odd().await.unwrap();
        odd.sort();
        odd
    };
    let [first, last] = records("ended");
    records::put(mesh.url(), &first, 0).await;
    let ended = records::put(mesh.url(), &last, 1).await;
    assert_eq!(odd().await, [], "an intent that ends is none");

    // In the same batch as its end, and in a later one.
    let client = server.client().await;
    let write = async |subject: &str, body: Vec<u8>| {
        let subject = format!("mesh.ledger.0.{subject}");
        let stored = client.request(subject.clone(), body.into()).await.unwrap();
        let stored: serde_json::Value = serde_json::from_slice(&stored.payload).unwrap();
        (subject, stored["seq"].as_u64().unwrap())
    };
    let again = write("ended", serde_json::to_vec(&first).unwrap()).await;
    assert!(again.1 > ended);
    let [second, second_end] = records("in-one-batch");
    for record in [&second, &second_end] {
        write("in-one-batch", serde_json::to_vec(record).unwrap()).await;
    }
    let reopened = write("in-one-batch", serde_json::to_vec(&second).unwrap()).await;
    let elsewhere = write("elsewhere", serde_json::to_vec(&last).unwrap()).await;
    let unreadable = write("unreadable", b"nobody can read this".to_vec()).await;
    let mut expected = vec![again, reopened, elsewhere, unreadable];
    expected.sort();
    assert_eq!(odd().await, expected);

    // What came meanwhile stays.
    let later = write("unreadable", b"nor this".to_vec()).await;
    follow(&projection).await;
    projection.forget_odd(expected).await.unwrap();
    assert_eq!(odd().await, [later]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_owes_something_is_for_the_sweep() {
    let server = TestServer::start().await;
    let mesh = Target::at(server.url()).connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let projection = Projection::open(&mesh, None).await.unwrap();
    let [queued, _] = records("queued");
    records::put(mesh.url(), &queued, 0).await;
    let [parked, _] = records("parked");
    let seq = records::put(mesh.url(), &parked, 0).await;
    let event = Event::Parked { code: "X".to_owned() };
    let (id, by) = (SystemClock.record_id(), parked.by.clone());
    let parked = records::following(&parked.snapshot, seq, id, parked.intent, event, SystemClock.now(), by);
    records::put(mesh.url(), &parked, seq).await;
    let [retried, _] = records("retried");
    let seq = records::put(mesh.url(), &retried, 0).await;
    let wake_at = SystemClock.now().plus(Duration::from_secs(60 * 60));
    let retry = act::retry(
        &retried.snapshot.clone().seen_at(seq),
        wake_at,
        ErrorInfo::new("X", "not now"),
    );
    let stamp = Stamp {
        id: SystemClock.record_id(),
        at: SystemClock.now(),
        by: retried.by.clone(),
    };
    let retry = retry.unwrap().seal(retried.intent.clone(), seq, stamp);
    records::put(mesh.url(), &retry, seq).await;
    follow(&projection).await;
    let now = SystemClock.now();
    let soon = now.plus(Duration::from_secs(60));
    let only = std::slice::from_ref(&queued.intent);
    assert_eq!(projection.owing(soon, now).await.unwrap(), only);
    let after = wake_at.plus(Duration::from_secs(60));
    let found = projection.owing(soon, after).await.unwrap();
    assert_eq!(
        found,
        [queued.intent.clone(), retried.intent],
        "its next attempt is due"
    );
    let before = queued.snapshot.updated_at.minus(Duration::from_secs(1));
    assert_eq!(
        projection.owing(before, now).await.unwrap(),
        [],
        "it is too new to be lost"
    );
    let forgotten = vec![queued.intent];
    projection.forget(forgotten).await.unwrap();
    assert_eq!(projection.owing(soon, now).await.unwrap(), []);
    assert_eq!(
        projection.counts().await.unwrap().len(),
        1,
        "the parked one holds its version"
    );
}

/// Sets how many records of an intent the ledger keeps, as somebody would by accident.
async fn keep_of_each(server: &TestServer, records: i64) {
    let client = server.client().await;
    let info = client
        .request("$JS.API.STREAM.INFO.MESH_LEDGER", "".into())
        .await
        .unwrap();
    let mut info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    info["config"]["max_msgs_per_subject"] = records.into();
    let config = serde_json::to_vec(&info["config"]).unwrap();
    let edited = client.request("$JS.API.STREAM.UPDATE.MESH_LEDGER", config.into()).await;
    let edited = String::from_utf8(edited.unwrap().payload.to_vec()).unwrap();
    assert!(!edited.contains("\"error\""), "{edited}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_judged_by_the_turn_before_it_and_no_other() {
    let server = TestServer::start().await;
    let mesh = Target::at(server.url()).connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let projection = Projection::open(&mesh, None).await.unwrap();
    let ((code, version), research) = (code(), "research".parse::<AgentName>().unwrap());
    let stranger = Author::worker(research.clone(), version.clone(), "w9");
    let suspects = || {
        projection
            .suspect(&code, SystemClock.now())
            .map_or(0, |found| found.count)
    };
    let followed_by = |before: &Record, seq, event, by: &Author| {
        let (id, intent) = (SystemClock.record_id(), before.intent.clone());
        records::following(&before.snapshot, seq, id, intent, event, SystemClock.now(), by.clone())
    };

    // Of this one the projection misses that code has handed it off.
    let [first, _] = records("dropped");
    let seq = records::put(mesh.url(), &first, 0).await;
    let [other, _] = records("forged");
    let forged_after = records::put(mesh.url(), &other, 0).await;
    let [unguarded, _] = records("unguarded");
    let unguarded_after = records::put(mesh.url(), &unguarded, 0).await;
    follow(&projection).await;
    let next = Envelope::first(SystemClock.envelope_id(), first.intent.clone(), research, Json::null());
    let handed_off = followed_by(&first, seq, Event::HandedOff, &first.by);
    let handed_off = records::with_work(handed_off, next, version);
    let seq = records::put(mesh.url(), &handed_off, seq).await;
    let completed = followed_by(&handed_off, seq, Event::Completed, &stranger);
    records::put(mesh.url(), &completed, seq).await;
    keep_of_each(&server, 1).await;
    follow(&projection).await;
    assert_eq!(suspects(), 0, "{:?}", projection.suspect(&code, SystemClock.now()));

    let forged = followed_by(&other, forged_after, Event::Completed, &stranger);
    records::put(mesh.url(), &forged, forged_after).await;
    follow(&projection).await;
    assert_eq!(suspects(), 1);

    // Nor does it help to say nothing of the record before, or to speak of another subject's.
    let client = server.client().await;
    let subject = "mesh.ledger.0.unguarded";
    let forged = followed_by(&unguarded, unguarded_after, Event::Claimed, &stranger);
    let forged = serde_json::to_vec(&forged).unwrap();
    client.request(subject, forged.clone().into()).await.unwrap();
    follow(&projection).await;
    assert_eq!(suspects(), 2);
    let mut headers = Headers::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", "mesh.ledger.0.nobody");
    let stored = client
        .request_with_headers(subject, headers, forged.into())
        .await
        .unwrap();
    let stored = String::from_utf8(stored.payload.to_vec()).unwrap();
    assert!(stored.contains("\"seq\""), "the server takes it: {stored}");
    follow(&projection).await;
    assert_eq!(suspects(), 3);
}
