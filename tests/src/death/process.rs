//! The processes of a run: each on a connection of its own, through a proxy that can let it die.

use std::time::Duration;

use baton_agent::AgentBuilder;
use baton_controller::{BreakerConfig, Controller, ControllerConfig};
use baton_jetstream::Mesh;
use baton_testkit::Proxy;
use tokio::task::JoinHandle;

use crate::{TestMesh, connect};

/// How long a breaker stays open.
const OPEN_FOR: Duration = Duration::from_secs(3);

/// A process that may die.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) proxy: Proxy,
    task: Option<JoinHandle<()>>,
}

impl Process {
    pub(super) async fn client(url: &str) -> (Self, Mesh) {
        let proxy = Proxy::start(url).await;
        let mesh = connect(proxy.url()).await;
        (Self { proxy, task: None }, mesh)
    }

    pub(super) async fn worker(url: &str, builder: AgentBuilder) -> Self {
        let (mut process, mesh) = Self::client(url).await;
        let worker = builder.bind(&mesh).await.expect("bind");
        process.task = Some(tokio::spawn(async move {
            worker.run_until(std::future::pending()).await.expect("worker");
        }));
        process
    }

    pub(super) async fn controller(url: &str) -> Self {
        let (mut process, mesh) = Self::client(url).await;
        let config = ControllerConfig {
            sweep_interval: Duration::from_secs(1),
            sweep_slack: Duration::from_secs(3),
            breaker: BreakerConfig {
                open_for: OPEN_FOR,
                ..BreakerConfig::default()
            },
            ..ControllerConfig::default()
        };
        let controller = Controller::new(mesh, config);
        process.task = Some(tokio::spawn(async move {
            controller.run_until(std::future::pending()).await.expect("controller");
        }));
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The proxy closes its connections, so that what still runs of it reaches nobody.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A server with a controller, for one run or for several.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) mesh: TestMesh,
    pub(super) controller: Option<Process>,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let mesh = TestMesh::start_without_controller().await;
        let controller = Some(Process::controller(mesh.server.url()).await);
        Self { mesh, controller }
    }

    pub(super) fn url(&self) -> &str {
        self.mesh.server.url()
    }
}
