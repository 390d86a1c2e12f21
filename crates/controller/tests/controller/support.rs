//! A mesh of its own for each test, controllers that run in it, and looks at what stands in its ledger.

use std::time::Duration;

use baton_controller::{Controller, ControllerConfig, Error};
use baton_envelope::{AgentName, AgentVersion, Author, Bands, Declaration, IntentId, Role};
use baton_jetstream::{
    ControllerMesh, Delivery, Filter, Head, IntakeMessage, Limits, Mesh, Pulled, Puller, Target, WorkerMesh,
};
pub(crate) use baton_testkit::{TestServer, eventually};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a condition may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn connect(server: &TestServer) -> Mesh {
    Target::at(server.url()).connect().await.unwrap()
}

/// A mesh with its streams and a route to `research` 1.0.0.
pub(crate) async fn mesh_with_research(server: &TestServer) -> Mesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let (agent, version) = research();
    mesh.ensure_agent(&agent, &version, Bands::default()).await.unwrap();
    ControllerMesh::of(&mesh)
        .set_route(&agent, &version, "test", true)
        .await
        .unwrap();
    mesh
}

pub(crate) fn research() -> (AgentName, AgentVersion) {
    ("research".parse().unwrap(), "1.0.0".parse().unwrap())
}

pub(crate) fn id(text: &str) -> IntentId {
    text.parse().unwrap()
}

pub(crate) fn operator() -> Author {
    Author::of(Role::Operator, "test")
}

pub(crate) fn declaration(mesh: &Mesh, version: &str) -> Declaration {
    Declaration {
        agent: research().0,
        version: version.parse().unwrap(),
        instance: "worker-1".to_owned(),
        capabilities: Vec::new(),
        channels: Vec::new(),
        kinds: Vec::new(),
        schemas: std::collections::BTreeMap::new(),
        protocol: baton_envelope::ProtocolRange::default(),
        concurrency: 1,
        busy: 0,
        stopping: false,
        dropped: 0,
        at: mesh.now(),
        clock_ahead_ms: 0,
        host: String::new(),
        manual: false,
        policy: None,
        signs: false,
        context: None,
        extra: baton_envelope::Extra::new(),
    }
}

/// Settings under which a sweep does not disturb what a test looks at.
pub(crate) fn quiet(instance: &str) -> ControllerConfig {
    ControllerConfig {
        // The first sweep comes at any moment of it: so long that no test meets one.
        sweep_interval: Duration::from_secs(365 * 24 * 3600),
        instance: instance.to_owned(),
        ..ControllerConfig::default()
    }
}

/// A controller that runs.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) fn start(mesh: &Mesh, config: ControllerConfig) -> Self {
        let (stop, stopped) = oneshot::channel();
        let controller = Controller::new(mesh.clone(), config);
        let task = tokio::spawn(controller.run_until(async {
            stopped.await.ok();
        }));
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the controller stops")
            .unwrap()
            .unwrap();
    }
}

pub(crate) async fn publish(mesh: &Mesh, subject: &str, headers: &[(&str, &str)], body: &[u8]) {
    let headers = headers
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    mesh.publish_raw(subject.to_owned(), headers, body.to_vec().into())
        .await
        .unwrap();
}

/// All intents with one of these statuses, or all of them.
pub(crate) async fn listed(mesh: &Mesh, statuses: &[&str]) -> Result<Vec<Head>, String> {
    let filter = Filter {
        statuses: statuses.iter().map(|&name| name.to_owned()).collect(),
        ..Filter::default()
    };
    let listed = mesh.list(&filter).await.map_err(|error| error.to_string())?;
    Ok(listed.heads)
}

/// The head of an intent, once it has one.
pub(crate) async fn head(mesh: &Mesh, intent: &IntentId) -> Head {
    eventually("the intent stands in the ledger", PATIENCE, async || {
        mesh.must_find(intent).await.map_err(|error| error.to_string())
    })
    .await
}

/// The intent `name`, once it is rejected.
pub(crate) async fn rejected(mesh: &Mesh, name: &str) -> Head {
    let found = head(mesh, &id(name)).await;
    assert_eq!(found.record.snapshot.status.name(), "rejected");
    found
}

/// Publishes a marker and waits until it was routed. With one route slot everything before it was routed, too.
pub(crate) async fn pass_marker(mesh: &Mesh, name: &str) {
    publish(mesh, "mesh.intent.research", &[("Baton-Intent", name)], b"{}").await;
    head(mesh, &id(name)).await;
}

/// One route slot, so that messages are routed in the order in which they come.
pub(crate) fn one_by_one(instance: &str) -> ControllerConfig {
    ControllerConfig {
        route_slots: 1,
        ..quiet(instance)
    }
}

/// Takes the one message of the intake, as a router that crashes later.
pub(crate) async fn take_one(mesh: &Mesh) -> IntakeMessage {
    let mut batch = ControllerMesh::of(mesh)
        .read_intake(baton_jetstream::Intake::Router)
        .await
        .unwrap()
        .next_batch(1)
        .await
        .unwrap();
    assert_eq!(batch.len(), 1);
    batch.remove(0)
}

/// Hands a message back, and makes sure that the server has it: the next pull by anyone gets it before all others.
pub(crate) async fn give_back(mesh: &Mesh, message: &IntakeMessage) {
    message.hand_back(Duration::ZERO).await;
    mesh.flush().await.unwrap();
}

/// Pulls the tickets of `research` 1.0.0.
pub(crate) async fn puller(mesh: &Mesh) -> Puller {
    let (agent, version) = research();
    Puller::open(&WorkerMesh::of(mesh), &agent, &version, Bands::default(), 64)
        .await
        .unwrap()
}

pub(crate) async fn ticket(puller: &mut Puller) -> Delivery {
    match tokio::time::timeout(PATIENCE, puller.next())
        .await
        .expect("a ticket")
        .unwrap()
    {
        Pulled::Ticket(delivery) => delivery,
        Pulled::Closed => panic!("the connection was closed"),
    }
}
