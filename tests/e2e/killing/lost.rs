//! A kill takes what runs also where the server has lost the ticket of it.

use std::sync::Arc;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::{Gate, id, result};
use baton_envelope::control::{AboutAgent, KillAgent, ListAgents};
use baton_testkit::eventually;

use super::{act, is_fenced, stubborn, until_runs};
use crate::stopping::baton;

/// A server that was killed may have lost a ticket that its worker has. Would fail with a kill that goes by the tickets alone: what
/// runs without one would commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_without_its_ticket_since_its_server_was_killed_commits_nothing_after_a_kill() {
    let (mesh, gate, runs) = (TestMesh::start().await, Gate::shut(), Arc::default());
    let worker = Running::start(mesh.server.url(), stubborn(&gate, &runs, None)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = id("lost");
    mesh.submit_to("code", &intent).await;
    until_runs(&runs, 1).await;
    mesh.server.kill().await;
    mesh.server.restart().await;
    let purged = mesh
        .server
        .api("STREAM.PURGE.MESH_WORK_code", &serde_json::json!({}))
        .await;
    assert_eq!(purged["purged"], 1, "{purged}");
    eventually("the controller is back", SOON, async || {
        let asked = mesh.ask(&ListAgents(AboutAgent::default())).await;
        asked.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let killed = mesh.ask(&KillAgent(act("it deletes files"))).await.expect("killed");
    assert_eq!(killed.fenced, 1);
    is_fenced(&mesh.history_of(&intent).await, 1);
    gate.lift();
    baton(&mesh, &["agents", "resume", "code"]).await.exits(0);
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "run 2");
    worker.stop().await;
}
