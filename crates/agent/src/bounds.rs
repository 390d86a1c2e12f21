//! When a run may begin, and when it is too late.

use std::sync::Arc;
use std::time::Duration;

use baton_envelope::Envelope;

use crate::held::Held;
use crate::renewal::extend;
use crate::run::{RunResult, WorkerContext};

/// How often the clock is read until a deadline; the last time just before it.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

impl WorkerContext {
    /// Keeps a ticket until the rate of its agent lets it be started; `false` when the worker stops first.
    pub(crate) async fn wait_to_start(&self, held: &Held) -> bool {
        tokio::select! {
            biased;
            () = self.abort.cancelled() => false,
            () = self.allowance.start() => true,
            () = extend(held) => true,
        }
    }

    /// Waits until nothing of what was taken away from this process runs here any more: a hop must not run beside what is
    /// left of it. `false` when the worker stops first.
    pub(crate) async fn wait_for(&self, others: Vec<Arc<Held>>, held: &Held) -> bool {
        for other in others {
            // Nobody may have told it yet.
            other.doubt();
            tokio::select! {
                biased;
                () = self.abort.cancelled() => return false,
                () = other.ended() => {}
                () = extend(held) => {}
            }
        }
        true
    }

    /// A handler that ends after the deadline was too late, whatever it came to.
    pub(crate) fn in_time(&self, envelope: &Envelope, ended: RunResult) -> RunResult {
        match envelope.deadline {
            Some(deadline) if deadline <= self.mesh.now() => RunResult::Late,
            Some(_) | None => ended,
        }
    }

    /// Resolves when the deadline of the intent has passed, or the attempt has run for as long as it may.
    pub(crate) async fn out_of_time(&self, envelope: &Envelope) -> RunResult {
        let timeout = self.policy(Some(envelope)).attempt_timeout;
        let overrun = async {
            match timeout {
                Some(timeout) => {
                    tokio::time::sleep(timeout).await;
                    timeout
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.deadline(envelope) => RunResult::Late,
            timeout = overrun => RunResult::Overran(timeout),
        }
    }

    /// Resolves when the deadline of the intent has passed.
    async fn deadline(&self, envelope: &Envelope) {
        let Some(deadline) = envelope.deadline else {
            return std::future::pending().await;
        };
        loop {
            let left = deadline.since(self.mesh.now());
            if left.is_zero() {
                return;
            }
            // A clock that is set meanwhile is noticed.
            tokio::time::sleep(left.min(CLOCK_CHECK)).await;
        }
    }
}
