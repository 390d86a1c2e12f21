//! Settings that somebody edits on the server: the doctor names them, and the sweep writes no ticket again and again.

use std::time::Duration;

use baton_controller::{Controller, ControllerConfig};
use baton_e2e::chaos::{Program, SOON, TAKEOVER};
use baton_e2e::{TestMesh, connect};
use baton_testkit::{eventually, stream_size};
use serde_json::{Value, json};

use super::{remove_consumers, remove_stream, until_made};

const STREAM: &str = "MESH_WORK_steps";

/// Changes the settings of all consumers, as `nats consumer edit` does.
async fn edit_consumers(mesh: &TestMesh, change: impl Fn(&mut Value)) {
    let names = mesh.server.api(&format!("CONSUMER.NAMES.{STREAM}"), &json!({})).await;
    for name in names["consumers"].as_array().expect("names") {
        let name = name.as_str().expect("a name");
        let info = mesh
            .server
            .api(&format!("CONSUMER.INFO.{STREAM}.{name}"), &json!({}))
            .await;
        let mut config = info["config"].clone();
        change(&mut config);
        let request = json!({ "stream_name": STREAM, "config": config, "action": "update" });
        mesh.server
            .api(&format!("CONSUMER.CREATE.{STREAM}.{name}"), &request)
            .await;
    }
}

/// The problems that `baton doctor` finds with consumers: what was found, and the remedy.
async fn problems(mesh: &TestMesh) -> Vec<(String, String)> {
    problems_with(mesh, "consumer ", &["doctor"]).await
}

/// The problems with these that a form of `baton doctor` finds.
async fn problems_with(mesh: &TestMesh, what: &str, command: &[&str]) -> Vec<(String, String)> {
    let output = mesh.run_baton(&[command, &["--output", "json"]].concat()).await;
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = document["findings"].as_array().expect("findings").iter();
    let found = findings.filter(|finding| text(&finding["check"]).starts_with(what) && finding["level"] == "problem");
    found
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
    let mut stream = mesh.server.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await["config"].clone();
    stream["duplicate_window"] = json!(100_000_000);
    mesh.server.api(&format!("STREAM.UPDATE.{STREAM}"), &stream).await;
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
            .all(|(found, remedy)| found.contains("filter_subjects is") && remedy.contains("consumer rm -f"))
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

/// Changes the settings of a stream, as `nats stream edit` does.
async fn edit_stream(mesh: &TestMesh, stream: &str, change: impl Fn(&mut Value)) {
    let mut config = mesh.server.api(&format!("STREAM.INFO.{stream}"), &json!({})).await["config"].clone();
    change(&mut config);
    mesh.server.api(&format!("STREAM.UPDATE.{stream}"), &config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_that_doctor_prints_puts_a_stream_back_and_nothing_in_it_is_lost() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let _worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    let before = mesh.server.api("STREAM.INFO.MESH_LEDGER", &json!({})).await;
    for (stream, setting, change) in [
        ("MESH_INTAKE", "subjects", json!({ "subjects": ["elsewhere.>"] })),
        ("MESH_INTAKE", "it is full", json!({ "max_bytes": 1 })),
        ("KV_MESH_ROUTES", "max_message_size", json!({ "max_msg_size": 32 })),
        (STREAM, "no_ack", json!({ "no_ack": true })),
        (
            "MESH_LEDGER",
            "republish",
            json!({ "republish": null, "discard": "old" }),
        ),
    ] {
        edit_stream(&mesh, stream, |config| {
            let fields = config.as_object_mut().expect("an object");
            fields.extend(change.as_object().expect("an object").clone());
        })
        .await;
        let found = problems_with(&mesh, &format!("stream {stream}"), &["doctor"]).await;
        let restore = format!("`baton doctor --restore {stream}`");
        assert!(
            matches!(&found[..], [(found, remedy)] if found.contains(setting) && remedy.contains(&restore)),
            "{stream}: {found:?}"
        );
        let left = problems_with(&mesh, "stream ", &["doctor", "--restore", stream]).await;
        assert_eq!(left, [], "{stream}");
    }
    let again = mesh.run_baton(&["doctor", "--restore", "MESH_LEDGER"]).await;
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        said.contains("MESH_LEDGER has the settings of a new one already"),
        "{said}"
    );
    let after = mesh.server.api("STREAM.INFO.MESH_LEDGER", &json!({})).await;
    assert_eq!(before["config"], after["config"]);
    assert_eq!(before["state"]["messages"], after["state"]["messages"]);
    // What no edit undoes takes a new stream, which a controller makes.
    edit_stream(&mesh, "KV_MESH_AGENTS", |config| config["sealed"] = json!(true)).await;
    let found = problems_with(&mesh, "stream KV_MESH_AGENTS", &["doctor"]).await;
    assert!(found[0].1.contains("`nats stream rm -f KV_MESH_AGENTS`"), "{found:?}");
    remove_stream(&mesh, "KV_MESH_AGENTS").await;
    until_made(&mesh, "KV_MESH_AGENTS").await;
    assert_eq!(problems_with(&mesh, "stream ", &["doctor"]).await, []);

    let unknown = mesh.run_baton(&["doctor", "--restore", "OTHERS"]).await;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && said.contains("OTHERS"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_router_is_a_problem_until_somebody_resumes_it() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let _worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    assert_eq!(problems(&mesh).await, []);
    let pause = json!({ "pause_until": "2099-01-01T00:00:00Z" });
    mesh.server.api("CONSUMER.PAUSE.MESH_INTAKE.router", &pause).await;
    let client = mesh.server.client().await;
    let mut headers = baton_testkit::Headers::new();
    headers.insert("Baton-Intent", "waits");
    let stored = client.request_with_headers("mesh.intent.steps".to_owned(), headers, "{}".into());
    stored.await.expect("stored");
    let found = problems(&mesh).await;
    assert!(
        matches!(&found[..], [(found, remedy)] if found.contains("paused until 2099")
            && remedy.contains("`nats consumer resume -f MESH_INTAKE router`")),
        "{found:?}"
    );
    mesh.server.api("CONSUMER.PAUSE.MESH_INTAKE.router", &json!({})).await;
    // The router asks again when its pull of 20 s ends.
    mesh.until(&"waits".parse().expect("an id"), "completed", Duration::from_secs(40))
        .await;
    assert_eq!(problems(&mesh).await, []);
}
