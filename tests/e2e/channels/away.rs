//! Receivers that were there, went away, and come back an hour later.
//!
//! An hour passes as far as a test can make it: the copies of the others are in the archive, every process is another one and
//! the server has been started again, and the clocks of those who come back are an hour ahead of the server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_controller::{ArchiveConfig, Controller, ControllerConfig};
use baton_e2e::TestMesh;
use baton_e2e::gated::{id, result_as};
use baton_envelope::Timestamp;
use baton_envelope::control::ShowBroadcast;
use baton_jetstream::{Clock, Mesh, SystemClock, Target};
use baton_testkit::eventually;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{SOON, act, listener, message, publish, subscriber};
use baton_envelope::control::SubscribeAgent;

/// How many receivers there are, and how many of them go away.
const ALL: usize = 20;
const AWAY: usize = 5;
/// How far the clocks of those who come back are ahead.
const HOUR: Duration = Duration::from_secs(3600);

/// A clock that is an hour ahead.
#[derive(Debug)]
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(HOUR)
    }

    fn random(&self) -> [u8; 10] {
        SystemClock.random()
    }
}

async fn ahead(mesh: &TestMesh) -> Mesh {
    let target = Target::at(mesh.server.url());
    target.connect_with(Arc::new(Ahead)).await.expect("connect")
}

/// Starts a controller that archives soon.
fn controller(mesh: Mesh) -> JoinHandle<()> {
    let config = ControllerConfig {
        archive: ArchiveConfig {
            grace: Duration::from_secs(1),
            ..ArchiveConfig::default()
        },
        ..ControllerConfig::default()
    };
    let controller = Controller::new(mesh, config);
    tokio::spawn(async move {
        controller.run_until(std::future::pending()).await.expect("controller");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_come_back_an_hour_later_do_it_once() {
    let mesh = TestMesh::start_without_controller().await;
    let first = controller(mesh.mesh.clone());
    let runs = Arc::new(AtomicUsize::new(0));
    let name = |number: usize| format!("agent-{number:03}");
    let workers: Vec<_> = (0..ALL)
        .map(|number| {
            let (mesh, runs) = (&mesh, &runs);
            async move { subscriber(mesh, &name(number), runs).await }
        })
        .collect();
    let mut workers = join_all(workers).await;
    // Whoever declares the channel is known for it only while its version is; an operator's subscription stays.
    for number in ALL - AWAY..ALL {
        mesh.ask(&SubscribeAgent(act(&name(number)))).await.expect("subscribed");
    }
    drop(workers.split_off(ALL - AWAY));

    let root = id("news-hour");
    publish(&mesh, message("news-hour", &[], &json!({"what": "rain"}))).await;
    eventually("the others have done it", SOON, async || {
        let view = mesh.ask(&ShowBroadcast { intent: root.clone() }).await;
        let view = view.map_err(|error| error.to_string())?;
        match (view.receivers, view.completed) {
            (ALL, done) if done == ALL - AWAY => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    eventually("what they did is archived", SOON, async || {
        let state = mesh.stream_state("MESH_ARCHIVE").await;
        let bundles = state["messages"].as_u64().unwrap_or(0);
        (bundles >= (ALL - AWAY) as u64).then_some(()).ok_or(state.to_string())
    })
    .await;

    first.abort();
    drop(workers);
    mesh.server.kill().await;
    mesh.server.restart().await;
    let second = controller(ahead(&mesh).await);
    let mut back = Vec::new();
    for number in ALL - AWAY..ALL {
        let worker = listener(&name(number), &runs)
            .bind(&ahead(&mesh).await)
            .await
            .expect("bind");
        back.push(tokio::spawn(worker.run_until(std::future::pending())));
    }
    let head = mesh.until(&root, "completed", SOON).await;
    assert_eq!(result_as::<Value>(&head)["completed"], ALL);
    assert_eq!(runs.load(Ordering::SeqCst), ALL, "each did it once");
    for task in back {
        task.abort();
    }
    second.abort();
}
