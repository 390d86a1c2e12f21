//! What this process has been given and has not finished: each piece of work once, with the delivery that must be kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::{EnvelopeId, IntentId};
use baton_jetstream::{Delivery, Extender, Mesh};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// A delivery that is held.
#[derive(Debug)]
pub(crate) struct Held {
    extender: Extender,
    intent: IntentId,
    /// The hop's, since an agent that hands off to itself has two hops of one intent for a moment.
    envelope: Option<EnvelopeId>,
    /// When the server was last told, or has delivered.
    kept_at: Mutex<Instant>,
    /// Told when somebody says that the hop is this worker's no longer.
    doubted: Notify,
    /// Closed when nothing of its run is left in this process. It never has a permit.
    over: Semaphore,
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

    /// Has the hop looked up in the ledger.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Says that nothing of its run is left in this process: neither the handler nor a program that it has started.
    pub(crate) fn end(&self) {
        self.over.close();
    }

    /// Resolves when nothing of its run is left in this process.
    pub(crate) async fn ended(&self) {
        drop(self.over.acquire().await);
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
    work: Mutex<HashMap<IntentId, Vec<Arc<Held>>>>,
    /// Whether a handler was seen that blocks its thread: the others are then polled so that the runtime goes on.
    blocks: AtomicBool,
}

/// What [`AllHeld::enter`] has taken note of.
pub(crate) struct Entered {
    /// Keeps it noted.
    pub(crate) entry: Entry,
    /// The delivery.
    pub(crate) held: Arc<Held>,
    /// Other work of the same intent that this process holds: an earlier hop, or this one before it was taken away.
    pub(crate) others: Vec<Arc<Held>>,
}

impl AllHeld {
    /// Takes note of a delivery; `None` when the same work is held already.
    pub(crate) fn enter(self: &Arc<Self>, delivery: &Delivery) -> Option<Entered> {
        let ticket = &delivery.ticket;
        let record = ticket.record.as_ref();
        let envelope = record
            .and_then(|record| record.envelope.as_ref())
            .map(|envelope| envelope.id);
        let mut all = self.work();
        let same = all.entry(ticket.intent.clone()).or_default();
        if same.iter().any(|held| held.envelope == envelope) {
            return None;
        }
        let held = Arc::new(Held {
            extender: delivery.extender(),
            intent: ticket.intent.clone(),
            envelope,
            kept_at: Mutex::new(Instant::now()),
            doubted: Notify::new(),
            over: Semaphore::const_new(0),
            polls: Polls::default(),
        });
        let others = same.clone();
        same.push(Arc::clone(&held));
        let entry = Entry {
            all: Arc::clone(self),
            held: Arc::clone(&held),
        };
        Some(Entered { entry, held, others })
    }

    /// The deliveries that nobody has extended for so long.
    pub(crate) fn late(&self, by: Duration) -> Vec<Arc<Held>> {
        let all = self.work();
        all.values()
            .flatten()
            .filter(|held| held.is_late(by))
            .cloned()
            .collect()
    }

    /// The handlers that are being polled, and for how many looks in a row, with this one, the same poll was found. For one
    /// caller only, which is the watchdog.
    pub(crate) fn lasting_polls(&self) -> Vec<(IntentId, u32)> {
        let all = self.work();
        let looks = all.values().flatten().map(|held| (held.intent(), held.polls.look()));
        looks
            .filter(|(_, looks)| *looks > 0)
            .map(|(intent, looks)| (intent.clone(), looks))
            .collect()
    }

    /// Has everything that is held of these intents looked up in the ledger.
    pub(crate) fn doubt(&self, intents: &[IntentId]) {
        let all = self.work();
        for held in intents.iter().filter_map(|intent| all.get(intent)).flatten() {
            held.doubt();
        }
    }

    pub(crate) fn blocks(&self) -> bool {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Says that a handler blocks; `true` the first time.
    pub(crate) fn seen_blocking(&self) -> bool {
        !self.blocks.swap(true, Ordering::Relaxed)
    }

    fn work(&self) -> MutexGuard<'_, HashMap<IntentId, Vec<Arc<Held>>>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that this process is at, for as long as this lives; a panic ends it too.
#[derive(Debug)]
pub(crate) struct Entry {
    all: Arc<AllHeld>,
    held: Arc<Held>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.held.end();
        let mut all = self.all.work();
        if let Some(same) = all.get_mut(&self.held.intent) {
            same.retain(|held| !Arc::ptr_eq(held, &self.held));
            if same.is_empty() {
                all.remove(&self.held.intent);
            }
        }
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
