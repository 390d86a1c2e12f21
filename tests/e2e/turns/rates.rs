//! How often a key has its turn.

use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::Running;
use baton_e2e::gated::id;
use baton_envelope::Timestamp;
use baton_jetstream::Head;
use tempfile::TempDir;

use super::{Log, controller, in_order, limit, submit, worker};

/// What `--key-rate 10/s` makes of a second.
const APART: Duration = Duration::from_millis(100);

/// When the turns of a key came.
async fn times(mesh: &TestMesh, key: &str, count: u64) -> Vec<Timestamp> {
    let mut times = Vec::new();
    for number in 0..count {
        let history = mesh.history_of(&id(&format!("{key}-{number}"))).await;
        times.push(history.iter().find_map(given_at).expect("it says when"));
    }
    times
}

/// Submits keys until the leader has seen the limit; gives how many it took.
async fn until_limited(mesh: &TestMesh, log: &Log) -> usize {
    for number in 1.. {
        let key = format!("warm-{number}");
        submit(mesh, &key, 0..1).await;
        log.until_done(number).await;
        let history = mesh.history_of(&id(&format!("{key}-0"))).await;
        if history.iter().any(|head| given_at(head).is_some()) {
            return number;
        }
        tokio::time::sleep(APART).await;
    }
    unreachable!("numbers do not end")
}

fn given_at(head: &Head) -> Option<Timestamp> {
    head.record.snapshot.order.as_ref()?.given_at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_begins_as_often_as_its_agent_allows_whoever_leads() {
    let mesh = TestMesh::start_without_controller().await;
    let (log, dir) = (Log::default(), TempDir::new().expect("dir"));
    let mut one = controller(&mesh, "one", &dir);
    let worker = Running::start(mesh.server.url(), worker(&log, "1.0.0", Duration::ZERO)).await;
    mesh.until_version_is("work", "1.0.0", "active").await;
    let said = limit(&mesh, &["--key-rate", "10/s"]).await;
    assert!(said.contains("10/s begun of each order key"), "{said}");
    let warm = until_limited(&mesh, &log).await;
    submit(&mesh, "a", 0..12).await;
    submit(&mesh, "b", 0..4).await;
    log.until_done(warm + 7).await;
    // The next leader knows when the last turn was by the ledger alone.
    one.kill();
    let _two = controller(&mesh, "two", &dir);
    log.until_done(warm + 16).await;
    for (key, count) in [("a", 12), ("b", 4)] {
        in_order(&log.line(key), count, key);
        let times = times(&mesh, key, count).await;
        let between = times.windows(2).map(|pair| pair[1].since(pair[0]));
        assert!(between.clone().all(|apart| apart >= APART), "{key}: {times:?}");
    }
    // Beside each other: the keys do not wait for each other.
    assert!(times(&mesh, "b", 4).await[1] < times(&mesh, "a", 12).await[11]);
    // And no more.
    let said = limit(&mesh, &["--key-rate", "0"]).await;
    assert!(!said.contains("begun"), "{said}");
    worker.stop().await;
}
