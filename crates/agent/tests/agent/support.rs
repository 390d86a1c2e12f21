//! A mesh of its own for each test, and workers that run in it.

use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome};
use baton_envelope::{AgentName, AgentVersion, Author, Envelope, IntentId, Role};
use baton_jetstream::{ControllerMesh, Head, Mesh, Target};
pub(crate) use baton_testkit::{TestServer, eventually};
use tokio::task::JoinHandle;

/// How long a condition may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn agent() -> AgentName {
    "shout".parse().unwrap()
}

pub(crate) fn version() -> AgentVersion {
    "1.0.0".parse().unwrap()
}

pub(crate) async fn connect(server: &TestServer) -> Mesh {
    Target::at(server.url()).connect().await.unwrap()
}

/// A mesh with a route to `shout` 1.0.0.
pub(crate) async fn mesh(server: &TestServer) -> Mesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(mesh.limits()).await.unwrap();
    ControllerMesh::of(&mesh)
        .set_route(&agent(), &version(), "test", true)
        .await
        .unwrap();
    mesh
}

/// Completes with the payload in capitals, by one step.
pub(crate) struct Shout;

impl Handler for Shout {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, text: String) -> Result<Outcome, Fault> {
        let loud = hop
            .step("shout", || async { Ok::<_, Fault>(text.to_uppercase()) })
            .await?;
        Outcome::complete(&loud)
    }
}

pub(crate) fn shout() -> AgentBuilder {
    Agent::builder("shout", "1.0.0").unwrap().handler(Shout)
}

/// A worker with a connection of its own.
pub(crate) async fn start(server: &TestServer, agent: AgentBuilder) -> JoinHandle<()> {
    let mesh = connect(server).await;
    let worker = agent.bind(&mesh).await.unwrap();
    tokio::spawn(async move {
        worker.run_until(std::future::pending()).await.unwrap();
    })
}

pub(crate) async fn submit(mesh: &Mesh, id: &str) -> IntentId {
    let intent: IntentId = id.parse().unwrap();
    let envelope = Envelope::first(
        mesh.clock().envelope_id(),
        intent.clone(),
        agent(),
        Json::string("otters"),
    );
    mesh.submit(envelope, Author::of(Role::Client, "test")).await.unwrap();
    intent
}

pub(crate) async fn status(mesh: &Mesh, intent: &IntentId) -> String {
    let head = mesh.head(intent).await.unwrap().unwrap();
    head.record.snapshot.status.name().to_owned()
}

/// Waits until an intent is completed and gives its head.
pub(crate) async fn completed(mesh: &Mesh, intent: &IntentId, max: Duration) -> Head {
    eventually(&format!("{intent} is completed"), max, async || {
        let head = mesh.head(intent).await.map_err(|error| error.to_string())?;
        let head = head.ok_or("no record")?;
        match head.record.snapshot.status.name() {
            "completed" => Ok(head),
            other => Err(other.to_owned()),
        }
    })
    .await
}
