//! Whether a worker lives is known within a second, and all that live are found.

use std::process::Command;
use std::time::Duration;

use baton_envelope::Namespace;
use baton_jetstream::{Alive, ControllerMesh, Target};
use baton_testkit::ProcessGuard;
use tokio::time::Instant;

use crate::support::{PATIENCE, TestServer, agent, connect, eventually, mesh, shout, start, version};

/// The variable that makes a process of this test binary a worker.
const WORKER: &str = "BATON_TEST_WORKER_AT";

/// No test of its own: where the variable is set, this process is a worker until it is killed.
#[tokio::test]
async fn as_a_worker_process() {
    let Ok(url) = std::env::var(WORKER) else { return };
    let mesh = Target::at(url).connect().await.unwrap();
    let worker = shout().instance("victim").bind(&mesh).await.unwrap();
    worker.run_until(std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn a_killed_worker_is_gone_at_once_and_a_frozen_one_is_silent() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "probing::as_a_worker_process", "--nocapture"])
        .env(WORKER, server.url());
    let alive = async || {
        ControllerMesh::of(&mesh)
            .is_worker_alive(&agent(), &version(), "victim")
            .await
    };
    assert_eq!(alive().await, Alive::Gone, "it has not started");
    let mut process = ProcessGuard::spawn("worker", command, server.dir());
    eventually("the worker answers", PATIENCE, async || match alive().await {
        Alive::Yes => Ok(()),
        other @ (Alive::Gone | Alive::Silent) => Err(format!("{other:?}")),
    })
    .await;
    process.pause();
    assert_eq!(alive().await, Alive::Silent);
    process.resume();
    assert_eq!(alive().await, Alive::Yes);
    process.kill();
    eventually("the worker is gone", PATIENCE, async || match alive().await {
        Alive::Gone => Ok(()),
        other @ (Alive::Yes | Alive::Silent) => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn all_workers_of_this_mesh_are_found_and_no_others() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let started = Instant::now();
    assert_eq!(
        ControllerMesh::of(&mesh)
            .find_workers(Duration::from_secs(5))
            .await
            .unwrap(),
        []
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "the server says that nobody is there"
    );
    let _a = start(&server, shout().instance("a").capability("noise")).await;
    let _b = start(&server, shout().instance("b")).await;
    let other = Target {
        namespace: "other".parse::<Namespace>().unwrap(),
        ..Target::at(server.url())
    };
    let other = other.connect().await.unwrap();
    let elsewhere = shout().instance("c").bind(&other).await.unwrap();

    // What they said when they were bound may still be on its way to the server.
    let found = eventually("both are found", PATIENCE, async || {
        let found = ControllerMesh::of(&mesh).find_workers(Duration::from_millis(500)).await;
        let found = found.map_err(|error| error.to_string())?;
        if found.len() < 2 {
            Err(format!("{found:?}"))
        } else {
            Ok(found)
        }
    })
    .await;
    let names: Vec<_> = found
        .iter()
        .map(|one| (one.version.clone(), one.instance.as_str()))
        .collect();
    assert_eq!(names, [(version(), "a"), (version(), "b")]);
    assert_eq!(found[0].capabilities, ["noise"]);
    assert_eq!(
        ControllerMesh::of(&other)
            .find_workers(Duration::from_millis(500))
            .await
            .unwrap()
            .len(),
        1
    );
    drop(elsewhere);
    drop(connect(&server).await);
}
