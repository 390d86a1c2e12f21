//! What only a test inside the crate can show: repeated records and corrupt rows.

use std::time::Duration;

use baton_envelope::{Author, Cause, Envelope, Event, IntentId, Json, Record, Timestamp};
use baton_jetstream::{Clock as _, LedgerBatch, LedgerMark, Limits, SystemClock, Target};
use baton_testkit::{TestServer, eventually, records};
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
    assert_eq!(intents::counts(store.db()).unwrap()[&code()][&Cause::Queued], 1);
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
