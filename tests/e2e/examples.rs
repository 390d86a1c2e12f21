//! The examples that are no Rust: they run as their headers say. `examples/tests` runs those in Rust.

use std::process::Command;

use baton_e2e::chaos::assert_legal;
use baton_e2e::gated::{agent_of, result, result_as};
use baton_e2e::{TestMesh, root};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_cli::{Run, run, worker};

/// How long anything may take on a slow machine.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// The line of `--exec` for a program in `examples/agents`.
fn python(name: &str) -> String {
    format!("python3 '{}'", root().join("examples/agents").join(name).display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_supervisor_in_python_splits_a_question_and_the_report_says_what_is_missing() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("a folder"));
    let lines = [
        ("supervisor", python("supervisor.py"), true),
        ("searcher", "tr a-z A-Z".to_owned(), false),
        ("report", python("report.py"), true),
    ];
    let mut workers = Vec::new();
    for (agent, line, is_json) in &lines {
        let mut flags = vec!["--exec", line.as_str()];
        flags.extend(is_json.then_some("--json"));
        workers.push(worker(&mesh, dir.path(), agent, &flags).await);
    }
    let question = json!({ "topic": "otters", "places": ["rivers", "lakes", "the sea"] }).to_string();
    let sent = [
        "send",
        "supervisor",
        &question,
        "--id",
        "question",
        "--itinerary",
        "report",
        "--wait",
        "--output",
        "json",
    ];
    run(mesh.baton(&sent)).await.exits(0);
    let intent = "question".parse().expect("an id");
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_legal(&mesh.history_of(&intent).await);
    let told: Value = result_as(&head);
    let count = |name: &str| told[name].as_array().map_or(0, Vec::len);
    assert!(count("found") >= 2, "two are enough: {told}");
    assert_eq!(count("found") + count("missing"), 3, "{told}");
    for found in told["found"].as_array().into_iter().flatten() {
        assert!(
            found.as_str().is_some_and(|text| text.starts_with("OTTERS IN ")),
            "{told}"
        );
    }
    drop(workers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reviewer_in_python_completes_hands_on_and_declines() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("a folder"));
    let line = python("review.py");
    let _review = worker(&mesh, dir.path(), "review", &["--json", "--exec", &line]).await;
    let _editor = worker(&mesh, dir.path(), "editor", &["--exec", "echo shortened"]).await;
    let short = mesh
        .submit("short", "review", r#"{"title":"otters","text":"They play."}"#)
        .await;
    let head = mesh.until(&short, "completed", SOON).await;
    let verdict = json!({ "title": "otters", "words": 2, "verdict": "fine" });
    let told: Value = result_as(&head);
    assert_eq!(told, verdict);
    let text = json!({ "text": "word ".repeat(501) }).to_string();
    let long = mesh.submit("long", "review", &text).await;
    let head = mesh.until(&long, "completed", SOON).await;
    assert_eq!(
        (agent_of(&head), result(&head).trim()),
        ("editor".to_owned(), "shortened")
    );
    let none = mesh.submit("none", "review", "{}").await;
    let head = mesh.until(&none, "rejected", SOON).await;
    assert_eq!(head.record.snapshot.status.to_string(), "rejected(NO_TEXT)");
}

/// What a script of `examples/shell` says and exits with, run against a mesh.
async fn script(mesh: &TestMesh, name: &str, arguments: &[&str]) -> Run {
    let baton = mesh.baton(&[]);
    let mut command = Command::new("sh");
    command
        .arg(root().join("examples/shell").join(name))
        .args(arguments)
        .env_clear()
        .env("BATON", baton.get_program());
    command.envs(baton.get_envs().filter_map(|(name, value)| Some((name, value?))));
    run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broadcast_in_shell_reaches_those_that_listen_and_the_one_that_an_operator_subscribed() {
    let mesh = TestMesh::start().await;
    let said = script(&mesh, "broadcast.sh", &["news-1"]).await.exits(0);
    for part in ["IT RAINS", "sniar ti", "eve", "news-1  completed"] {
        assert!(said.stdout.contains(part), "{part:?} is not said: {said:#?}");
    }
    let intent = "news-1".parse().expect("an id");
    let head = mesh.until(&intent, "completed", SOON).await;
    let told = head
        .record
        .snapshot
        .result
        .as_ref()
        .map(|result| result.get().to_owned());
    let told = told.unwrap_or_default();
    assert!(told.contains(r#""receivers":3,"completed":3"#), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pipeline_of_the_configuration_can_be_gone_through() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("a folder"));
    let folder = root().join("config/pipelines").display().to_string();
    let at = ["--pipelines", folder.as_str()];
    let offline = mesh.baton(&[&["pipelines", "check", "article", "--offline"], &at[..]].concat());
    run(offline).await.exits(0);
    let mut workers = Vec::new();
    for agent in ["research", "write", "review", "publish"] {
        let line = format!("sed 's/$/ {agent}/'");
        workers.push(worker(&mesh, dir.path(), agent, &["--exec", &line]).await);
    }
    run(mesh.baton(&[&["pipelines", "check"], &at[..]].concat()))
        .await
        .exits(0);
    let send = ["send", "--pipeline", "article", "otters:", "--wait"];
    let sent = run(mesh.baton(&[&send, &at[..]].concat())).await.exits(0);
    assert_eq!(sent.stdout.trim(), "otters: research write review publish");
    drop(workers);
}
