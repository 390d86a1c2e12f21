//! Handlers that block their threads: their hops stay theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Outcome};
use baton_jetstream::Target;
use futures::StreamExt as _;
use tokio::sync::oneshot;

use crate::support::{TestServer, completed, mesh, start, submit};

/// Longer than the ack wait of 10 s.
const LONG: Duration = Duration::from_secs(13);

struct Block {
    runs: Arc<AtomicU32>,
    first: Duration,
}

impl Handler for Block {
    type Input = String;

    async fn handle(&self, _: &mut Hop, _: String) -> Result<Outcome, Fault> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(if run < 2 { self.first } else { LONG });
        Outcome::complete("done")
    }
}

/// The runs are counted by all workers together.
fn block(runs: &Arc<AtomicU32>, first: Duration) -> AgentBuilder {
    let runs = Arc::clone(runs);
    Agent::builder("shout", "1.0.0").unwrap().handler(Block { runs, first })
}

/// A worker on a runtime of its own with two threads, which ends when the sender is dropped.
fn apart(url: &str, builder: AgentBuilder) -> (oneshot::Sender<()>, std::thread::JoinHandle<()>) {
    let url = url.to_owned();
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mesh = Target::at(url).connect().await.unwrap();
            let worker = builder.bind(&mesh).await.unwrap();
            let ran = tokio::spawn(worker.run_until(async move { drop(stopped.await) }));
            ran.await.unwrap().unwrap();
        });
    });
    (stop, worker)
}

#[tokio::test]
async fn a_handler_that_blocks_keeps_its_hop_and_its_worker_is_heard() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let runs = Arc::new(AtomicU32::new(0));
    // Both threads of the runtime are blocked by the first two.
    let (stop, worker) = apart(server.url(), block(&runs, LONG).concurrency(2));
    let mut beats = server.client().await.subscribe("mesh.heartbeat.>").await.unwrap();
    let intents = [submit(&mesh, "first").await, submit(&mesh, "second").await];
    crate::support::eventually("both run", Duration::from_secs(20), async || {
        match runs.load(Ordering::Relaxed) {
            2 => Ok(()),
            runs => Err(runs.to_string()),
        }
    })
    .await;
    // Whoever would take them over.
    let other = start(&server, block(&runs, LONG).instance("other")).await;
    let mut heard = 0;
    let until = tokio::time::Instant::now() + LONG;
    while let Ok(Some(beat)) = tokio::time::timeout_at(until, beats.next()).await {
        heard += u32::from(!beat.subject.ends_with(".other"));
    }
    assert!(heard >= 1, "the worker is silent while it blocks");
    for intent in &intents {
        let head = completed(&mesh, intent, Duration::from_secs(20)).await;
        assert_eq!((head.record.snapshot.attempt, head.record.snapshot.epoch), (1, 1));
    }
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    other.abort();
    drop(stop);
    worker.join().unwrap();
}

#[tokio::test]
async fn once_it_is_known_that_handlers_block_nothing_else_waits_for_them() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let runs = Arc::new(AtomicU32::new(0));
    let (stop, worker) = apart(server.url(), block(&runs, Duration::from_secs(8)).concurrency(4));
    for intent in [submit(&mesh, "first").await, submit(&mesh, "second").await] {
        completed(&mesh, &intent, Duration::from_secs(30)).await;
    }
    // More than the runtime has threads; and now it has others.
    let mut intents = Vec::new();
    for number in 0..4 {
        intents.push(submit(&mesh, &format!("more-{number}")).await);
    }
    let began = tokio::time::Instant::now();
    for intent in &intents {
        let head = completed(&mesh, intent, Duration::from_secs(60)).await;
        assert_eq!(head.record.snapshot.attempt, 1);
    }
    assert!(
        began.elapsed() < LONG + LONG / 2,
        "they ran one after another: {:?}",
        began.elapsed()
    );
    assert_eq!(runs.load(Ordering::Relaxed), 6);
    drop(stop);
    worker.join().unwrap();
}
