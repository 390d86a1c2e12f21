//! Figures and the ratios between them.

use std::time::Duration;

use serde::Serialize;

use crate::workload::Workload;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Figure {
    /// Intents per second.
    Rate {
        /// Intents per second.
        per_second: f64,
    },
    /// Latency of single intents.
    Latency {
        /// The median, in milliseconds.
        p50_ms: f64,
        /// The 99th percentile, in milliseconds.
        p99_ms: f64,
    },
}

impl Figure {
    pub(crate) fn rate(count: usize, took: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
        let count = count as f64;
        Self::Rate {
            per_second: count / took.as_secs_f64(),
        }
    }

    pub(crate) fn latency(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |percent: usize| {
            let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        Self::Latency {
            p50_ms: at(50),
            p99_ms: at(99),
        }
    }
}

/// The pairs of one workload.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was measured.
    pub workload: &'static str,
    /// The bare client, pair by pair.
    pub floor: Vec<Figure>,
    /// Baton, pair by pair.
    pub baton: Vec<Figure>,
    /// Baton against the floor, pair by pair: above 1 is better than the floor. For a latency, the floor's median
    /// divided by Baton's.
    pub ratios: Vec<f64>,
    /// The median of the ratios.
    pub ratio: f64,
}

impl Report {
    pub(crate) fn new(workload: Workload) -> Self {
        Self {
            workload: workload.name(),
            floor: Vec::new(),
            baton: Vec::new(),
            ratios: Vec::new(),
            ratio: 0.0,
        }
    }

    pub(crate) fn add(&mut self, floor: Figure, baton: Figure) {
        let ratio = match (floor, baton) {
            (Figure::Rate { per_second: floor }, Figure::Rate { per_second: baton }) => baton / floor,
            (Figure::Latency { p50_ms: floor, .. }, Figure::Latency { p50_ms: baton, .. }) => floor / baton,
            (Figure::Rate { .. }, Figure::Latency { .. }) | (Figure::Latency { .. }, Figure::Rate { .. }) => f64::NAN,
        };
        self.floor.push(floor);
        self.baton.push(baton);
        self.ratios.push(ratio);
        let mut sorted = self.ratios.clone();
        sorted.sort_by(f64::total_cmp);
        self.ratio = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
    }
}
