//! The same relay on Baton, with handlers that do nothing.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome, RunSummary};
use baton_envelope::{AgentName, Author, Bands, Envelope, IntentId, Role};
use baton_jetstream::floor::work_streams;
use baton_jetstream::{Error, Mesh, RouteFollower, Submitted, WaitEnd};
use tokio::sync::watch;

use crate::error::BenchError;
use crate::side::Shape;

/// How long the result of one intent may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Agents that hand on to each other.
#[derive(Debug)]
pub(crate) struct Relay {
    mesh: Mesh,
    agents: Vec<AgentName>,
    payload: Json,
    crew: Crew,
    _routes: RouteFollower,
}

/// Workers that run in this process.
#[derive(Debug)]
pub(crate) struct Crew {
    stop: watch::Sender<bool>,
    workers: Vec<tokio::task::JoinHandle<Result<RunSummary, Error>>>,
}

struct Stage {
    next: Option<String>,
}

impl Handler for Stage {
    type Input = Json;

    async fn handle(&self, _hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        match &self.next {
            Some(next) => Outcome::hand_off(next, &payload),
            None => Outcome::complete(&payload),
        }
    }
}

impl Relay {
    pub(crate) async fn start(mesh: Mesh, shape: Shape) -> Result<Self, BenchError> {
        mesh.ensure_topology(mesh.limits()).await?;
        let name = |stage: usize| format!("stage-{stage}");
        let version = version("1.0.0")?;
        let (mut agents, mut crew) = (Vec::new(), Crew::none());
        for stage in 0..shape.agents {
            let agent: AgentName = name(stage).parse().map_err(Error::from)?;
            mesh.ensure_agent(&agent, &version, Bands::default()).await?;
            mesh.set_route(&agent, &version, "bench", true).await?;
            if shape.is_working {
                let next = (stage + 1 < shape.agents).then(|| name(stage + 1));
                let builder = Agent::builder(agent.as_str(), "1.0.0")?.handler(Stage { next });
                crew.hire(builder.concurrency(shape.slots).bind(&mesh).await?);
            }
            agents.push(agent);
        }
        Ok(Self {
            // Whoever submits in earnest follows the routes, worker or not.
            _routes: mesh.follow_routes().await?,
            mesh,
            agents,
            payload: payload(shape.payload),
            crew,
        })
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The work streams, in the order in which an intent passes them.
    pub(crate) fn work_streams(&self) -> Vec<String> {
        work_streams(&self.mesh, &self.agents)
    }

    pub(crate) async fn submit(&self) -> Result<(), BenchError> {
        self.submit_as(self.mesh.clock().intent_id()).await
    }

    async fn submit_as(&self, intent: IntentId) -> Result<(), BenchError> {
        let id = self.mesh.clock().envelope_id();
        let Some(first) = self.agents.first() else {
            return Err(BenchError::Ended("a relay without agents".to_owned()));
        };
        let envelope = Envelope::first(id, intent, first.clone(), self.payload.clone());
        submit(&self.mesh, envelope).await
    }

    pub(crate) async fn submit_and_wait(&self) -> Result<(), BenchError> {
        let intent = self.mesh.clock().intent_id();
        self.submit_as(intent.clone()).await?;
        match self.mesh.wait(&intent, PATIENCE).await? {
            WaitEnd::Ended(_) => Ok(()),
            WaitEnd::Parked(head) => Err(BenchError::Ended(head.record.snapshot.status.to_string())),
            WaitEnd::TimedOut(_) => Err(BenchError::Ended("timed out".to_owned())),
        }
    }

    /// Stops the workers in order, and removes what they left on the server.
    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        self.crew.dismiss().await?;
        Ok(self.mesh.remove_everything("baton_bench_nothing").await?)
    }
}

impl Crew {
    /// Nobody yet.
    pub(crate) fn none() -> Self {
        Self {
            stop: watch::channel(false).0,
            workers: Vec::new(),
        }
    }

    /// Lets a worker run until the crew is dismissed.
    pub(crate) fn hire(&mut self, worker: baton_agent::Worker) {
        let mut stopped = self.stop.subscribe();
        self.workers.push(tokio::spawn(worker.run_until(async move {
            let _gone = stopped.wait_for(|stop| *stop).await;
        })));
    }

    /// Stops all of them in order.
    pub(crate) async fn dismiss(self) -> Result<(), BenchError> {
        self.stop.send_replace(true);
        for worker in self.workers {
            if let Ok(ended) = worker.await {
                ended?;
            }
        }
        Ok(())
    }
}

/// Submits an intent that is new.
pub(crate) async fn submit(mesh: &Mesh, envelope: Envelope) -> Result<(), BenchError> {
    match mesh.submit(envelope, Author::of(Role::Client, "bench")).await? {
        Submitted::New { .. } | Submitted::Repeated(_) => Ok(()),
        Submitted::Conflict(head) => Err(Error::Raced(head.record.intent).into()),
    }
}

/// A payload of so many bytes of JSON.
pub(crate) fn payload(bytes: usize) -> Json {
    Json::string(&"x".repeat(bytes.saturating_sub(2)))
}

/// Reads a version.
pub(crate) fn version(text: &str) -> Result<baton_envelope::AgentVersion, BenchError> {
    text.parse().map_err(|error| {
        BenchError::Mesh(Error::BadEnvelope {
            field: "version",
            problem: format!("{error}"),
        })
    })
}
