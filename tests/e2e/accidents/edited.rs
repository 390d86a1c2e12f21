//! Settings that somebody edits on the server: the doctor names them, and the sweep writes no ticket again and again.

use std::time::Duration;

use baton_controller::{Controller, ControllerConfig};
use baton_e2e::chaos::{Program, SOON, TAKEOVER};
use baton_e2e::{TestMesh, connect};
use baton_testkit::{eventually, stream_size};
use serde_json::{Value, json};

use super::remove_consumers;

const STREAM: &str = "MESH_WORK_steps";

async fn ask(mesh: &TestMesh, what: &str, body: &Value) -> Value {
    let client = mesh.server.client().await;
    let reply = client.request(format!("$JS.API.{what}"), body.to_string().into()).await;
    let answer: Value = serde_json::from_slice(&reply.expect("an answer").payload).expect("JSON");
    assert!(answer["error"].is_null(), "{what}: {answer}");
    answer
}

/// Changes the settings of all consumers, as `nats consumer edit` does.
async fn edit_consumers(mesh: &TestMesh, change: impl Fn(&mut Value)) {
    let names = ask(mesh, &format!("CONSUMER.NAMES.{STREAM}"), &json!({})).await;
    for name in names["consumers"].as_array().expect("names") {
        let name = name.as_str().expect("a name");
        let info = ask(mesh, &format!("CONSUMER.INFO.{STREAM}.{name}"), &json!({})).await;
        let mut config = info["config"].clone();
        change(&mut config);
        let request = json!({ "stream_name": STREAM, "config": config, "action": "update" });
        ask(mesh, &format!("CONSUMER.CREATE.{STREAM}.{name}"), &request).await;
    }
}

/// The problems that `baton doctor` finds with consumers: what was found, and the remedy.
async fn problems(mesh: &TestMesh) -> Vec<(String, String)> {
    let output = mesh.run_baton(&["doctor", "--output", "json"]).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = document["findings"].as_array().expect("findings").iter();
    let of_consumers = findings.filter(|finding| text(&finding["check"]).starts_with("consumer "));
    of_consumers
        .map(|finding| (text(&finding["found"]), text(&finding["remedy"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_no_consumer_delivers_is_written_again_once() {
    let mesh = TestMesh::start_without_controller().await;
    let config = ControllerConfig {
        sweep_interval: Duration::from_millis(100),
        sweep_slack: Duration::from_millis(200),
        ..ControllerConfig::default()
    };
    let controller = Controller::new(connect(mesh.server.url()).await, config);
    let stats = controller.stats();
    let running = tokio::spawn(async move {
        controller.run_until(std::future::pending()).await.expect("controller");
    });
    let program = Program::three_steps();
    let _worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    assert_eq!(problems(&mesh).await, []);
    // The server would take a ticket that is written again within two minutes for a repeat.
    let mut stream = ask(&mesh, &format!("STREAM.INFO.{STREAM}"), &json!({})).await["config"].clone();
    stream["duplicate_window"] = json!(100_000_000);
    ask(&mesh, &format!("STREAM.UPDATE.{STREAM}"), &stream).await;
    edit_consumers(&mesh, |config| {
        config.as_object_mut().expect("an object").remove("filter_subjects");
        config["filter_subject"] = json!(format!(
            "mesh.work.steps.elsewhere.{}",
            config["name"].as_str().expect("a name")
        ));
    })
    .await;
    let waits = mesh.submit("waits", "steps", "{}").await;

    let sweeps = || stats.rounds().get("sweep").map_or(0, |round| round.ok);
    let client = mesh.server.client().await;
    eventually("the ticket is written again", SOON, async || {
        let tickets = stream_size(&client, STREAM).await?;
        (tickets == 2).then_some(()).ok_or_else(|| tickets.to_string())
    })
    .await;
    let until = sweeps() + 20;
    eventually("twenty sweeps more", SOON, async || {
        (sweeps() >= until).then_some(()).ok_or_else(|| sweeps().to_string())
    })
    .await;
    assert_eq!(
        stream_size(&client, STREAM).await,
        Ok(2),
        "one of the submit, one of the sweep"
    );
    let found = problems(&mesh).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found
            .iter()
            .all(|(found, remedy)| found.contains("filter_subjects is") && remedy.contains("consumer rm"))
    );

    // The remedy.
    remove_consumers(&client).await;
    mesh.until(&waits, "completed", TAKEOVER).await;
    eventually("the doctor is content", SOON, async || {
        let found = problems(&mesh).await;
        found.is_empty().then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_on_deliveries_is_a_problem() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let _worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    edit_consumers(&mesh, |config| config["max_deliver"] = json!(5)).await;
    let found = problems(&mesh).await;
    assert!(
        found.iter().all(|(found, _)| found == "max_deliver is 5, expected -1"),
        "{found:?}"
    );
    assert_eq!(found.len(), 3, "{found:?}");
}
