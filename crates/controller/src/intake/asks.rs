//! Agents that are asked: each ask becomes an intent as a raw message of the intake does, and its end is the answer.

use std::sync::Arc;
use std::time::Duration;

use baton_envelope::control::ControlError;
use baton_envelope::{IntentId, codes};
use baton_jetstream::{Ask, Error, WaitEnd};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::context::{Context, Stops};
use crate::duty::Duty;
use crate::intake::routing::{Routing, Taken, Way};

/// How many asks wait at one controller at a time. Further ones are told at once how to fetch their answer.
const MOST_WAITING: usize = 1024;

/// Takes asks and answers them.
#[derive(Debug)]
pub(crate) struct AnswerAsks;

impl Duty for AnswerAsks {
    const NAME: &'static str = "asks";

    async fn run(self, cx: Context) {
        cx.until_stopped(listen(&cx)).await;
    }
}

/// What answering takes.
struct Answering {
    routing: Routing,
    waiting: Semaphore,
    stops: Stops,
}

async fn listen(cx: &Context) {
    let answering = Arc::new(Answering {
        routing: Routing::new(cx),
        waiting: Semaphore::new(MOST_WAITING),
        stops: cx.stops.clone(),
    });
    let mut backoff = Backoff::for_server();
    loop {
        match cx.mesh.serve_asks().await {
            Ok(mut asks) => {
                backoff.reset();
                while let Some(ask) = asks.next().await {
                    let (answering, kill) = (Arc::clone(&answering), cx.stops.kill.clone());
                    // Cut off, the asker hears nothing. It asks again, and its id finds the intent.
                    cx.stops
                        .tracker
                        .spawn(async move { kill.run_until_cancelled(Box::pin(answering.answer(ask))).await });
                }
            }
            Err(error) => tracing::warn!(%error, "cannot listen for asks, trying again"),
        }
        backoff.wait(&cx.mesh).await;
    }
}

impl Answering {
    async fn answer(&self, ask: Ask) {
        let asked = Instant::now();
        let (taken, wait) = {
            let raw = ask.raw();
            match ask.wait() {
                Ok(wait) => (Box::pin(self.routing.take(&raw, Way::Asked)).await, wait),
                Err(rejection) => (self.routing.reject(&raw, None, rejection.into()).await, Duration::ZERO),
            }
        };
        let intent = match taken {
            Ok(Taken::New(intent)) => intent,
            Ok(Taken::Known { head, .. }) if head.record.snapshot.status.is_terminal() => return ask.end(&head).await,
            Ok(Taken::Known { head, .. }) => head.record.intent.clone(),
            Ok(Taken::Rejected(intent, rejection)) => {
                return ask.refuse(Some(&intent), rejection.refusal()).await;
            }
            // Neither happens to what is asked: it names an agent, and comes once.
            Ok(Taken::Archived | Taken::Held | Taken::Told) => {
                return ask.refuse(None, failed("the ask was not taken", None)).await;
            }
            Err(error) => return ask.refuse(None, failed(&error.to_string(), None)).await,
        };
        let left = (asked + wait).saturating_duration_since(Instant::now());
        match self.end(&intent, left).await {
            Ok(WaitEnd::Ended(head)) => ask.end(&head).await,
            Ok(WaitEnd::Parked(head) | WaitEnd::TimedOut(Some(head))) => ask.unanswered(&head).await,
            Ok(WaitEnd::TimedOut(None)) => {
                let problem = "the server does not say where the intent stands";
                ask.refuse(None, failed(problem, Some(&intent))).await;
            }
            Err(error) => ask.refuse(None, failed(&error.to_string(), Some(&intent))).await,
        }
    }

    /// Waits for the end of an intent, for as long as there is room to wait and this controller runs.
    async fn end(&self, intent: &IntentId, wait: Duration) -> Result<WaitEnd, Error> {
        let mesh = &self.routing.mesh;
        let Ok(_slot) = self.waiting.try_acquire() else {
            return mesh.wait(intent, Duration::ZERO).await;
        };
        let waited = self.stops.stop.run_until_cancelled(mesh.wait(intent, wait)).await;
        match waited {
            Some(end) => end,
            None => mesh.wait(intent, Duration::ZERO).await,
        }
    }
}

fn failed(problem: &str, intent: Option<&IntentId>) -> ControlError {
    let fix = match intent {
        Some(intent) => format!("it was submitted: ask again with the header Baton-Intent: {intent}"),
        None => "ask again with the same Baton-Intent: it is the same intent".to_owned(),
    };
    ControlError::new(codes::FAILED, problem, fix)
}
