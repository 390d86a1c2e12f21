//! Workers whose clock is off are named by the controllers.

use std::time::Duration;

use baton_envelope::Declaration;
use baton_envelope::control::{ListAgents, WorkerView};
use baton_jetstream::{Mesh, WorkerMesh};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn workers(mesh: &Mesh) -> Result<Vec<WorkerView>, String> {
    let agents = mesh.ask_controller(&ListAgents::default()).await;
    let agents = agents.map_err(|error| error.to_string())?.agents;
    let versions = agents.into_iter().flat_map(|agent| agent.versions);
    Ok(versions.flat_map(|version| version.workers).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_whose_clock_is_off_are_named() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&connect(&server).await, quiet("a"));
    let of = |instance: &str| Declaration {
        instance: instance.to_owned(),
        ..declaration(&mesh, "1.0.0")
    };
    // One of this build corrects its times and says by how much; one of another writes what its clock says.
    let said = Declaration {
        clock_ahead_ms: 60_000,
        host: "db-7".to_owned(),
        ..of("said")
    };
    let worker = WorkerMesh::of(&mesh);
    eventually("both are named", PATIENCE, async || {
        let foreign = Declaration {
            at: mesh.now().minus(MINUTE),
            ..of("foreign")
        };
        for beat in [&said, &foreign, &of("right")] {
            worker.beat(beat).await.map_err(|error| error.to_string())?;
        }
        let workers = workers(&mesh).await?;
        let mut clocks: Vec<(&str, i64, &str)> = workers
            .iter()
            .map(|one| (&*one.instance, (one.clock_ahead_ms + 500).div_euclid(1000), &*one.host))
            .collect();
        clocks.sort_unstable();
        let expected = [("foreign", -60, ""), ("right", 0, ""), ("said", 60, "db-7")];
        (clocks == expected).then_some(()).ok_or_else(|| format!("{workers:?}"))
    })
    .await;
    controller.stop().await;
}
