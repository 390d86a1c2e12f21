//! Servers that are not there, too old, or without JetStream: each with its remedy.

use baton_testkit::{FakeServer, TestServer};
use tempfile::TempDir;

use crate::harness::{Bench, baton, command};

async fn against(url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let (home, url) = (TempDir::new().expect("folder"), url.to_owned());
    let mut command = command(home.path());
    command.args(arguments).args(["--server", &url]);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("joined")
        .expect("ran");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_server_that_is_down_is_named_with_the_way_to_one() {
    baton(&["send", "shout", "x", "--server", "nats://127.0.0.1:1"])
        .exits(69)
        .says(&["nats://127.0.0.1:1", "caused by", "refused", "baton dev", "--server"]);
    let report = baton(&["doctor", "--server", "nats://127.0.0.1:1", "--output", "json"])
        .exits(69)
        .json();
    assert_eq!(report["findings"][0]["level"], "problem");
    assert!(
        report["findings"][0]["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("baton dev")),
        "{report}"
    );
}

#[tokio::test]
async fn an_old_server_is_refused_with_the_version_that_is_needed() {
    let server = FakeServer::old().await;
    let (code, said) = against(server.url(), &["intents", "list"]).await;
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("2.9.10") && said.contains("2.11.0"), "{said}");
}

#[tokio::test]
async fn a_server_without_jetstream_is_told_from_one_that_is_down() {
    let server = TestServer::builder().without_jetstream().start().await;
    let (code, said) = against(server.url(), &["send", "shout", "x"]).await;
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("without JetStream") && said.contains("-js"), "{said}");
}

#[tokio::test]
async fn the_nats_variables_lead_to_the_server_too() {
    let bench = Bench::bare().await;
    let mut command = command(bench.home.path());
    command
        .args(["doctor", "--output", "json"])
        .env("NATS_URL", bench.server.url());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("joined")
        .expect("ran");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains(bench.server.url()));
}

#[tokio::test]
async fn a_server_without_a_mesh_says_how_to_make_one() {
    let bench = Bench::bare().await;
    for arguments in [
        &["send", "shout", "x"][..],
        &["intents", "list"],
        &["intents", "get", "x"],
        &["route", "list"],
    ] {
        bench
            .run(arguments)
            .await
            .exits(69)
            .says(&["no mesh in this namespace", "baton controller"]);
    }
    let report = bench.run(&["doctor", "--output", "json"]).await.exits(1).json();
    assert!(report["problems"].as_i64().is_some_and(|count| count >= 4), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_a_mesh_in_order() {
    let bench = Bench::start().await;
    let report = bench.run(&["doctor", "--output", "json"]).await.exits(0).json();
    assert_eq!(report["problems"], 0, "{report}");
    let text = bench.run(&["doctor"]).await.exits(0).stdout;
    assert!(text.contains("stream MESH_LEDGER") && text.contains("REMEDY"), "{text}");
}
