//! Whether the writes of a process are sent one by one or in groups: whichever was measured to be faster on its busiest stream,
//! the ledger.
//!
//! A client cannot ask a server whether it syncs each write to disk. So nothing is assumed: while many writes wait, both
//! ways are timed for a moment, and the faster one is kept until the measurement is old.

use std::time::Duration;

use tokio::time::Instant;

/// How many writes must be outstanding in the mean for a measurement: with fewer the writers are the limit, not the server.
pub(super) const BUSY: usize = 32;
/// How long nothing may be answered within one measurement.
const GAP: Duration = Duration::from_secs(1);
/// How long writes must have come, without such a gap, before the first measurement: while a process starts, its writers are
/// the limit.
const SETTLE: Duration = Duration::from_millis(250);
/// How many writes one measurement takes at least.
const SAMPLE: u32 = 64;
/// How long one measurement takes at least, so that it is not a single burst of answers.
const LEAST: Duration = Duration::from_millis(50);
/// From how many single writes a second on groups are not even tried: a server that syncs each of them does not get there
/// (3,600 to 4,000 on the disks that were measured), one that does not is far above it. A rate says what the server can do only
/// where the writers are faster; short of that, what had gathered when groups began would flatter them.
const FAST: f64 = 10_000.0;
/// How long a measurement counts at first: what is compared with it a moment later may have been written by more writers.
const FIRST: Duration = Duration::from_millis(200);
/// How many times as long a measurement counts that says the same as the one before.
const MORE: u32 = 4;
/// How long a measurement counts at most. Measuring the slower way takes some 50 ms: a thousandth of this.
const LONGEST: Duration = Duration::from_secs(60);
/// How much faster groups must be before they are used. Where the two are close, single writes are simpler and quicker
/// to answer. Measured: with a sync for each write groups are 2 to 10 times faster, without 2 times slower.
const GAIN: f64 = 1.3;

/// How writes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteMode {
    /// Each by itself, all at once.
    Single,
    /// As atomic batches, one after the other.
    Grouped,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    per_second: f64,
    at: Instant,
}

/// Measures and chooses.
#[derive(Debug)]
pub(super) struct BatchPolicy {
    way: WriteMode,
    single: Option<Measured>,
    grouped: Option<Measured>,
    window: Option<Window>,
    /// Since when writes have come, and when the last one did.
    busy: Option<(Instant, Instant)>,
    /// How long a measurement counts, and what the last comparison of two said.
    counts_for: Duration,
    chosen: Option<WriteMode>,
}

/// A measurement that goes on.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    seen: u32,
    /// The sum of what was outstanding at each answer. Answers come in bursts, so that one look at what is outstanding
    /// says little.
    outstanding: usize,
}

impl BatchPolicy {
    pub(super) const fn new() -> Self {
        Self {
            way: WriteMode::Single,
            single: None,
            grouped: None,
            window: None,
            busy: None,
            counts_for: FIRST,
            chosen: None,
        }
    }

    pub(super) const fn way(&self) -> WriteMode {
        self.way
    }

    /// Takes note that `count` writes that went this way were answered at `now`, and that so many were outstanding until
    /// then.
    pub(super) fn answered(&mut self, way: WriteMode, count: usize, outstanding: usize, now: Instant) {
        if way != self.way {
            // What is still under way from before the change says nothing of the new way.
            return;
        }
        let since = match self.busy.filter(|(_, last)| now - *last < GAP) {
            Some((since, _)) => since,
            None => {
                self.window = None;
                now
            }
        };
        self.busy = Some((since, now));
        if now - since < SETTLE {
            return;
        }
        let Some(mut window) = self.window.take() else {
            self.window = Some(Window {
                since: now,
                seen: 0,
                outstanding: 0,
            });
            return;
        };
        window.seen = window.seen.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        window.outstanding = window.outstanding.saturating_add(count.saturating_mul(outstanding));
        let (took, seen) = (now - window.since, window.seen);
        if seen < SAMPLE || took < LEAST {
            self.window = Some(window);
            return;
        }
        if window.outstanding < BUSY.saturating_mul(seen as usize) {
            // Too calm to be measured. Groups that were not measured are not stayed with: it is tried again when the
            // measurement of single writes is old.
            if self.way == WriteMode::Grouped && self.fresh(self.grouped, now).is_none() {
                self.grouped = Some(Measured {
                    per_second: 0.0,
                    at: now,
                });
                self.way = self.choose(WriteMode::Single);
            }
            return;
        }
        let measured = Some(Measured {
            per_second: f64::from(seen) / took.as_secs_f64(),
            at: now,
        });
        match self.way {
            WriteMode::Single => self.single = measured,
            WriteMode::Grouped => self.grouped = measured,
        }
        let way = match (self.fresh(self.single, now), self.fresh(self.grouped, now)) {
            (None, _) => WriteMode::Single,
            (Some(single), None) if single.per_second < FAST => WriteMode::Grouped,
            (Some(_), None) => self.choose(WriteMode::Single),
            (Some(single), Some(grouped)) if grouped.per_second > GAIN * single.per_second => {
                self.choose(WriteMode::Grouped)
            }
            (Some(_), Some(_)) => self.choose(WriteMode::Single),
        };
        if way != self.way {
            tracing::debug!(?way, single = ?self.single, grouped = ?self.grouped, "writes are sent another way");
            self.way = way;
        }
    }

