//! The router: takes raw intents from the intake and turns them into intents, or records why not.
//!
//! A message leaves the intake only after the ledger holds its intent or its rejection. It may come twice, to this
//! router or another. Its intent id derives from it, so both make the same intent, and the ticket's message id keeps
//! the ticket single.

use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::{Error, Intake, IntakeMessage, IntakeReader};
use tokio::sync::Semaphore;

use crate::backoff::Backoff;
use crate::context::{Context, Stops};
use crate::duty::Duty;
use crate::intake::routing::{Routing, Trouble};

/// How long an open pull may still deliver messages when the controller stops. The router hands these back at once;
/// otherwise they would wait until the broker's ack wait is over.
const LAST_PULL: Duration = Duration::from_millis(200);

/// Takes raw intents from the intake.
#[derive(Debug)]
pub(crate) struct Router;

/// Takes signals for open intents from the intake.
#[derive(Debug)]
pub(crate) struct Signals;

/// Takes the decisions of people from the intake.
#[derive(Debug)]
pub(crate) struct Decisions;

impl Duty for Router {
    const NAME: &'static str = "router";

    async fn run(self, cx: Context) {
        Reading::new(Intake::Router, cx).run().await;
    }
}

impl Duty for Signals {
    const NAME: &'static str = "signals";

    async fn run(self, cx: Context) {
        Reading::new(Intake::Signals, cx).run().await;
    }
}

impl Duty for Decisions {
    const NAME: &'static str = "decisions";

    async fn run(self, cx: Context) {
        Reading::new(Intake::Decisions, cx).run().await;
    }
}

/// The state of a running router.
struct Reading {
    of: Intake,
    routing: Arc<Routing>,
    batch: usize,
    slots: Arc<Semaphore>,
    stops: Stops,
}

impl Reading {
    fn new(of: Intake, cx: Context) -> Self {
        Self {
            of,
            routing: Arc::new(Routing::new(&cx)),
            batch: cx.config.route_batch.max(1),
            slots: Arc::new(Semaphore::new(cx.config.route_slots.max(1))),
            stops: cx.stops,
        }
    }

    async fn run(&self) {
        let mut backoff = Backoff::for_server();
        // The server refuses the others their consumers while the router still reads everything.
        while self.of != Intake::Router && !self.stops.stop.is_cancelled() {
            match self.routing.mesh.knows_waits().await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "the topology is not known"),
            }
            self.pause(&mut backoff).await;
        }
        while !self.stops.stop.is_cancelled() {
            if let Err(error) = self.read(&mut backoff).await {
                tracing::warn!(%error, "cannot read the intake, trying again");
                self.pause(&mut backoff).await;
            }
        }
    }

    /// Reads until the controller stops or the consumer fails. `run` then looks the consumer up again.
    async fn read(&self, backoff: &mut Backoff) -> Result<(), Error> {
        let Some(reader) = self
            .stops
            .stop
            .run_until_cancelled(self.routing.mesh.read_intake(self.of))
            .await
        else {
            return Ok(());
        };
        let reader = reader?;
        while !self.stops.stop.is_cancelled() {
            let started = tokio::time::Instant::now();
            let batch = self.pull(&reader).await?;
            // A pull that ends empty at once did not wait: pause, to avoid a busy loop.
            if batch.is_empty() && started.elapsed() < LAST_PULL {
                self.pause(backoff).await;
                continue;
            }
            for message in batch {
                self.start(message).await;
            }
            match self.routing.trouble() {
                Trouble {
                    routed: 0,
                    failed,
                    last,
                } if failed > 0 => {
                    let error = last.unwrap_or_default();
                    tracing::warn!(
                        failed,
                        error,
                        "raw intents cannot be taken in now; they stay in the intake"
                    );
                    self.pause(backoff).await;
                }
                Trouble { .. } => backoff.reset(),
            }
        }
        Ok(())
    }

    async fn pull(&self, reader: &IntakeReader) -> Result<Vec<IntakeMessage>, Error> {
        let pull = reader.next_batch(self.batch);
        tokio::pin!(pull);
        tokio::select! {
            batch = &mut pull => batch,
            () = self.stops.stop.cancelled() => match tokio::time::timeout(LAST_PULL, pull).await {
                Ok(batch) => batch,
                Err(_) => Ok(Vec::new()),
            },
        }
    }

    /// Starts to route a message when a slot is free; hands it back if the controller stops first.
    async fn start(&self, message: IntakeMessage) {
        let slot = Arc::clone(&self.slots).acquire_owned();
        let slot = tokio::select! {
            biased;
            () = self.stops.stop.cancelled() => None,
            slot = slot => slot.ok(),
        };
        match slot {
            Some(slot) => drop(
                self.stops
                    .tracker
                    .spawn(Arc::clone(&self.routing).finish(message, slot)),
            ),
            None => message.hand_back(Duration::ZERO).await,
        }
    }

    async fn pause(&self, backoff: &mut Backoff) {
        self.stops
            .stop
            .run_until_cancelled(backoff.wait(&self.routing.mesh))
            .await;
    }
}
