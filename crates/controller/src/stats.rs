//! Counts how the leader's rounds went, for a metrics endpoint, `doctor` or a test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::Timestamp;

/// How one round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundOutcome {
    /// It did its work.
    Ok,
    /// It could not do all of its work: an error, a panic, or a timeout. The next round tries again.
    Failed,
    /// It did nothing, because the observations were missing or too old, or because another controller leads by now.
    Skipped,
}

/// The last round of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRound {
    /// When it ended.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: RoundOutcome,
    /// How long it took.
    pub took: Duration,
    /// Why it failed or was skipped.
    pub why: Option<String>,
}

/// The rounds of one name since this controller started, over all terms in which it led.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoundStats {
    /// How often it succeeded.
    pub ok: u64,
    /// How often it failed.
    pub failed: u64,
    /// How often it was skipped.
    pub skipped: u64,
    /// The total time of all of them.
    pub took: Duration,
    /// The last one that ended.
    pub last: Option<LastRound>,
    /// When the running round began; a time long ago means that it hangs.
    pub running_since: Option<Timestamp>,
}

/// The numbers of one controller; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    rounds: Arc<Mutex<BTreeMap<&'static str, RoundStats>>>,
    conflicts: Arc<AtomicU64>,
}

impl Stats {
    /// Every round that this controller has started, by name; empty if it never led.
    pub fn rounds(&self) -> BTreeMap<&'static str, RoundStats> {
        self.lock().clone()
    }

    /// How many raw intents this controller rejected because their id, such as a `Nats-Msg-Id`, had come with other work
    /// before.
    pub fn conflicts(&self) -> u64 {
        self.conflicts.load(Ordering::Relaxed)
    }

    /// Notes such a raw intent.
    pub(crate) fn conflicted(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a round begins.
    pub(crate) fn begun(&self, name: &'static str, at: Timestamp) {
        self.lock().entry(name).or_default().running_since = Some(at);
    }

    /// Notes that a round ended.
    pub(crate) fn ended(&self, name: &'static str, last: LastRound) {
        let mut rounds = self.lock();
        let stats = rounds.entry(name).or_default();
        match last.outcome {
            RoundOutcome::Ok => stats.ok += 1,
            RoundOutcome::Failed => stats.failed += 1,
            RoundOutcome::Skipped => stats.skipped += 1,
        }
        stats.took += last.took;
        stats.running_since = None;
        stats.last = Some(last);
    }

    /// Notes that the term, and with it every running round, is over.
    pub(crate) fn stopped(&self) {
        for stats in self.lock().values_mut() {
            stats.running_since = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, RoundStats>> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
