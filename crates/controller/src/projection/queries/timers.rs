//! What is due.

use baton_envelope::Timestamp;
use baton_jetstream::Due;

use crate::projection::tables::timers;
use crate::projection::{Error, Projection};

impl Projection {
    /// The intents of which something is due, the longest overdue first.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.ask(move |db| timers::due(db, now, limit)).await
    }

    /// Disarms what was due of intents until a new record of theirs comes.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn disarm(&self, dues: Vec<Due>, now: Timestamp) -> Result<(), Error> {
        self.ask(move |db| timers::disarm(db, &dues, now)).await
    }
}
