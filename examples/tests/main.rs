//! Runs the examples in Rust against a real server, and reads what they print.
#![expect(clippy::expect_used, reason = "a failure is a test failure")]

use std::process::Command;

use baton_e2e::TestMesh;

/// Runs an example to its end, and gives what it printed.
async fn printed(mesh: &TestMesh, example: &str) -> String {
    let mut command = Command::new(example);
    command.env("BATON_SERVER", mesh.server.url());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("the thread ends").expect("the example starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {}\n{said}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relay_hands_on_and_tries_again() {
    let mesh = TestMesh::start().await;
    let said = printed(&mesh, env!("CARGO_BIN_EXE_relay")).await;
    let path = "research@1.0.0 -> code@1.0.0 -> qa@1.0.0";
    assert!(said.starts_with(&format!("completed by {path}: ")), "{said}");
    assert!(said.contains("fn play() {}"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn supervisor_goes_on_when_two_of_three_have_found_something() {
    let mesh = TestMesh::start().await;
    let said = printed(&mesh, env!("CARGO_BIN_EXE_supervisor")).await;
    let expected = r#"completed: {"found":["OTTERS live in rivers","OTTERS live in the sea"],"missing":1}"#;
    assert_eq!(said.lines().next(), Some(expected), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcast_reaches_each_that_listens() {
    let mesh = TestMesh::start().await;
    let said = printed(&mesh, env!("CARGO_BIN_EXE_broadcast")).await;
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with("completed: "), "{said}");
    assert!(first.contains(r#""receivers":3,"completed":3"#), "{said}");
}

/// It runs until it is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shout_answers_in_capitals() {
    let mesh = TestMesh::start().await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_shout"));
    command.env("BATON_SERVER", mesh.server.url());
    let mut shout = baton_testkit::ProcessGuard::spawn("shout", command, mesh.server.dir());
    let intent = mesh.submit("loud", "shout", "\"hello\"").await;
    let head = mesh.until(&intent, "completed", baton_e2e::chaos::SOON).await;
    assert_eq!(baton_e2e::gated::result(&head), "HELLO");
    shout.terminate();
    assert!(shout.wait(baton_e2e::chaos::SOON).await.success());
}
