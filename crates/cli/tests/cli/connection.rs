//! Servers that are not there, too old, or without JetStream: each with its remedy.

use std::time::Duration;

use baton_testkit::{Cluster, FakeServer, ProcessGuard, SmallDisk, TestServer, eventually};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::harness::{Bench, LONG, baton, command};

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

/// A mesh with a user who may do all and one who may not write to the ledger.
const USERS: &str = r#"
accounts { MESH { jetstream: enabled, users: [
  { user: all, password: "secret" }
  { user: few, password: "secret", permissions: { publish: { deny: ["mesh.ledger.>", "mesh.control.>"] } } }
  { user: asks, password: "secret", permissions: { publish: { deny: ["mesh.ledger.>"] } } }
] } }
"#;

#[test]
fn an_address_that_cannot_be_read_is_refused_at_once() {
    for command in [
        &["controller"][..],
        &["send", "shout", "x"],
        &["worker", "--agent", "a", "--version", "1.0.0", "--exec", "cat"],
        &["doctor"],
    ] {
        let began = Instant::now();
        let arguments = [command, &["--server", "nats://127.0.0.1:231150"]].concat();
        baton(&arguments).exits(64);
        assert!(began.elapsed().as_secs() < 10, "{command:?}");
    }
    baton(&["intents", "list", "--server", "nats://127.0.0.1:4222,:x"])
        .exits(64)
        .says(&["BAD_CONFIG", "\":x\"", "nats://HOST:PORT", "--server"]);
}

#[tokio::test]
async fn a_wrong_password_is_no_silence() {
    let server = TestServer::builder().config(USERS).start().await;
    for arguments in [
        &["intents", "list", "--user", "all", "--password", "guess"][..],
        &["controller", "--user", "all", "--password", "guess"],
        &["worker", "--agent", "a", "--version", "1.0.0", "--exec", "cat"],
    ] {
        let (code, said) = against(server.url(), arguments).await;
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("LOGIN_REFUSED") && !said.contains("baton dev"), "{said}");
        assert!(!said.contains("guess"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_publish_is_told_at_once_and_not_after_its_timeout() {
    let server = TestServer::builder().config(USERS).start().await;
    let home = TempDir::new().expect("folder");
    let user = |name: &str| {
        [
            "--user".to_owned(),
            name.to_owned(),
            "--password".to_owned(),
            "secret".to_owned(),
        ]
    };
    let mut controller = command(home.path());
    controller
        .args(["controller", "--server", server.url()])
        .args(user("all"));
    let _controller = ProcessGuard::spawn("controller", controller, home.path());
    let mut worker = command(home.path());
    worker
        .args([
            "worker",
            "--agent",
            "a",
            "--version",
            "1.0.0",
            "--exec",
            "cat",
            "--server",
            server.url(),
        ])
        .args(user("all"));
    let _worker = ProcessGuard::spawn("worker", worker, home.path());
    let all = ["--user", "all", "--password", "secret"];
    eventually("a route", LONG, async || {
        let (code, said) = against(server.url(), &[&["route", "explain", "a"][..], &all].concat()).await;
        if code == Some(0) { Ok(()) } else { Err(said) }
    })
    .await;
    let began = Instant::now();
    let send = async |user: &str| {
        let line = [
            "send",
            "a",
            "x",
            "--wait",
            "--timeout",
            "60s",
            "--password",
            "secret",
            "--user",
            user,
        ];
        against(server.url(), &line).await
    };
    let (code, said) = send("few").await;
    assert_eq!(code, Some(4), "{said}");
    for part in [
        "PERMISSION_DENIED",
        "publish to mesh.ledger.0.",
        "publish to mesh.control.intents.submit",
        "secure.conf",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // Whoever may ask a controller has it submit.
    let (code, said) = send("asks").await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_three_dead_servers_are_no_lack_of_jetstream() {
    let cluster = Cluster::start(3).await;
    cluster.kill(1).await;
    cluster.kill(2).await;
    // The one that is left may be the leader, and takes a while to find that nobody follows.
    eventually("the servers have no leader", LONG, async || {
        let (code, said) = against(&cluster.urls(), &["intents", "list"]).await;
        assert!(code == Some(69) && !said.contains("NO_JETSTREAM"), "{said}");
        if said.contains("NO_QUORUM") { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_a_problem_where_no_controller_answers() {
    let mut bench = Bench::start().await;
    bench.stop_controller().await;
    let client = bench.server.client().await;
    let stored = client.request("mesh.intent.a", "x".into()).await.expect("an answer");
    assert!(String::from_utf8_lossy(&stored.payload).contains("MESH_INTAKE"));
    let report = bench.run(&["doctor", "--output", "json"]).await.exits(1).json();
    let found = report["findings"].as_array().expect("a list");
    let controllers = found
        .iter()
        .find(|one| one["check"] == "controllers")
        .expect("the finding");
    assert_eq!(controllers["level"], "problem", "{controllers}");
    assert!(
        controllers["found"].to_string().contains("1 raw intent waits"),
        "{controllers}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_found_while_it_lasts_and_until_the_restart() {
    let binary = baton_testkit::nats_server().await;
    let disk = SmallDisk::new(&binary, 24).await.expect("a small disk");
    let mut bench = Bench::on(TestServer::builder().binary(disk.binary()).start().await).await;
    let report = bench.run(&["doctor", "--output", "json"]).await.exits(0).json();
    assert!(
        report.to_string().contains("the server stores what is written"),
        "{report}"
    );
    bench.stop_controller().await;

    disk.fill().expect("filled");
    // What breaks a stream: a write that finds no room.
    let client = bench.server.client().await;
    let large = "x".repeat(200_000);
    let lost = tokio::time::timeout(Duration::from_secs(2), client.request("mesh.intent.a", large.into())).await;
    assert!(lost.is_err() || lost.is_ok_and(|answer| answer.is_err()));
    let storage = async |bench: &Bench| {
        let report = bench.run(&["doctor", "--output", "json"]).await.exits(1).json();
        let found = report["findings"].as_array().expect("a list").clone();
        found
            .into_iter()
            .find(|one| one["check"] == "storage")
            .expect("the finding")
    };
    let found = storage(&bench).await;
    assert_eq!(found["level"], "problem", "{found}");
    assert!(found["found"].to_string().contains("MESH_INTAKE"), "{found}");

    disk.free().expect("freed");
    let found = storage(&bench).await;
    assert_eq!(found["level"], "problem", "{found}");
    assert!(found["remedy"].to_string().contains("restart nats-server"), "{found}");

    bench.server.kill().await;
    bench.server.restart().await;
    let found = storage(&bench).await;
    assert_eq!(found["level"], "ok", "{found}");
}
