//! Pairs of measurements, the ratios between them, and whether they are good enough.

use serde::Serialize;

use crate::figure::{Figure, Metric};
use crate::meter::Machine;
use crate::stats::{median, range};
use crate::workload::Workload;

/// The results of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Document {
    /// The machine.
    pub machine: Machine,
    /// The payload of each intent in bytes.
    pub payload_bytes: usize,
    /// Slots of each worker.
    pub slots: u32,
    /// Threads of the client process, for Baton and the floor alike.
    pub threads: usize,
    /// What was measured.
    pub reports: Vec<Report>,
}

/// The bound that a ratio, or a value, must meet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
}

impl Target {
    /// Whether a value meets the bound.
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    /// The bound as text, for people.
    pub fn show(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound:.2}"),
            Self::AtMost(bound) => format!("≤ {bound:.2}"),
        }
    }
}

/// Two measurements, back to back.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// Which side came first; `in turns` where they took turns at each intent.
    pub first: String,
    /// The side to compare with.
    pub baseline: Figure,
    /// The side to judge.
    pub subject: Figure,
}

/// One metric over all pairs.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The metric.
    pub metric: Metric,
    /// The median of the baseline.
    pub baseline: f64,
    /// The median of the subject.
    pub subject: f64,
    /// The median of the pairs' ratios, subject to baseline.
    pub ratio: f64,
    /// The lowest ratio of a pair.
    pub lowest: f64,
    /// The highest ratio of a pair.
    pub highest: f64,
    /// The target of the ratio, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whether the ratio meets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

/// A value without a counterpart in the run.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    /// What it is.
    pub what: String,
    /// The value; `None` if this machine cannot measure it.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// The target of the value, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whether the value meets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

impl Fact {
    pub(crate) fn new(what: impl Into<String>, value: Option<f64>, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            target: None,
            met: None,
        }
    }

    /// Sets the target.
    #[must_use]
    pub(crate) fn aiming(mut self, target: Target) -> Self {
        self.met = self.value.map(|value| target.is_met_by(value));
        self.target = Some(target);
        self
    }
}

/// One row of the results.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The workload.
    pub workload: Workload,
    /// What was measured, in words.
    pub what: String,
    /// The side to compare with.
    pub baseline: String,
    /// The side to judge.
    pub subject: String,
    /// The metrics, over all pairs.
    pub comparisons: Vec<Comparison>,
    /// Values without a counterpart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// The pairs.
    pub pairs: Vec<Pair>,
    #[serde(skip)]
    targets: Vec<(Metric, Target)>,
}

impl Report {
    pub(crate) fn new(workload: Workload, what: impl Into<String>, baseline: &str, subject: &str) -> Self {
        Self {
            workload,
            what: what.into(),
            baseline: baseline.to_owned(),
            subject: subject.to_owned(),
            comparisons: Vec::new(),
            facts: Vec::new(),
            pairs: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// Sets the target of a metric.
    #[must_use]
    pub(crate) fn aiming(mut self, metric: Metric, target: Target) -> Self {
        self.targets.push((metric, target));
        self
    }

    /// Adds a pair, and updates the comparisons.
    pub(crate) fn add(&mut self, pair: Pair) {
        let metrics: Vec<Metric> = pair.subject.metrics().collect();
        self.pairs.push(pair);
        let compare = |metric| self.compare(metric);
        self.comparisons = metrics.into_iter().filter_map(compare).collect();
    }

    fn compare(&self, metric: Metric) -> Option<Comparison> {
        let both = |pair: &Pair| Some((pair.baseline.get(metric)?, pair.subject.get(metric)?));
        let values: Vec<(f64, f64)> = self.pairs.iter().filter_map(both).collect();
        if values.is_empty() {
            return None;
        }
        let (baseline, subject): (Vec<f64>, Vec<f64>) = values.iter().copied().unzip();
        let ratios: Vec<f64> = values.iter().map(|(baseline, subject)| subject / baseline).collect();
        let ratio = median(&ratios);
        let (lowest, highest) = range(&ratios);
        let target = self.targets.iter().find(|(of, _)| *of == metric);
        let target = target.map(|(_, target)| *target);
        Some(Comparison {
            metric,
            baseline: median(&baseline),
            subject: median(&subject),
            ratio,
            lowest,
            highest,
            target,
            met: target.map(|target| target.is_met_by(ratio)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meter::Spent;

    fn rate(per_second: u64) -> Figure {
        Figure::rate(per_second, Duration::from_secs(1), &Spent::default())
    }

    fn pair(floor: u64, baton: u64) -> Pair {
        Pair {
            first: "floor".to_owned(),
            baseline: rate(floor),
            subject: rate(baton),
        }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_the_medians() {
        let mut report =
            Report::new(Workload::W1, "one hop", "floor", "baton").aiming(Metric::PerSecond, Target::AtLeast(0.7));
        // The second pair fell into a noisy moment: both slow, their ratio as usual.
        for (floor, baton) in [(1_000, 800), (100, 75), (1_000, 600)] {
            report.add(pair(floor, baton));
        }
        let [rate] = report.comparisons.as_slice() else {
            panic!("{:?}", report.comparisons)
        };
        assert_eq!((rate.ratio, rate.lowest, rate.highest), (0.75, 0.6, 0.8));
        assert_eq!((rate.baseline, rate.subject), (1_000.0, 600.0));
        assert_eq!(rate.met, Some(true));
    }

    #[test]
    fn a_metric_without_a_target_is_neither_met_nor_missed() {
        let mut report = Report::new(Workload::W1, "one hop", "floor", "baton");
        report.add(pair(10, 5));
        assert_eq!(report.comparisons.first().and_then(|c| c.met), None);
        assert!(!Target::AtMost(1.5).is_met_by(f64::NAN) && !Target::AtLeast(0.7).is_met_by(f64::NAN));
    }
}
