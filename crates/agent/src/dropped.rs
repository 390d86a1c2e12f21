//! The tickets that a worker dropped because no record owes them, counted for its heartbeats.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::{DeliveryFacts, is_fresh};
use tokio::time::Instant;

/// How long a dropped ticket is told of.
const TOLD_FOR: Duration = Duration::from_secs(60 * 60);

/// How many tickets were dropped, and when the last was.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    found: Mutex<Option<(u32, Instant)>>,
}

impl Dropped {
    /// Counts a ticket if it came for the first time. One that comes again may be of an intent that has ended and was
    /// archived since: a crash of the server brings back what was acked.
    pub(crate) fn note(&self, facts: DeliveryFacts) {
        if is_fresh(facts) {
            self.note_any();
        }
    }

    pub(crate) fn note_any(&self) {
        let mut found = self.found();
        let before = found.filter(|(_, last)| last.elapsed() < TOLD_FOR);
        let count = before.map_or(0, |(count, _)| count).saturating_add(1);
        *found = Some((count, Instant::now()));
    }

    /// How many tickets were dropped of late.
    pub(crate) fn count(&self) -> u32 {
        let found = self.found().filter(|(_, last)| last.elapsed() < TOLD_FOR);
        found.map_or(0, |(count, _)| count)
    }

    fn found(&self) -> MutexGuard<'_, Option<(u32, Instant)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
