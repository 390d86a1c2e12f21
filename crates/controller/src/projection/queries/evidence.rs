//! The evidence on a version: its attempts, its pace, its last hops, its breaker.

use baton_envelope::{AgentName, AgentVersion, IntentId, Tally, Timestamp};

use crate::projection::tables::evidence;
use crate::projection::{Error, Projection, lock};

impl Projection {
    /// The attempts of a version by outcome, counted in the whole seconds from `since` on, at most a day back. `slow`
    /// counts those that took longer than `slow_over_ms`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tally(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        since: Timestamp,
        slow_over_ms: Option<f64>,
    ) -> Result<Tally, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| evidence::tally(db, &of, since, slow_over_ms)).await
    }

    /// How many intents per second stopped holding a version over the last minute; `None` if none did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pace(&self, agent: &AgentName, version: &AgentVersion, now: Timestamp) -> Result<Option<f64>, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| evidence::pace(db, &of, now)).await
    }

    /// The last hops that a version completed, newest first: intent, hop, and the sequence of the commit. The
    /// projection remembers about two hundred; their records may be purged by now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_done(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        n: usize,
    ) -> Result<Vec<(IntentId, u32, u64)>, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| evidence::last_done(db, &of, n)).await
    }

    /// Whether three or more intents in a row parked on a version, without a success in between, the last within a
    /// minute. This answers at once.
    pub fn breaker_open(&self, agent: &AgentName, version: &AgentVersion, now: Timestamp) -> bool {
        // A lookup by two references would need a map of maps; cloning the names only counts references.
        let of = (agent.clone(), version.clone());
        lock(&self.inner.streaks)
            .get(&of)
            .is_some_and(|streak| streak.is_open(now))
    }
}
