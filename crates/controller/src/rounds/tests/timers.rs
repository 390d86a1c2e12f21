//! How many timers are under way at a time, and that each is fired once.

use baton_envelope::{Author, Bands, Envelope, IntentId, Json, Role};
use baton_jetstream::{Clock as _, SystemClock};
use baton_testkit::{Traffic, Way, records};
use futures::StreamExt as _;

use super::*;

/// How many are due at the same time.
const DUE: usize = 200;
/// How many wait for an hour beside them.
const WAITING: usize = 300;
const HOUR: Duration = Duration::from_secs(3600);

fn timers(term: &Term) -> Vec<Task> {
    vec![round::<Timers>(term)]
}

fn is_read(subject: &str) -> bool {
    subject.starts_with("$JS.API.DIRECT.GET.MESH_LEDGER.")
}

fn is_record(subject: &str) -> bool {
    subject.starts_with("mesh.ledger.0.")
}

/// Puts work into the ledger as a client did long ago, that begins at a time.
async fn put(mesh: &Mesh, name: String, begins: baton_envelope::Timestamp) -> IntentId {
    let intent: IntentId = name.parse().unwrap();
    let mut envelope = Envelope::first(SystemClock.envelope_id(), intent.clone(), agent(), Json::null());
    envelope.not_before = Some(begins);
    let long_ago = begins.minus(HOUR);
    let by = Author::of(Role::Client, "test");
    let record = records::submitted(SystemClock.record_id(), long_ago, by, version("1.0.0"), envelope);
    records::put(mesh.url(), &record, 0).await;
    intent
}

/// Fails if timers fire one after the other or a few at a time, if one is fired twice, or if one that waits is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_at_the_same_time_is_under_way_at_the_same_time() {
    let server = TestServer::start().await;
    let traffic = Traffic::default();
    let proxy = Proxy::recording(server.url(), &traffic).await;
    let cx = context(proxy.url()).await;
    cx.mesh
        .ensure_agent(&agent(), &version("1.0.0"), Bands::default())
        .await
        .unwrap();
    cx.mesh
        .set_route(&agent(), &version("1.0.0"), "test", true)
        .await
        .unwrap();
    let own = Target::at(server.url()).connect().await.unwrap();
    let now = own.now();
    let puts = (0..DUE).map(|number| put(&own, format!("due-{number}"), now));
    let due: Vec<IntentId> = futures::stream::iter(puts).buffered(32).collect().await;
    let puts = (0..WAITING).map(|number| put(&own, format!("waits-{number}"), now.plus(HOUR)));
    drop(futures::stream::iter(puts).buffered(32).collect::<Vec<_>>().await);
    cx.projection.caught_up(PATIENCE).await.unwrap();

    // No answer comes before all are asked for that may be asked for at the same time.
    proxy.delay(Duration::from_millis(300));
    drop(traffic.take());
    let leader = lead(&cx, timers);
    for intent in &due {
        eventually("it has begun", PATIENCE, async || match own.head(intent).await {
            Ok(Some(head)) if head.record.event.name() == "resumed" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
    // Two more looks at the index.
    let before = until(&cx, Timers::NAME, |stats| stats.ok >= 1).await.ok;
    until(&cx, Timers::NAME, |stats| stats.ok >= before + 2).await;
    let passed = traffic.take();
    let sent: Vec<&str> = passed
        .iter()
        .filter(|one| one.way == Way::Sent)
        .map(|one| one.subject.as_str())
        .collect();
    let first = sent.iter().position(|subject| is_record(subject)).expect("a record");
    let at_once = sent.iter().take(first).filter(|subject| is_read(subject)).count();
    assert!(
        at_once >= DUE,
        "only {at_once} are read before the first record is written"
    );
    let waits = sent.iter().any(|subject| subject.contains("waits-"));
    assert!(!waits, "what waits is left alone");
    for intent in &due {
        let history = own.history(intent, 1).await.unwrap();
        assert_eq!(history.len(), 2, "{intent} is fired once");
    }
    proxy.delay(Duration::ZERO);
    stop(&cx, leader).await;
}
