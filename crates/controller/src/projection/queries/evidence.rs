//! The evidence on a version: its attempts, its pace, its last hops, its failures in a row.

use baton_envelope::{AgentName, AgentVersion, IntentId, Tally, Timestamp};

use crate::projection::columns::Version;
use crate::projection::tables::evidence;
use crate::projection::{Error, Projection, Streak, lock};

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

    /// How many hops in a row used up their attempts on a version, without a success in between. This answers at once.
    pub fn exhausted_in_a_row(&self, agent: &AgentName, version: &AgentVersion) -> u64 {
        // A lookup by two references would need a map of maps; cloning the names only counts references.
        let of = (agent.clone(), version.clone());
        lock(&self.inner.streaks).get(&of).map_or(0, |streak| streak.in_a_row)
    }

    /// The versions on which at least so many hops in a row used up their attempts, without a success in between. This
    /// answers at once.
    pub(crate) fn streaks(&self, at_least: u64) -> Vec<(Version, Streak)> {
        let streaks = lock(&self.inner.streaks);
        let long = streaks.iter().filter(|(_, streak)| streak.in_a_row >= at_least);
        long.map(|(of, streak)| (of.clone(), streak.clone())).collect()
    }
}
