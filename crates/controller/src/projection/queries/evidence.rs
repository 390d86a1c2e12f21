//! What was seen of a version: its attempts, its pace, its last hops, its breaker.

use baton_envelope::{AgentName, AgentVersion, IntentId, Tally, Timestamp};

use crate::projection::tables::evidence;
use crate::projection::{Error, Projection, lock};

impl Projection {
    /// What attempts of a version came to, counted in the whole seconds that began at `since` or later, at most a day
    /// back. `slow` counts those that took longer than `slow_over_ms`.
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

    /// How many intents per second ceased to hold a version over the last minute; `None` when none did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pace(&self, agent: &AgentName, version: &AgentVersion, now: Timestamp) -> Result<Option<f64>, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| evidence::pace(db, &of, now)).await
    }

    /// The last hops that a version ended well, the newest first: intent, hop, and the sequence of the commit. Some two
    /// hundred are remembered; their records may be purged by now.
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

    /// Whether three or more intents in a row were parked on a version, with none that went well between, the last of
    /// them within a minute. Answered at once.
    pub fn breaker_open(&self, agent: &AgentName, version: &AgentVersion, now: Timestamp) -> bool {
        // A key of two references would need a map of maps; the names are counted pointers.
        let of = (agent.clone(), version.clone());
        lock(&self.inner.streaks)
            .get(&of)
            .is_some_and(|streak| streak.is_open(now))
    }
}
