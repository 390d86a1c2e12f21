//! Routes that are removed: the last decision stands, and no heartbeat makes a version active that was not.

use std::time::Duration;

use baton_controller::{Controller, ControllerConfig};
use baton_e2e::chaos::{Program, SOON, ready};
use baton_e2e::{TestMesh, connect};
use baton_envelope::VersionState;
use baton_testkit::{Headers, ProcessGuard, eventually};

use super::{REMADE, remove_stream, until_made};

const BAD: &str = "2.0.0";

/// 1.0.0 is active and has had work, 2.0.0 is quarantined; both have workers.
async fn quarantined() -> (TestMesh, Program, [ProcessGuard; 2]) {
    let (mesh, program) = (TestMesh::start().await, Program::three_steps());
    let good = program.worker_of(&mesh, ("steps", "1.0.0"), "good", &["--json"]);
    let first = mesh.submit("first", "steps", "{}").await;
    mesh.until(&first, "completed", SOON).await;
    let bad = program.worker_of(&mesh, ("steps", BAD), "bad", &["--json"]);
    ready(&bad).await;
    state(&mesh, BAD, VersionState::Ready, SOON).await;
    let set = mesh.run_baton(&["agents", "quarantine", "steps", BAD]).await;
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    (mesh, program, [good, bad])
}

/// Waits until a version is in a state, as the bucket has it, with 1.0.0 active all the time.
async fn state(mesh: &TestMesh, version: &str, wanted: VersionState, max: Duration) {
    eventually(&format!("{version} is {wanted}"), max, async || {
        let found = mesh.mesh.route(&"steps".parse().expect("a name")).await;
        let Some((route, _)) = found.map_err(|error| error.to_string())? else {
            return Err("no route".to_owned());
        };
        assert_eq!(route.active.as_str(), "1.0.0", "{route:?}");
        let state = route.state(&version.parse().expect("a version"));
        (state.as_ref() == Some(&wanted))
            .then_some(())
            .ok_or_else(|| format!("{state:?}"))
    })
    .await;
}

/// The key as the bucket itself has it: not removed, and not from below a removal.
async fn until_written(mesh: &TestMesh) {
    let client = mesh.server.client().await;
    eventually("the route is written again", REMADE, async || {
        let subject = "$JS.API.DIRECT.GET.KV_MESH_ROUTES.$KV.MESH_ROUTES.steps".to_owned();
        let found = client
            .request(subject, "".into())
            .await
            .map_err(|error| error.to_string())?;
        (!found.payload.is_empty())
            .then_some(())
            .ok_or_else(|| format!("{:?}", found.headers))
    })
    .await;
}

async fn goes_to_the_good_one(mesh: &TestMesh, id: &str) {
    let intent = mesh.submit(id, "steps", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(head.record.snapshot.version.expect("a version").as_str(), "1.0.0");
}

/// As `nats kv del` and `nats kv purge` do, and `nats kv put` of what is no route.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_is_removed_stands_and_is_written_again() {
    let (mesh, _program, _workers) = quarantined().await;
    let client = mesh.server.client().await;
    let key = "$KV.MESH_ROUTES.steps";
    for (number, operation) in ["DEL", "PURGE", ""].into_iter().enumerate() {
        let mut headers = Headers::new();
        let body = match operation {
            "" => "no route",
            operation => {
                headers.insert("KV-Operation", operation);
                ""
            }
        };
        if operation == "PURGE" {
            headers.insert("Nats-Rollup", "sub");
        }
        let stored = client.request_with_headers(key.to_owned(), headers, body.into()).await;
        assert!(stored.is_ok(), "{stored:?}");
        // Nobody is refused meanwhile.
        goes_to_the_good_one(&mesh, &format!("meanwhile-{number}")).await;
        until_written(&mesh).await;
        state(&mesh, BAD, VersionState::Quarantined, REMADE).await;
        goes_to_the_good_one(&mesh, &format!("after-{number}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_come_back_when_their_bucket_is_removed() {
    let (mesh, _program, _workers) = quarantined().await;
    remove_stream(&mesh, "KV_MESH_ROUTES").await;
    until_made(&mesh, "KV_MESH_ROUTES").await;
    until_written(&mesh).await;
    state(&mesh, BAD, VersionState::Quarantined, REMADE).await;
    goes_to_the_good_one(&mesh, "after").await;
}

/// Then the consumers tell which version is paused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_remembers_nothing_makes_no_other_version_active() {
    let (mesh, _program, _workers) = quarantined().await;
    let url = mesh.server.url().to_owned();
    let mesh = mesh.without_controller();
    remove_stream(&mesh, "KV_MESH_ROUTES").await;
    let controller = Controller::new(connect(&url).await, ControllerConfig::default());
    let running = tokio::spawn(async move {
        controller.run_until(std::future::pending()).await.expect("controller");
    });
    until_made(&mesh, "KV_MESH_ROUTES").await;
    until_written(&mesh).await;
    state(&mesh, BAD, VersionState::Quarantined, REMADE).await;
    goes_to_the_good_one(&mesh, "after").await;
    running.abort();
}
