//! The same relay on Baton, with handlers that do nothing.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome, RunSummary};
use baton_envelope::{AgentName, AgentVersion, Author, Bands, Envelope, Role};
use baton_jetstream::{ControllerMesh, Error, Limits, Mesh, RouteFollower, Submitted, WaitEnd};
use tokio::sync::watch;

use crate::error::BenchError;
use crate::side::{Layout, Shape};
use crate::site::Site;

/// How long the result of one intent may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A relay of agents, each handing on to the next.
#[derive(Debug)]
pub(crate) struct Relay {
    /// May do everything in the mesh.
    control: Mesh,
    /// Submits.
    mesh: Mesh,
    agents: Vec<AgentName>,
    versions: Vec<AgentVersion>,
    layout: Layout,
    payload: Json,
    crew: Crew,
    _routes: RouteFollower,
}

/// The workers in this process.
#[derive(Debug)]
pub(crate) struct Crew {
    stop: watch::Sender<bool>,
    workers: Vec<tokio::task::JoinHandle<Result<RunSummary, Error>>>,
}

/// A handler that only hands on, or completes at the end.
pub(crate) struct Stage {
    next: Option<String>,
}

impl Stage {
    /// The last stage, which completes.
    pub(crate) const fn last() -> Self {
        Self { next: None }
    }
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
    /// A relay on a mesh of its own. Where the site has accounts, each agent works in its own, and the first one submits, too.
    pub(crate) async fn start(site: &Site, tag: &str, shape: Shape) -> Result<Self, BenchError> {
        let control = site.connect(tag).await?;
        let limits = Limits {
            secured: site.is_secured(),
            ..control.limits()
        };
        control.ensure_topology(limits).await?;
        let versions = (1..=shape.versions).map(|major| version(&format!("{major}.0.0")));
        let versions: Vec<AgentVersion> = versions.collect::<Result<_, _>>()?;
        let (mut agents, mut crew, mut submitter) = (Vec::new(), Crew::none(), None);
        for stage in 0..shape.agents {
            let agent: AgentName = stage_name(stage).parse().map_err(Error::from)?;
            let is_working = match shape.layout {
                Layout::Waiting => false,
                Layout::Beside => stage == 0,
                Layout::Relay | Layout::Fleet => true,
            };
            let next = (shape.layout == Layout::Relay && stage + 1 < shape.agents).then(|| stage_name(stage + 1));
            for (index, version) in versions.iter().enumerate() {
                control.ensure_agent(&agent, version, Bands::default()).await?;
                ControllerMesh::of(&control)
                    .set_route(&agent, version, "bench", index == 0)
                    .await?;
            }
            let own = site.connect_as(&agent, &control).await?;
            for version in versions.iter().filter(|_| is_working) {
                let builder = Agent::builder(agent.as_str(), &version.to_string())?;
                let builder = builder.handler(Stage { next: next.clone() });
                crew.hire(builder.concurrency(shape.slots).bind(&own).await?);
            }
            submitter.get_or_insert(own);
            agents.push(agent);
        }
        let mesh = submitter.unwrap_or_else(|| control.clone());
        Ok(Self {
            // A real submitter follows the routes, worker or not.
            _routes: mesh.follow_routes().await?,
            control,
            mesh,
            agents,
            versions,
            layout: shape.layout,
            payload: payload(shape.payload),
            crew,
        })
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The work streams that run empty, in the order in which an intent passes them.
    pub(crate) fn work_streams(&self) -> Vec<String> {
        let working = match self.layout {
            Layout::Beside => 1,
            Layout::Relay | Layout::Fleet | Layout::Waiting => self.agents.len(),
        };
        work_streams(&self.mesh, self.agents.iter().take(working))
    }

    /// Submits one intent; `number` selects the agent and version of a fleet.
    pub(crate) async fn submit(&self, number: u64) -> Result<(), BenchError> {
        let mut envelope = self.envelope(0)?;
        if self.layout == Layout::Fleet {
            let number = usize::try_from(number).unwrap_or_default();
            envelope = self.envelope(number % self.agents.len().max(1))?;
            let turn = number / self.agents.len().max(1);
            let version = self.versions.get(turn % self.versions.len().max(1));
            if let Some(version) = version.filter(|_| self.versions.len() > 1) {
                envelope.pins.insert(envelope.to.clone(), version.clone());
            }
        }
        submit(&self.mesh, envelope).await
    }

    /// Submits one intent for the second agent, which has no worker in the layout `Beside`.
    pub(crate) async fn leave_open(&self) -> Result<(), BenchError> {
        submit(&self.mesh, self.envelope(1)?).await
    }

    /// The subject of raw intents for the first agent.
    #[cfg(feature = "controller")]
    pub(crate) fn intent_subject(&self) -> Result<String, BenchError> {
        let envelope = self.agents.first().map(|agent| self.mesh.subjects().intent(agent));
        envelope.ok_or_else(|| BenchError::Broken("there is no agent to address".to_owned()))
    }

    fn envelope(&self, stage: usize) -> Result<Envelope, BenchError> {
        let agent = self.agents.get(stage);
        let agent = agent.ok_or_else(|| BenchError::Broken(format!("there is no agent {stage} to address")))?;
        let clock = self.mesh.clock();
        let (id, intent) = (clock.envelope_id(), clock.intent_id());
        Ok(Envelope::first(id, intent, agent.clone(), self.payload.clone()))
    }

    pub(crate) async fn submit_and_wait(&self) -> Result<(), BenchError> {
        submit_and_wait(&self.mesh, self.envelope(0)?).await
    }

    /// Stops the workers in good order, and removes what they left on the server.
    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        self.crew.dismiss().await?;
        Ok(self.control.remove_everything().await?)
    }
}

