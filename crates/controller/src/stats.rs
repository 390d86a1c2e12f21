//! How the leader's rounds went, counted for whoever asks: an endpoint for metrics, `doctor`, a test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::Timestamp;

/// How one round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundOutcome {
    /// It did what it is for.
    Ok,
    /// It could not do all of it: an error, a panic, or no end in time. The next round tries again.
    Failed,
    /// It did nothing, because what it rests on was missing or too old, or because another controller leads by now.
    Skipped,
}

/// The last round of a name.
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
    /// How often it ended well.
    pub ok: u64,
    /// How often it failed.
    pub failed: u64,
    /// How often it was skipped.
    pub skipped: u64,
    /// How long all of them took together.
    pub took: Duration,
    /// The last one that ended.
    pub last: Option<LastRound>,
    /// Since when one runs now; a time long ago is a round that hangs.
    pub running_since: Option<Timestamp>,
}

/// The numbers of one controller; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    rounds: Arc<Mutex<BTreeMap<&'static str, RoundStats>>>,
}

impl Stats {
    /// Every round that this controller has begun, by name; empty if it never led.
    pub fn rounds(&self) -> BTreeMap<&'static str, RoundStats> {
        self.lock().clone()
    }

    /// A round begins.
    pub(crate) fn begun(&self, name: &'static str, at: Timestamp) {
        self.lock().entry(name).or_default().running_since = Some(at);
    }

    /// A round has ended.
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

    /// The term is over, and with it whatever ran.
    pub(crate) fn stopped(&self) {
        for stats in self.lock().values_mut() {
            stats.running_since = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, RoundStats>> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
