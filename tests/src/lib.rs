//! What the end-to-end tests share: a mesh with a real nats-server, the `baton` binary, agents in and out of process.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a failure here is a test failure"
)]
#![expect(clippy::print_stdout, reason = "measured numbers are part of what a test says")]

pub mod accounts;
pub mod binaries;
pub mod chaos;
pub mod death;
pub mod firing;
pub mod gated;
pub mod groups;
mod hurry;
pub mod invariants;
pub mod rolling;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use baton_controller::{Controller, ControllerConfig};
use baton_envelope::{Author, Envelope, IntentId, Json, Role};
use baton_jetstream::{Head, Mesh, Target};
use baton_testkit::{TestServer, eventually};
use tokio::task::JoinHandle;

/// A server with a controller in this process.
#[derive(Debug)]
pub struct TestMesh {
    /// The server.
    pub server: TestServer,
    /// A connection to it.
    pub mesh: Mesh,
    /// Whether everyone reads through a screen.
    is_screened: bool,
    controller: JoinHandle<()>,
}

impl Drop for TestMesh {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl TestMesh {
    /// Starts a server and a controller.
    pub async fn start() -> Self {
        let mut mesh = Self::start_without_controller().await;
        mesh.start_controller();
        mesh
    }

    /// Starts a server and a controller; this process and every `baton` read through a screen.
    pub async fn start_screened() -> Self {
        let mut mesh = Self::start_with(true).await;
        mesh.start_controller();
        mesh
    }

    /// Starts a server, and no controller: that is for the test.
    pub async fn start_without_controller() -> Self {
        Self::start_with(false).await
    }

    /// Starts a controller in this process.
    pub fn start_controller(&mut self) {
        let controller = Controller::new(self.mesh.clone(), ControllerConfig::default());
        self.controller = tokio::spawn(async move {
            controller.run_until(std::future::pending()).await.expect("controller");
        });
    }

    async fn start_with(is_screened: bool) -> Self {
        let server = TestServer::start().await;
        let target = Target {
            screened: is_screened,
            ..Target::at(server.url())
        };
        let mesh = target.connect().await.expect("connect");
        mesh.ensure_topology(baton_jetstream::Limits::default())
            .await
            .expect("topology");
        Self {
            server,
            mesh,
            is_screened,
            controller: tokio::spawn(std::future::ready(())),
        }
    }

    /// Submits an intent directly, as soon as its agent is known.
    pub async fn submit(&self, id: &str, agent: &str, payload: &str) -> IntentId {
        let intent: IntentId = id.parse().expect("intent id");
        let envelope = Envelope::first(
            self.mesh.clock().envelope_id(),
            intent.clone(),
            agent.parse().expect("agent name"),
            Json::parse(payload).unwrap_or_else(|_| Json::string(payload)),
        );
        self.mesh
            .submit_when_known(envelope, Author::of(Role::Client, "test"), Duration::from_secs(20))
            .await
            .expect("submit");
        intent
    }

    /// Waits until an intent has this status (by its wire name) and returns its head.
    pub async fn until(&self, intent: &IntentId, status: &str, max: Duration) -> Head {
        eventually(&format!("{intent} is {status}"), max, async || {
            match self.mesh.head(intent).await {
                Ok(Some(head)) if head.record.snapshot.status.name() == status => Ok(head),
                Ok(Some(head)) => Err(format!(
                    "{} {:?}",
                    head.record.snapshot.status, head.record.snapshot.error
                )),
                Ok(None) => Err("no record".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Changes one setting of a stream, as somebody would by accident, and returns what the server says of the stream.
    pub async fn edit_stream(
        &self,
        stream: &str,
        setting: &str,
        edit: impl FnOnce(&serde_json::Value) -> serde_json::Value,
    ) -> serde_json::Value {
        let mut info = self
            .server
            .api(&format!("STREAM.INFO.{stream}"), &serde_json::json!({}))
            .await;
        info["config"][setting] = edit(&info);
        self.server
            .api(&format!("STREAM.UPDATE.{stream}"), &info["config"])
            .await
    }

    /// The names of the events of an intent, in order.
    pub async fn events_of(&self, intent: &IntentId) -> Vec<String> {
        let history = self.mesh.history(intent, 1).await.expect("history");
        history.iter().map(|head| head.record.event.name().to_owned()).collect()
    }

    /// A `baton` command against this mesh, with a clean environment.
    pub fn baton(&self, args: &[&str]) -> Command {
        let mut command = baton();
        command.args(args).env("BATON_SERVER", self.server.url());
        if self.is_screened {
            command.env("BATON_CONNECTION__SCREEN", "true");
        }
        command
    }
}

/// Connects to a server.
pub async fn connect(url: &str) -> Mesh {
    Target::at(url).connect().await.expect("connect")
}

/// The root of the repository.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The `baton` binary of this build, with a clean environment (but PATH and HOME).
pub fn baton() -> Command {
    // The end-to-end tests belong to the package of the command, so cargo has built it for them. Only they themselves are
    // told where it is (`CARGO_BIN_EXE_baton`); it lies above the folder of the test binaries.
    let tests = std::env::current_exe().expect("test binary");
    let built = tests.ancestors().nth(2).expect("the folder of what was built");
    let mut command = Command::new(built.join("baton"));
    command.env_clear();
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}
