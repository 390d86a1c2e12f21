//! Streams and buckets that are removed while controllers run: all but the ledger are made again.

use std::time::Duration;

use baton_controller::{Controller, ControllerConfig};
use baton_e2e::chaos::{Program, SOON};
use baton_e2e::{TestMesh, connect};
use baton_envelope::IntentId;
use baton_testkit::{ProcessGuard, eventually};

use super::{REMADE, doctor_says, remove_stream, until_made};

/// A second controller, in this process.
async fn another_controller(mesh: &TestMesh) -> tokio::task::JoinHandle<()> {
    let controller = Controller::new(connect(mesh.server.url()).await, ControllerConfig::default());
    tokio::spawn(async move {
        controller.run_until(std::future::pending()).await.expect("controller");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_bucket_of_the_lease_a_controller_leads_again_and_sweeps() {
    let mesh = TestMesh::start().await;
    let second = another_controller(&mesh).await;
    let program = Program::three_steps();
    let worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    drop(worker);
    let lost = mesh.submit("lost", "steps", "{}").await;

    remove_stream(&mesh, "KV_MESH_CONTROL").await;
    // Its ticket goes with the stream: only a leader's sweep writes it again.
    remove_stream(&mesh, "MESH_WORK_steps").await;
    until_made(&mesh, "KV_MESH_CONTROL").await;
    until_made(&mesh, "MESH_WORK_steps").await;
    eventually("a controller leads", SOON, async || {
        let leader = mesh.mesh.leader().await.map_err(|error| error.to_string())?;
        leader.ok_or_else(|| "none".to_owned())
    })
    .await;
    let (level, found) = doctor_says(&mesh, "controllers").await.expect("a finding");
    assert!(found.contains("leads") || level == "problem", "{level}: {found}");
    let _worker = program.worker(&mesh, "steps", "next", &["--json"]);
    mesh.until(&lost, "completed", Duration::from_secs(60)).await;
    second.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_stream_but_the_ledger_is_made_again_and_work_goes_on() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let _worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    for stream in [
        "MESH_INTAKE",
        "MESH_ARCHIVE",
        "MESH_CONTEXT",
        "MESH_MEMORY",
        "KV_MESH_ROUTES",
        "KV_MESH_AGENTS",
        "KV_MESH_SCHEDULES",
    ] {
        remove_stream(&mesh, stream).await;
        until_made(&mesh, stream).await;
    }
    // What anyone publishes is taken in again, and finds its way.
    let intent: IntentId = "raw".parse().expect("an id");
    let client = mesh.server.client().await;
    eventually("a raw intent is stored", SOON, async || {
        let mut headers = baton_testkit::Headers::new();
        headers.insert("Nats-Msg-Id", "raw");
        headers.insert("Baton-Intent", "raw");
        let request = client.request_with_headers("mesh.intent.steps".to_owned(), headers, "{}".into());
        request.await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    mesh.until(&intent, "completed", REMADE).await;
}

/// Nothing else knows what was open, so nobody makes a new one in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_is_named_and_waits_for_a_person() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let mut worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    remove_stream(&mesh, "MESH_LEDGER").await;
    remove_stream(&mesh, "MESH_INTAKE").await;
    // A controller has looked since, and left the ledger alone.
    until_made(&mesh, "MESH_INTAKE").await;

    let (level, found) = doctor_says(&mesh, "stream MESH_LEDGER").await.expect("a finding");
    assert_eq!(level, "problem");
    assert!(found.contains("ledger is lost"), "{found}");

    for reader in [
        &["intents", "list"][..],
        &["intents", "list", "--status", "pending"],
        &["intents", "get", "first"],
        &["intents", "watch", "first"],
        &["send", "steps", "{}", "--wait", "--timeout", "20s"],
        &["send", "steps", "{}", "--id", "first"],
        &["dead", "show", "first"],
    ] {
        let started = tokio::time::Instant::now();
        let read = mesh.run_baton(&[reader, &["--output", "json"]].concat()).await;
        let said = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(said.contains("LEDGER_LOST"), "{reader:?}: {said}");
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    }
    let started = tokio::time::Instant::now();
    let sent = mesh.run_baton(&["send", "steps", "{}", "--output", "json"]).await;
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    assert!(said.contains("LEDGER_LOST"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let started = tokio::time::Instant::now();
    let sent = mesh
        .run_baton(&["send", "steps", "{}", "--wait", "--timeout", "1s"])
        .await;
    assert_eq!(sent.status.code(), Some(5), "{}", String::from_utf8_lossy(&sent.stderr));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());

    // Who starts now refuses likewise.
    worker.kill();
    for command in [
        &["controller", "--output", "json"][..],
        &[
            "worker",
            "--agent",
            "steps",
            "--version",
            "1.0.0",
            "--exec",
            "true",
            "--output",
            "json",
        ],
    ] {
        let mut refuses = ProcessGuard::spawn(command[0], mesh.baton(command), program.dir());
        assert!(!refuses.wait(SOON).await.success(), "{command:?}");
        assert!(refuses.stderr().contains("LEDGER_LOST"), "{}", refuses.stderr());
    }
    let names = baton_testkit::stream_names(&mesh.server.client().await)
        .await
        .expect("names");
    assert!(!names.iter().any(|name| name == "MESH_LEDGER"), "{names:?}");

    // A person decides.
    let _new = ProcessGuard::spawn("new", mesh.baton(&["controller", "--make-ledger"]), program.dir());
    until_made(&mesh, "MESH_LEDGER").await;
    let _worker = program.worker(&mesh, "steps", "next", &["--json"]);
    let next = mesh.submit("next", "steps", "{}").await;
    mesh.until(&next, "completed", SOON).await;
}

/// The records are lost, and nobody is left to think that the work goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_ledger_is_told_of_until_the_work_is_submitted_again() {
    let mesh = TestMesh::start().await;
    let program = Program::three_steps();
    let worker = program.worker(&mesh, "steps", "only", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    drop(worker);
    let waits = mesh.submit("waits", "steps", "{}").await;
    assert_eq!(doctor_says(&mesh, "RECORDS_LOST").await, None);
    let client = mesh.server.client().await;
    let purged = client.request("$JS.API.STREAM.PURGE.MESH_LEDGER".to_owned(), "".into());
    let purged: serde_json::Value = serde_json::from_slice(&purged.await.expect("an answer").payload).expect("JSON");
    assert_eq!(purged["success"], true, "{purged}");
    eventually("doctor tells of it", REMADE, async || {
        let said = doctor_says(&mesh, "RECORDS_LOST").await;
        let is_told = said.as_ref().is_some_and(|(level, found)| {
            level == "problem"
                && found.contains("MESH_LEDGER has no record any more of 1 open intents")
                && found.contains("waits")
        });
        is_told.then_some(()).ok_or_else(|| format!("{said:?}"))
    })
    .await;
    let _worker = program.worker(&mesh, "steps", "next", &["--json"]);
    mesh.submit("waits", "steps", "{}").await;
    mesh.until(&waits, "completed", SOON).await;
    eventually("doctor is content", REMADE, async || {
        let said = doctor_says(&mesh, "RECORDS_LOST").await;
        said.is_none().then_some(()).ok_or_else(|| format!("{said:?}"))
    })
    .await;
}
