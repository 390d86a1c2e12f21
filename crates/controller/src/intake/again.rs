//! Answers whoever submits the same work once more and wants its answer somewhere else: a caller that was restarted has a
//! new subject to hear on.

use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::{ControllerMesh, Head, WaitEnd};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::context::{Context, Stops};

/// How many callers wait at one controller at a time. Further ones hear nothing until they submit again.
const MOST: usize = 256;
/// How long a caller waits.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How long to wait before looking again at an intent that waits for a person.
const PARKED: Duration = Duration::from_secs(5);

/// Those who wait for the answer of an intent that they did not submit first.
#[derive(Debug)]
pub(crate) struct Again {
    mesh: ControllerMesh,
    stops: Stops,
    slots: Arc<Semaphore>,
}

impl Again {
    pub(crate) fn new(cx: &Context) -> Self {
        Self {
            mesh: cx.mesh.clone(),
            stops: cx.stops.clone(),
            slots: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// Tells `reply_to` how the intent ended: now, or when it has. As any answer, it may be lost: with this controller, it
    /// is. The ledger has it.
    pub(crate) async fn tell(&self, head: Box<Head>, reply_to: String) {
        let is_own = head.record.snapshot.reply_to.as_deref() == Some(reply_to.as_str());
        if head.record.snapshot.status.is_terminal() {
            // In an open mesh whoever compared the two submits has answered there.
            if !is_own || self.mesh.is_secured() {
                self.mesh.tell(&head.record, &reply_to).await;
            }
            return;
        }
        // The end is told there anyway.
        if is_own {
            return;
        }
        let intent = head.record.intent.clone();
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            tracing::warn!(%intent, %reply_to, "too many wait for an answer; this one has to submit again");
            return;
        };
        let (mesh, stop) = (self.mesh.clone(), self.stops.stop.clone());
        let waits = async move {
            let until = Instant::now() + LONGEST;
            while Instant::now() < until {
                match mesh.wait(&intent, until - Instant::now()).await {
                    Ok(WaitEnd::Ended(head)) => {
                        mesh.tell(&head.record, &reply_to).await;
                        break;
                    }
                    Ok(WaitEnd::TimedOut(_)) => break,
                    Ok(WaitEnd::Parked(_)) => tokio::time::sleep(PARKED).await,
                    Err(error) => {
                        tracing::debug!(%error, %intent, "cannot look whether it has ended");
                        tokio::time::sleep(PARKED).await;
                    }
                }
            }
            drop(slot);
        };
        self.stops
            .tracker
            .spawn(async move { stop.run_until_cancelled(Box::pin(waits)).await });
    }
}
