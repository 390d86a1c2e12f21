//! The same relay on Baton, with handlers that do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome, RunSummary};
use baton_envelope::{AgentName, Author, Envelope, IntentId, Role};
use baton_jetstream::{Error, Mesh, Submitted, WaitEnd};
use tokio::sync::{Notify, watch};

use crate::{BenchError, Plan};

pub(crate) struct Relay {
    mesh: Mesh,
    first: AgentName,
    payload: Json,
    done: Arc<AtomicUsize>,
    progress: Arc<Notify>,
    stop: watch::Sender<bool>,
    workers: Vec<tokio::task::JoinHandle<Result<RunSummary, Error>>>,
}

struct Stage {
    next: Option<String>,
    done: Arc<AtomicUsize>,
    progress: Arc<Notify>,
}

impl Handler for Stage {
    type Input = Json;

    async fn handle(&self, _hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        match &self.next {
            Some(next) => Outcome::hand_off(next, &payload),
            None => {
                self.done.fetch_add(1, Ordering::Release);
                self.progress.notify_waiters();
                Outcome::complete(&payload)
            }
        }
    }
}

impl Relay {
    pub(crate) async fn start(mesh: &Mesh, agents: usize, plan: Plan) -> Result<Self, BenchError> {
        let (stop, stopped) = watch::channel(false);
        let (done, progress) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let mut workers = Vec::new();
        for stage in 0..agents {
            let next = (stage + 1 < agents).then(|| format!("stage-{}", stage + 1));
            let handler = Stage {
                next,
                done: Arc::clone(&done),
                progress: Arc::clone(&progress),
            };
            let builder = Agent::builder(&format!("stage-{stage}"), "1.0.0")?;
            let worker = builder.handler(handler).concurrency(plan.slots).bind(mesh).await?;
            let name = format!("stage-{stage}").parse().map_err(Error::from)?;
            let version = "1.0.0".parse().map_err(|error| Error::BadEnvelope {
                field: "version",
                problem: format!("{error}"),
            })?;
            mesh.set_route(&name, &version, "bench", true).await?;
            let mut stopped = stopped.clone();
            workers.push(tokio::spawn(worker.run_until(async move {
                let _gone = stopped.wait_for(|stop| *stop).await;
            })));
        }
        let payload = Json::string(&"x".repeat(plan.payload.saturating_sub(2)));
        let first = "stage-0".parse().map_err(Error::from)?;
        Ok(Self {
            mesh: mesh.clone(),
            first,
            payload,
            done,
            progress,
            stop,
            workers,
        })
    }

    pub(crate) async fn submit(&self) -> Result<(), Error> {
        self.submit_as(self.mesh.clock().intent_id()).await
    }

    async fn submit_as(&self, intent: IntentId) -> Result<(), Error> {
        let id = self.mesh.clock().envelope_id();
        let envelope = Envelope::first(id, intent, self.first.clone(), self.payload.clone());
        match self.mesh.submit(envelope, Author::of(Role::Client, "bench")).await? {
            Submitted::New { .. } | Submitted::Repeated(_) => Ok(()),
            Submitted::Conflict(head) => Err(Error::Raced(head.record.intent)),
        }
    }

    pub(crate) async fn submit_and_wait(&self) -> Result<(), BenchError> {
        let intent = self.mesh.clock().intent_id();
        self.submit_as(intent.clone()).await?;
        match self.mesh.wait(&intent, Duration::from_secs(10)).await? {
            WaitEnd::Ended(_) => Ok(()),
            WaitEnd::Parked(head) => Err(BenchError::Ended(head.record.snapshot.status.to_string())),
            WaitEnd::TimedOut(_) => Err(BenchError::Ended("timed out".to_owned())),
        }
    }

    /// Waits until so many intents have come to the last stage, and their results stand.
    pub(crate) async fn wait_for(&self, count: usize) {
        loop {
            let progress = self.progress.notified();
            if self.done.load(Ordering::Acquire) >= count {
                return;
            }
            progress.await;
        }
    }

    /// Drains the workers, so that every commit stands.
    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        self.stop.send_replace(true);
        for worker in self.workers {
            if let Ok(ended) = worker.await {
                ended?;
            }
        }
        Ok(())
    }
}
