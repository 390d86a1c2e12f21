//! What waits for room under the cap of its agent.

use std::collections::BTreeMap;

use baton_envelope::{AgentName, IntentId};

use crate::projection::tables::capped;
use crate::projection::{Error, Projection};

impl Projection {
    /// How many intents of each agent wait for room under its cap.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn capped(&self) -> Result<BTreeMap<AgentName, u64>, Error> {
        self.ask(capped::count).await
    }

    /// Some intents of an agent that wait for room under its cap, those first that have waited longest.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn waiting_for_room(&self, agent: &AgentName) -> Result<Vec<IntentId>, Error> {
        let agent = agent.clone();
        self.ask(move |db| capped::waiting(db, &agent)).await
    }
}
