//! Versions that are retired leave nothing behind: a stream may have only so many consumers.

use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Program, SOON, TAKEOVER, logged, ready};
use baton_testkit::{consumers, eventually};

const STREAM: &str = "MESH_WORK_steps";

async fn until_consumers(mesh: &TestMesh, wanted: usize) {
    let client = mesh.server.client().await;
    eventually(&format!("{wanted} consumers"), TAKEOVER, async || {
        let found = consumers(&client, STREAM).await?;
        (found.len() == wanted)
            .then_some(())
            .ok_or_else(|| found.len().to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_version_has_no_consumers_and_can_be_forgotten() {
    let (mesh, program) = (TestMesh::start().await, Program::three_steps());
    let mut workers = Vec::new();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        workers.push(program.worker_of(&mesh, ("steps", version), version, &["--json"]));
        ready(&workers[workers.len() - 1]).await;
        if version == "1.0.0" {
            let first = mesh.submit("first", "steps", "{}").await;
            mesh.until(&first, "completed", SOON).await;
        }
    }
    until_consumers(&mesh, 9).await;
    for version in ["2.0.0", "3.0.0"] {
        eventually("it can be retired", SOON, async || {
            let done = mesh.run_baton(&["agents", "retire", "steps", version]).await;
            done.status
                .success()
                .then_some(())
                .ok_or_else(|| String::from_utf8_lossy(&done.stderr).into_owned())
        })
        .await;
    }
    until_consumers(&mesh, 3).await;
    // Their workers have noticed, and made none.
    for worker in &workers[1..] {
        logged(worker, "this version was retired").await;
    }
    until_consumers(&mesh, 3).await;

    // One that comes back has its consumers and its workers at once.
    let set = mesh.run_baton(&["route", "set", "steps", "2.0.0"]).await;
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let next = mesh.submit("next", "steps", "{}").await;
    let head = mesh.until(&next, "completed", SOON).await;
    assert_eq!(head.record.snapshot.version.expect("a version").as_str(), "2.0.0");

    let refused = mesh.run_baton(&["agents", "forget", "steps", "3.0.0"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("live workers"), "{said}");
    let mut last = workers.pop().expect("a worker");
    last.terminate();
    assert!(last.wait(SOON).await.success());
    eventually("it is forgotten", Duration::from_secs(20), async || {
        let done = mesh.run_baton(&["agents", "forget", "steps", "3.0.0"]).await;
        done.status
            .success()
            .then_some(())
            .ok_or_else(|| String::from_utf8_lossy(&done.stderr).into_owned())
    })
    .await;
    let (route, _) = mesh
        .mesh
        .route(&"steps".parse().expect("a name"))
        .await
        .expect("routes")
        .expect("a route");
    assert!(
        !route.versions.contains_key(&"3.0.0".parse().expect("a version")),
        "{route:?}"
    );
    let unknown = mesh.run_baton(&["agents", "forget", "steps", "3.0.0"]).await;
    assert_eq!(
        unknown.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&unknown.stderr)
    );
}
