//! What this process has been given and has not finished: each piece of work once, with the delivery that must be kept.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::{EnvelopeId, IntentId};
use baton_jetstream::{Delivery, Extender, Mesh};
use tokio::sync::Notify;
use tokio::time::Instant;

/// One hop's work: by its envelope, since an agent that hands off to itself has two hops of one intent for a moment.
type Work = (IntentId, Option<EnvelopeId>);

/// A delivery that is held.
#[derive(Debug)]
pub(crate) struct Held {
    extender: Extender,
    intent: IntentId,
    /// When the server was last told, or has delivered.
    kept_at: Mutex<Instant>,
    /// Told when somebody says that the hop is this worker's no longer.
    doubted: Notify,
    polls: Polls,
}

/// Counts when a poll of the handler begins and when it ends, so that another thread sees one that lasts. No clock is read
/// for it.
#[derive(Debug, Default)]
struct Polls {
    /// Odd while a poll lasts.
    turns: AtomicU64,
    /// What `turns` was at the last look, and how many looks have found it so. Only the watchdog writes them.
    seen: AtomicU64,
    looks: AtomicU32,
}

impl Polls {
    /// How many looks in a row have found the same poll.
    fn look(&self) -> u32 {
        let turns = self.turns.load(Ordering::Relaxed);
        let is_same = self.seen.swap(turns, Ordering::Relaxed) == turns;
        let looks = match (is_same, turns % 2 == 1) {
            (true, true) => self.looks.load(Ordering::Relaxed) + 1,
            (false, true) => 1,
            (_, false) => 0,
        };
        self.looks.store(looks, Ordering::Relaxed);
        looks
    }
}

impl Held {
    /// The intent.
    pub(crate) fn intent(&self) -> &IntentId {
        &self.intent
    }

    /// Resolves when somebody has said that the hop is this worker's no longer. Only the ledger knows.
    pub(crate) async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// Tells the broker that the work goes on.
    pub(crate) async fn extend(&self) {
        self.extender.extend().await;
        self.is_kept();
    }

    /// The same over another connection.
    pub(crate) async fn extend_through(&self, mesh: &Mesh) {
        self.extender.through(mesh).extend().await;
        self.is_kept();
    }

    /// A poll of the handler begins, or has ended.
    pub(crate) fn turns(&self) {
        self.polls.turns.fetch_add(1, Ordering::Relaxed);
    }

    fn is_kept(&self) {
        *self.kept_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_late(&self, by: Duration) -> bool {
        self.kept_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > by
    }
}

/// All that this process holds.
#[derive(Debug, Default)]
pub(crate) struct AllHeld {
    work: Mutex<HashMap<Work, Arc<Held>>>,
    /// Whether a handler was seen that blocks its thread: the others are then polled so that the runtime goes on.
    blocks: AtomicBool,
}

impl AllHeld {
    /// Takes note of a delivery; `None` when the same work is held already.
    pub(crate) fn enter(self: &Arc<Self>, delivery: &Delivery) -> Option<(Entry, Arc<Held>)> {
        let ticket = &delivery.ticket;
        let record = ticket.record.as_ref();
        let envelope = record
            .and_then(|record| record.envelope.as_ref())
            .map(|envelope| envelope.id);
        let work = (ticket.intent.clone(), envelope);
        let mut all = self.work();
        if all.contains_key(&work) {
            return None;
        }
        let held = Arc::new(Held {
            extender: delivery.extender(),
            intent: ticket.intent.clone(),
            kept_at: Mutex::new(Instant::now()),
            doubted: Notify::new(),
            polls: Polls::default(),
        });
        all.insert(work.clone(), Arc::clone(&held));
        let entry = Entry {
            all: Arc::clone(self),
            work,
        };
        Some((entry, held))
    }

    /// The deliveries that nobody has extended for so long.
    pub(crate) fn late(&self, by: Duration) -> Vec<Arc<Held>> {
        self.work().values().filter(|held| held.is_late(by)).cloned().collect()
    }

    /// The handlers that are being polled, and for how many looks in a row, with this one, the same poll was found. For one
    /// caller only, which is the watchdog.
    pub(crate) fn lasting_polls(&self) -> Vec<(IntentId, u32)> {
        let all = self.work();
        let looks = all.values().map(|held| (held.intent(), held.polls.look()));
        looks
            .filter(|(_, looks)| *looks > 0)
            .map(|(intent, looks)| (intent.clone(), looks))
            .collect()
    }

    /// Has everything that is held of these intents looked up in the ledger.
    pub(crate) fn doubt(&self, intents: &[IntentId]) {
        let intents: HashSet<&IntentId> = intents.iter().collect();
        for held in self.work().values().filter(|held| intents.contains(&held.intent)) {
            held.doubted.notify_one();
        }
    }

    pub(crate) fn blocks(&self) -> bool {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Says that a handler blocks; `true` the first time.
    pub(crate) fn seen_blocking(&self) -> bool {
        !self.blocks.swap(true, Ordering::Relaxed)
    }

    fn work(&self) -> MutexGuard<'_, HashMap<Work, Arc<Held>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that this process is at, for as long as this lives; a panic ends it too.
#[derive(Debug)]
pub(crate) struct Entry {
    all: Arc<AllHeld>,
    work: Work,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.all.work().remove(&self.work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_poll_that_lasts_is_counted() {
        let polls = Polls::default();
        let turns = || polls.turns.fetch_add(1, Ordering::Relaxed);
        assert_eq!([polls.look(), polls.look()], [0, 0], "not polled yet");
        turns();
        assert_eq!([polls.look(), polls.look(), polls.look()], [1, 2, 3]);
        turns();
        assert_eq!([polls.look(), polls.look()], [0, 0], "the poll has ended");
        turns();
        assert_eq!(polls.look(), 1);
        turns();
        turns();
        assert_eq!(polls.look(), 1, "another poll");
    }
}
