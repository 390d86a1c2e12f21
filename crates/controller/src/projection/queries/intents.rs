//! What the open intents hold.

use std::collections::BTreeMap;

use baton_envelope::control::HoldView;
use baton_envelope::{AgentName, AgentVersion, Cause, IntentId, Timestamp};

use crate::projection::columns::Version;
use crate::projection::tables::intents::{self, Overdue};
use crate::projection::tables::odd::{self, Odd};
use crate::projection::tables::timers;
use crate::projection::{Error, Projection};

impl Projection {
    /// How many open intents hold which version, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counts(&self) -> Result<BTreeMap<Version, BTreeMap<Cause, u64>>, Error> {
        self.ask_store(|store| Ok(store.counts().clone())).await
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

    /// The work that people do by hand, of one agent or of all, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn by_hand(&self, agent: Option<AgentName>) -> Result<Vec<IntentId>, Error> {
        self.ask(move |db| intents::by_hand(db, agent.as_ref())).await
    }

    /// Up to `limit` open intents that have not moved since a time, in the order of their ids, after this one.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn unmoved(&self, before: Timestamp, after: String, limit: u32) -> Result<Vec<IntentId>, Error> {
        self.ask(move |db| intents::unmoved(db, before, &after, limit)).await
    }

    /// Whether an open intent has moved since a time.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn has_moved_since(&self, since: Timestamp) -> Result<bool, Error> {
        self.ask(move |db| intents::has_moved_since(db, since)).await
    }

    /// The agent and the version of an intent, if it is open.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn place(&self, intent: &IntentId) -> Result<Option<Version>, Error> {
        let intent = intent.clone();
        self.ask(move |db| intents::place(db, &intent)).await
    }

    /// Up to `limit` open intents of a version whose work waits in its queue or for its next attempt, and whose last record
    /// is not after this one, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn waiting_work(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        through: u64,
        limit: u32,
    ) -> Result<Vec<IntentId>, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| intents::waiting_work(db, &of, through, limit)).await
    }

    /// Some open intents of a version that wait in its queue since this time or longer, with the sequence of their last
    /// record.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn queued_since(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        since: Timestamp,
    ) -> Result<Vec<(IntentId, u64)>, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| intents::queued_since(db, &of, since)).await
    }

    /// Some open intents that wait in a queue for longer than they themselves allow, each so many times over, with the
    /// sequence of their last record.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn queued_too_long(&self, now: Timestamp, times: u32) -> Result<Vec<Overdue>, Error> {
        self.ask(move |db| intents::queued_too_long(db, now, times)).await
    }

    /// Forgets open intents of which the ledger has nothing any more.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget(&self, intents: Vec<IntentId>) -> Result<(), Error> {
        self.change(move |store| {
            let changes = store.transact(|db| intents::forget(db, &intents))?;
            store.recount(changes);
            Ok(())
        })
        .await
    }

    /// The open intents that owe something: a ticket, by a record that is not newer than `before`; that they go on; or their
    /// end, since their deadline has passed.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn owing(&self, before: Timestamp, now: Timestamp) -> Result<Vec<IntentId>, Error> {
        self.ask_store(move |store| {
            let mut found = intents::owing(store.db(), store.counts(), before, now)?;
            found.extend(timers::late(store.db(), now)?);
            Ok(found)
        })
        .await
    }

    /// Whether an open intent holds a version.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn is_held(&self, agent: &AgentName, version: &AgentVersion) -> Result<bool, Error> {
        let of = (agent.clone(), version.clone());
        self.ask(move |db| intents::is_held(db, &of)).await
    }

    /// The subjects of the ledger with a record that does not follow from those before it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn odd(&self) -> Result<Vec<Odd>, Error> {
        self.ask(odd::all).await
    }

    /// Forgets odd subjects that the sweep is done with.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn forget_odd(&self, done: Vec<Odd>) -> Result<(), Error> {
        self.ask(move |db| odd::forget(db, &done)).await
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
