//! What the open intents hold.

use std::collections::BTreeMap;

use baton_envelope::control::HoldView;
use baton_envelope::{AgentName, AgentVersion, Cause, IntentId};

use crate::projection::columns::Version;
use crate::projection::tables::intents;
use crate::projection::{Error, Projection};

impl Projection {
    /// How many open intents hold which version, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counts(&self) -> Result<BTreeMap<Version, BTreeMap<Cause, u64>>, Error> {
        self.ask(intents::counts).await
    }

    /// What holds a version, by cause, with the oldest intents of each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_views(&self, agent: &AgentName, version: &AgentVersion) -> Result<Vec<HoldView>, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| intents::hold_views(db, &of)).await
    }

    /// Every intent that holds a version, and why, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held(&self, agent: &AgentName, version: &AgentVersion) -> Result<Vec<(IntentId, Cause)>, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| intents::held(db, &of)).await
    }

    /// The kinds of the open intents that an agent has, in any version.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kinds(&self, agent: &AgentName) -> Result<Vec<String>, Error> {
        let agent = agent.clone();
        self.ask(move |db| intents::kinds(db, &agent)).await
    }
}
