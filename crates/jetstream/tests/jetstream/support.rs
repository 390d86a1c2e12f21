//! A mesh of its own for each test.

use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Author, Bands, Envelope, IntentId, Json, Role};
use baton_jetstream::{ControllerMesh, Head, Limits, Mesh, Target};
pub(crate) use baton_testkit::{TestServer, eventually};

/// How long a condition may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn agent() -> AgentName {
    "research".parse().unwrap()
}

pub(crate) fn version(text: &str) -> AgentVersion {
    text.parse().unwrap()
}

pub(crate) fn operator() -> Author {
    Author::of(Role::Operator, "test")
}

pub(crate) async fn connect(server: &TestServer) -> Mesh {
    Target::at(server.url()).connect().await.unwrap()
}

/// A mesh with a route to `research` 1.0.0, its consumers, and no workers.
pub(crate) async fn mesh_with_research(server: &TestServer) -> Mesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    mesh.ensure_agent(&agent(), &version("1.0.0"), Bands::default())
        .await
        .unwrap();
    ControllerMesh::of(&mesh)
        .set_route(&agent(), &version("1.0.0"), "test", true)
        .await
        .unwrap();
    mesh
}

/// Submits an intent and gives its head.
pub(crate) async fn submit(mesh: &Mesh, id: &str) -> Head {
    let intent: IntentId = id.parse().unwrap();
    let envelope = Envelope::first(
        mesh.clock().envelope_id(),
        intent.clone(),
        agent(),
        Json::string("otters"),
    );
    mesh.submit(envelope, operator()).await.unwrap();
    mesh.head(&intent).await.unwrap().unwrap()
}
