//! Urgent work goes first, and the rest still moves.

use std::sync::{Arc, Mutex};

use baton_agent::{AgentBuilder, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, agent, urgent};
use baton_envelope::{Envelope, IntentId};
use baton_testkit::eventually;
use tokio::sync::Semaphore;

/// The started hops, in order, and the permits that let them finish.
#[derive(Debug, Clone)]
struct Line {
    started: Arc<Mutex<Vec<(IntentId, u8)>>>,
    go: Arc<Semaphore>,
}

impl Line {
    fn new() -> Self {
        Self {
            started: Arc::default(),
            go: Arc::new(Semaphore::new(0)),
        }
    }

    fn agent(&self, slots: u32) -> AgentBuilder {
        let line = self.clone();
        let run = move |envelope: Envelope| {
            let go = Arc::clone(&line.go);
            line.started
                .lock()
                .unwrap()
                .push((envelope.intent.clone(), envelope.priority.get()));
            async move {
                go.acquire().await?.forget();
                Outcome::complete("done")
            }
        };
        agent("line", run).concurrency(slots)
    }

    fn started(&self) -> Vec<u8> {
        self.started
            .lock()
            .unwrap()
            .iter()
            .map(|(_, priority)| *priority)
            .collect()
    }

    async fn reach(&self, count: usize) {
        eventually(&format!("{count} hops were started"), SOON, async || {
            match self.started().len() {
                seen if seen >= count => Ok(()),
                seen => Err(format!("{seen} were")),
            }
        })
        .await;
    }
}

async fn queue(mesh: &TestMesh, name: &str, count: usize, priority: i64) {
    let envelope = |n| urgent(mesh.envelope(&format!("{name}-{n}"), "line", "{}"), priority);
    mesh.submit_all((0..count).map(envelope).collect()).await;
}

/// A mesh where the agent is known and no worker runs.
async fn known() -> TestMesh {
    let mesh = TestMesh::start().await;
    let line = Line::new();
    line.go.add_permits(1);
    let worker = Running::start(mesh.server.url(), line.agent(1)).await;
    let first = mesh.submit("known", "line", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    worker.stop().await;
    mesh
}

async fn urgent_one_passes_a_thousand(slots: usize) {
    let mesh = known().await;
    queue(&mesh, "low", 1000, 1).await;
    let line = Line::new();
    let _worker = Running::start(mesh.server.url(), line.agent(u32::try_from(slots).unwrap())).await;
    // In the middle of the queue, so that everything pulled while idle is used up.
    line.go.add_permits(100);
    // Some slots may be kept free for urgent work; at least one hop runs now and waits for its permit.
    line.reach(101).await;
    let urgent = urgent(mesh.envelope("urgent", "line", "{}"), 9);
    let before = line.started().len();
    mesh.submit_envelope(urgent).await;

    // One by one: see what a freed slot takes before freeing the next.
    for taken in 1..=2 {
        if line.started().contains(&9) {
            break;
        }
        line.go.add_permits(1);
        line.reach(before + taken).await;
    }
    let after = line.started().split_off(before);
    assert!(
        after.contains(&9),
        "taken after the urgent one was submitted: {after:?}"
    );

    line.go.add_permits(1000);
    mesh.until_all_completed(1002, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urgent_intent_passes_a_thousand_with_one_slot() {
    urgent_one_passes_a_thousand(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urgent_intent_passes_a_thousand_with_eight_slots() {
    urgent_one_passes_a_thousand(8).await;
}

async fn low_ones_move_among_high_ones(slots: u32) {
    let mesh = known().await;
    queue(&mesh, "low", 50, 1).await;
    queue(&mesh, "high", 300, 9).await;
    let line = Line::new();
    line.go.add_permits(1000);
    let _worker = Running::start(mesh.server.url(), line.agent(slots)).await;
    mesh.until_all_completed(351, SOON).await;

    let order = line.started();
    let last_high = order
        .iter()
        .rposition(|priority| *priority == 9)
        .expect("high ones ran");
    let (low, high) = order[..=last_high]
        .iter()
        .partition::<Vec<u8>, _>(|priority| **priority == 1);
    // The floor is one in eight; the first and the last pulls blur it.
    assert!(
        low.len() >= 10,
        "{} of 50 low ones before the last of 300 high ones",
        low.len()
    );
    assert_eq!(high.len(), 300);
    // And the low ones do not hold up the high ones: half of the high ones are done before a quarter of the low ones.
    let early = order[..150].iter().filter(|priority| **priority == 1).count();
    assert!(early <= 40, "{early} low ones among the first 150");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn low_ones_move_among_high_ones_with_one_slot() {
    low_ones_move_among_high_ones(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn low_ones_move_among_high_ones_with_eight_slots() {
    low_ones_move_among_high_ones(8).await;
}
