//! Parents and their children.

use baton_envelope::{IntentId, Timestamp};

use crate::projection::tables::children::{self, ChildRow, DueParent, Ended, Look};
use crate::projection::{Error, Projection};

impl Projection {
    /// The parents to look at, the longest due first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn due_parents(&self, now: Timestamp, limit: u32) -> Result<Vec<DueParent>, Error> {
        self.ask(move |db| children::due(db, now, limit)).await
    }

    /// Notes that parents were looked at.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn looked_at(&self, looked: Vec<(DueParent, Look)>) -> Result<(), Error> {
        self.change(move |store| store.transact(|db| children::looked(db, &looked)))
            .await
    }

    /// Whether nothing is left to do about the children of a closed intent.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn is_settled(&self, parent: &IntentId) -> Result<bool, Error> {
        let parent = parent.clone();
        self.ask(move |db| children::is_settled(db, &parent)).await
    }

    /// The children of a parent, as their last records have them.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn children_of(&self, parent: &IntentId) -> Result<Vec<ChildRow>, Error> {
        let parent = parent.clone();
        self.ask(move |db| children::of(db, &parent)).await
    }

    /// How many children of a parent are known, how many of them have ended, and those of these that ended after a record.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn ended_after(&self, parent: &IntentId, after: u64) -> Result<Ended, Error> {
        let parent = parent.clone();
        self.ask(move |db| children::ended_after(db, &parent, after)).await
    }
}