    /// What a comparison says. Where it was a trial of the other way and says what was said before, the next comes later.
    fn choose(&mut self, way: WriteMode) -> WriteMode {
        if self.chosen != Some(self.way) {
            self.counts_for = if self.chosen == Some(way) {
                (self.counts_for * MORE).min(LONGEST)
            } else {
                FIRST
            };
            self.chosen = Some(way);
        }
        way
    }

    fn fresh(&self, measured: Option<Measured>, now: Instant) -> Option<Measured> {
        measured.filter(|measured| now - measured.at < self.counts_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a busy stream for a while on which single writes and groups reach these rates, and says how often each way
    /// was used.
    fn run(single: f64, grouped: f64, seconds: f64) -> (f64, f64) {
        let mut pace = BatchPolicy::new();
        let (start, mut now) = (Instant::now(), Instant::now());
        let mut used = (0.0, 0.0);
        while (now - start).as_secs_f64() < seconds {
            let (count, took) = match pace.way() {
                WriteMode::Single => (1, 1.0 / single),
                WriteMode::Grouped => (200, 200.0 / grouped),
            };
            match pace.way() {
                WriteMode::Single => used.0 += took,
                WriteMode::Grouped => used.1 += took,
            }
            now += Duration::from_secs_f64(took);
            pace.answered(pace.way(), count, 256, now);
        }
        used
    }

    #[test]
    fn the_faster_way_is_used_nearly_all_of_the_time() {
        let (single, grouped) = run(4_000.0, 12_000.0, 300.0);
        assert!(single < 0.01 * grouped, "single {single} s, grouped {grouped} s");
        let (single, grouped) = run(70_000.0, 30_000.0, 300.0);
        assert!(grouped < 0.01 * single, "single {single} s, grouped {grouped} s");
    }

    #[test]
    fn a_small_gain_is_not_worth_a_group() {
        let (single, grouped) = run(9_000.0, 11_000.0, 300.0);
        assert!(grouped < 0.01 * single, "single {single} s, grouped {grouped} s");
    }

    #[test]
    fn nothing_is_measured_while_few_writes_are_outstanding() {
        let mut pace = BatchPolicy::new();
        let mut now = Instant::now();
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            pace.answered(WriteMode::Single, 1, BUSY - 1, now);
        }
        assert_eq!(pace.way(), WriteMode::Single);
        assert!(pace.single.is_none() && pace.grouped.is_none());
    }

    #[test]
    fn groups_that_cannot_be_measured_are_left() {
        let mut pace = BatchPolicy::new();
        let mut now = Instant::now();
        for _ in 0..4_000 {
            now += Duration::from_micros(250);
            pace.answered(WriteMode::Single, 1, 256, now);
            if pace.way() == WriteMode::Grouped {
                break;
            }
        }
        assert_eq!(pace.way(), WriteMode::Grouped);
        for _ in 0..1_000 {
            now += Duration::from_millis(1);
            pace.answered(WriteMode::Grouped, BUSY / 2, BUSY / 2, now);
        }
        assert_eq!(pace.way(), WriteMode::Single);
    }

    #[test]
    fn what_was_measured_while_the_writers_started_is_soon_measured_again() {
        let mut pace = BatchPolicy::new();
        let (start, mut now, mut grouped) = (Instant::now(), Instant::now(), Duration::ZERO);
        while now - start < Duration::from_secs(20) {
            let (count, rate) = match pace.way() {
                // The first writes are slow because of their writers.
                WriteMode::Single if now - start < Duration::from_millis(300) => (1, 4_000.0),
                WriteMode::Single => (1, 30_000.0),
                WriteMode::Grouped => (200, 8_000.0),
            };
            let took = Duration::from_secs_f64(f64::from(count) / rate);
            if pace.way() == WriteMode::Grouped {
                grouped += took;
            }
            now += took;
            pace.answered(pace.way(), usize::try_from(count).unwrap(), 256, now);
        }
        assert_eq!(pace.way(), WriteMode::Single);
        assert!(grouped < Duration::from_secs(1), "{grouped:?}");
    }

    #[test]
    fn a_server_that_changes_is_followed() {
        let mut pace = BatchPolicy::new();
        let mut now = Instant::now();
        let mut until = |pace: &mut BatchPolicy, single: f64, grouped: f64, seconds: u64| {
            let end = now + Duration::from_secs(seconds);
            while now < end {
                let (count, rate) = match pace.way() {
                    WriteMode::Single => (1, single),
                    WriteMode::Grouped => (200, grouped),
                };
                now += Duration::from_secs_f64(f64::from(count) / rate);
                pace.answered(pace.way(), usize::try_from(count).unwrap(), 256, now);
            }
        };
        until(&mut pace, 70_000.0, 30_000.0, 10);
        assert_eq!(pace.way(), WriteMode::Single);
        until(&mut pace, 4_000.0, 30_000.0, 130);
        assert_eq!(pace.way(), WriteMode::Grouped);
    }
}
