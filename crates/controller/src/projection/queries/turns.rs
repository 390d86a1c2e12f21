//! Whose turn it is.

use std::collections::HashSet;

use baton_envelope::{AgentName, Timestamp};
use baton_jetstream::Waiter;
use tokio::sync::watch;

use crate::projection::tables::turns::{self, Front, Lane, Submitter};
use crate::projection::touched::Touched;
use crate::projection::{Error, Projection, lock};

impl Projection {
    /// Reports each time that a lane was touched.
    pub(crate) fn turns(&self) -> watch::Receiver<u64> {
        self.inner.turns.subscribe()
    }

    /// The lanes that were touched since the last call.
    pub(crate) fn take_touched(&self) -> Touched {
        std::mem::take(&mut *lock(&self.inner.touched))
    }

    /// Every lane in which somebody is.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn lanes(&self) -> Result<HashSet<Lane>, Error> {
        Ok(self.ask(turns::lanes).await?.into_iter().collect())
    }

    /// The first of each of these keys that are open, in their order; each key with how many of it to give.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn fronts(&self, keys: Vec<(AgentName, String, u32)>) -> Result<Vec<Vec<Front>>, Error> {
        let of = |(agent, key, most): &(AgentName, String, u32), db: &rusqlite::Connection| {
            turns::fronts(db, (agent, key), *most)
        };
        self.ask(move |db| keys.iter().map(|key| of(key, db)).collect()).await
    }

    /// When each of these keys had its last turn, where its agent limits how often and it matters still.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn last_times(&self, keys: Vec<(AgentName, String)>) -> Result<Vec<Option<Timestamp>>, Error> {
        let of = |(agent, key): &(AgentName, String), db: &rusqlite::Connection| turns::last_time(db, (agent, key));
        self.ask(move |db| keys.iter().map(|key| of(key, db)).collect()).await
    }

    /// The submitters of an agent of whom something waits, with the first `most` of each, and how many intents of all
    /// submitters are in its queues.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn submitters(&self, agent: &AgentName, most: u32) -> Result<(Vec<Submitter>, u64), Error> {
        let agent = agent.clone();
        self.ask(move |db| Ok((turns::submitters(db, &agent, most)?, turns::queued(db, &agent)?)))
            .await
    }

    /// The agents that have raw intents without a place.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn with_unplaced(&self) -> Result<Vec<AgentName>, Error> {
        self.ask(turns::with_unplaced).await
    }

    /// Raw intents of an agent without a place that came into the intake before a sequence, with their keys, in the order in
    /// which they came.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn unplaced(&self, agent: &AgentName, before: u64) -> Result<Vec<(String, Waiter)>, Error> {
        let agent = agent.clone();
        self.ask(move |db| turns::unplaced(db, &agent, before)).await
    }
}