impl Crew {
    /// An empty crew.
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

    /// Stops all of them in good order.
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

/// The work streams of agents, in the order in which intents pass them.
pub(crate) fn work_streams<'a>(mesh: &Mesh, agents: impl IntoIterator<Item = &'a AgentName>) -> Vec<String> {
    let streams = agents.into_iter().map(|agent| mesh.subjects().work_stream(agent));
    streams.collect()
}

/// Submits a new intent.
pub(crate) async fn submit(mesh: &Mesh, envelope: Envelope) -> Result<(), BenchError> {
    match mesh.submit_new(envelope, Author::of(Role::Client, "bench")).await? {
        Submitted::New { .. } | Submitted::Repeated(_) => Ok(()),
        Submitted::Conflict { head, .. } => Err(Error::Raced(head.record.intent).into()),
    }
}

/// Submits a new intent, and waits for its end.
pub(crate) async fn submit_and_wait(mesh: &Mesh, envelope: Envelope) -> Result<(), BenchError> {
    let waiting = mesh.waiting(&envelope.intent).await?;
    submit(mesh, envelope).await?;
    match waiting.end_of_new(PATIENCE).await? {
        WaitEnd::Ended(_) => Ok(()),
        WaitEnd::Parked(head) => Err(BenchError::Ended(head.record.snapshot.status.to_string())),
        WaitEnd::TimedOut(_) => Err(BenchError::Ended("timed out".to_owned())),
    }
}

/// The name of an agent of a relay.
pub(crate) fn stage_name(stage: usize) -> String {
    format!("stage-{stage}")
}

/// A payload of this many bytes of JSON.
pub(crate) fn payload(bytes: usize) -> Json {
    Json::string(&"x".repeat(bytes.saturating_sub(2)))
}

/// Parses a version.
pub(crate) fn version(text: &str) -> Result<AgentVersion, BenchError> {
    text.parse().map_err(|error| {
        BenchError::Mesh(Error::BadEnvelope {
            field: "version",
            problem: format!("{error}"),
        })
    })
}
