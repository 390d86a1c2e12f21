//! What is due.

use baton_envelope::Timestamp;
use baton_jetstream::Due;

use crate::projection::tables::timers::{self, DuePage, DuePlace};
use crate::projection::{Error, Projection};

impl Projection {
    /// The intents of which something is due, the longest overdue first, behind a place: at most `limit` rows of the index.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn due(&self, now: Timestamp, after: Option<DuePlace>, limit: u32) -> Result<DuePage, Error> {
        self.ask(move |db| timers::due(db, now, after.as_ref(), limit)).await
    }

    /// Disarms what was due of intents at these times, until a new record of theirs comes.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn disarm(&self, dues: Vec<(Due, Timestamp)>) -> Result<(), Error> {
        self.ask(move |db| timers::disarm(db, &dues)).await
    }
}
