//! Accidents in turn, under load: whatever is removed or purged, the mesh heals by itself, no acknowledged intent is lost,
//! and no step is recorded twice.

use std::time::Duration;

use baton_controller::{Controller, ControllerConfig};
use baton_e2e::chaos::{Program, SOON, assert_legal, commits};
use baton_e2e::{TestMesh, connect};
use baton_envelope::{Event, IntentId};
use baton_testkit::eventually;
use tokio::task::JoinHandle;

use super::{remove_consumers, remove_stream, until_made};

/// How long the mesh may take to heal: two looks, a new leader, a sweep, and the ack wait.
const HEALED: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Accident {
    Removed(&'static str),
    Purged(&'static str),
    Consumers,
}

const ACCIDENTS: [Accident; 11] = [
    Accident::Consumers,
    Accident::Removed("KV_MESH_CONTROL"),
    Accident::Removed("MESH_WORK_steps"),
    Accident::Removed("KV_MESH_ROUTES"),
    Accident::Removed("KV_MESH_AGENTS"),
    Accident::Removed("KV_MESH_SCHEDULES"),
    Accident::Removed("MESH_ARCHIVE"),
    Accident::Removed("MESH_INTAKE"),
    Accident::Purged("KV_MESH_CONTROL"),
    Accident::Purged("MESH_WORK_steps"),
    Accident::Purged("KV_MESH_ROUTES"),
];

async fn controller(mesh: &TestMesh) -> JoinHandle<()> {
    let config = ControllerConfig {
        sweep_interval: Duration::from_millis(500),
        sweep_slack: Duration::from_secs(1),
        ..ControllerConfig::default()
    };
    let controller = Controller::new(connect(mesh.server.url()).await, config);
    tokio::spawn(async move {
        controller.run_until(std::future::pending()).await.expect("controller");
    })
}

async fn happens(mesh: &TestMesh, accident: Accident) {
    let client = mesh.server.client().await;
    match accident {
        Accident::Removed(stream) => remove_stream(mesh, stream).await,
        Accident::Consumers => drop(remove_consumers(&client).await),
        Accident::Purged(stream) => {
            let purged = client
                .request(format!("$JS.API.STREAM.PURGE.{stream}"), "".into())
                .await;
            let answer: serde_json::Value = serde_json::from_slice(&purged.expect("an answer").payload).expect("JSON");
            assert_eq!(answer["success"], true, "{accident:?}: {answer}");
        }
    }
}

/// A person finds nothing that is wrong.
async fn until_healed(mesh: &TestMesh, accident: Accident) {
    eventually(&format!("{accident:?} is healed"), HEALED, async || {
        let output = mesh.run_baton(&["doctor", "--output", "json"]).await;
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(()).ok_or(found)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accidents_in_turn_lose_nothing_and_repeat_nothing() {
    let mesh = TestMesh::start_without_controller().await;
    let controllers = [controller(&mesh).await, controller(&mesh).await];
    let program = Program::three_steps();
    let _worker = program.worker(&mesh, "steps", "only", &["--json", "--concurrency", "2"]);
    let mut intents: Vec<IntentId> = vec![mesh.submit("first", "steps", "{}").await];
    mesh.until(&intents[0], "completed", SOON).await;
    for (number, accident) in ACCIDENTS.into_iter().enumerate() {
        // More than the worker has slots for: some run, some are queued.
        for more in 0..4 {
            intents.push(mesh.submit(&format!("load-{number}-{more}"), "steps", "{}").await);
        }
        happens(&mesh, accident).await;
        if let Accident::Removed(stream) = accident {
            until_made(&mesh, stream).await;
        }
        until_healed(&mesh, accident).await;
    }
    for intent in &intents {
        mesh.until(intent, "completed", HEALED).await;
        let history = mesh.history_of(intent).await;
        assert_legal(&history);
        let steps = history.iter().filter(|head| head.record.event == Event::Step).count();
        assert_eq!(steps, 3, "{intent}: {history:?}");
        assert!(commits(&history).values().all(|times| *times == 1), "{intent}");
    }
    for controller in controllers {
        assert!(!controller.is_finished());
        controller.abort();
    }
}
