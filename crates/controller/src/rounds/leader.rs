//! The leader: runs the rounds while this controller holds the lease.

use tokio::task::JoinSet;

use crate::context::Context;
use crate::duty::{Duty, Task};
use crate::rounds::term::Term;

/// Runs a list of rounds in each term of this controller.
#[derive(Debug)]
pub(crate) struct Leader {
    rounds: fn(&Term) -> Vec<Task>,
}

impl Leader {
    /// Makes a leader that runs these rounds.
    pub(crate) fn new(rounds: fn(&Term) -> Vec<Task>) -> Self {
        Self { rounds }
    }
}

impl Duty for Leader {
    const NAME: &'static str = "leader";

    async fn run(self, cx: Context) {
        let (mut leadership, stop) = (cx.leadership.clone(), cx.stops.stop.clone());
        while let Some(is_leading) = stop.run_until_cancelled(leadership.changed()).await {
            if !is_leading {
                continue;
            }
            let term = Term::begin(&cx);
            let mut running = JoinSet::new();
            for Task { name, work } in (self.rounds)(&term) {
                tracing::debug!(round = name, "begins");
                running.spawn(work);
            }
            let failed = tokio::select! {
                () = stop.cancelled() => None,
                // The last change was to leading, so the next one is to not leading.
                _ = leadership.changed() => None,
                Some(ended) = running.join_next() => Some(ended),
            };
            // The next leader repeats whatever is cut off here, as after a crash.
            cx.stops.kill.run_until_cancelled(running.shutdown()).await;
            cx.stats.stopped();
            if let Some(ended) = failed {
                // A round that panics starts over, so only a bug in its runner can end it.
                let error = ended.err().map(|error| error.to_string());
                tracing::error!(error, "a round ended and will not be repeated");
                return;
            }
        }
    }
}
