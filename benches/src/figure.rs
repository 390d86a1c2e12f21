//! The result of one measurement.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::meter::Spent;
use crate::stats::{count, percentile};

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Intents per second.
    PerSecond,
    /// The median latency in milliseconds.
    P50Ms,
    /// The 99th percentile of the latency in milliseconds.
    P99Ms,
    /// CPU time of the client process in microseconds per intent.
    ClientCpuUs,
    /// CPU time of the server process in microseconds per intent.
    ServerCpuUs,
    /// Wall-clock time in microseconds per intent.
    WallUs,
}

impl Metric {
    /// The name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per second",
            Self::P50Ms => "p50",
            Self::P99Ms => "p99",
            Self::ClientCpuUs => "client CPU",
            Self::ServerCpuUs => "server CPU",
            Self::WallUs => "time",
        }
    }

    /// A value for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::P50Ms | Self::P99Ms => format!("{value:.2} ms"),
            Self::ClientCpuUs | Self::ServerCpuUs | Self::WallUs => format!("{value:.0} µs"),
        }
    }
}

/// The result of one measurement. A metric that the machine cannot measure is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Figure {
    values: BTreeMap<Metric, f64>,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (metric, value)) in self.values.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if *metric != Metric::PerSecond {
                write!(f, "{} ", metric.name())?;
            }
            f.write_str(&metric.show(*value))?;
        }
        Ok(())
    }
}

impl Figure {
    /// The value of a metric.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.values.get(&metric).copied()
    }

    /// The metrics that were measured.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> + '_ {
        self.values.keys().copied()
    }

    /// The rate of this many intents in this time.
    pub(crate) fn rate(intents: u64, took: Duration, spent: &Spent) -> Self {
        let mut figure = Self::default();
        figure
            .values
            .insert(Metric::PerSecond, count(intents) / took.as_secs_f64());
        figure.with_cpu(intents, spent)
    }

    /// The same with wall-clock time per intent instead of a rate, for comparing one size with another.
    #[must_use]
    pub(crate) fn into_cost(mut self) -> Self {
        if let Some(rate) = self.values.remove(&Metric::PerSecond) {
            self.values.insert(Metric::WallUs, 1e6 / rate);
        }
        self
    }

    /// The latency of single intents.
    pub(crate) fn latency(mut times: Vec<Duration>, spent: &Spent) -> Self {
        times.sort();
        let mut figure = Self::default();
        for (metric, percent) in [(Metric::P50Ms, 50), (Metric::P99Ms, 99)] {
            let value = percentile(&times, percent).as_secs_f64() * 1000.0;
            figure.values.insert(metric, value);
        }
        figure.with_cpu(u64::try_from(times.len()).unwrap_or(u64::MAX), spent)
    }

    fn with_cpu(mut self, intents: u64, spent: &Spent) -> Self {
        let cpu = [(Metric::ClientCpuUs, spent.client), (Metric::ServerCpuUs, spent.server)];
        for (metric, time) in cpu {
            if let Some(time) = time {
                self.values.insert(metric, time.as_secs_f64() * 1e6 / count(intents));
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_that_the_machine_cannot_tell_is_absent() {
        let spent = Spent {
            client: Some(Duration::from_millis(500)),
            server: None,
        };
        let figure = Figure::rate(1_000, Duration::from_secs(2), &spent);
        assert_eq!(figure.get(Metric::PerSecond), Some(500.0));
        assert_eq!(figure.get(Metric::ClientCpuUs), Some(500.0));
        assert_eq!(figure.get(Metric::ServerCpuUs), None);
        let json = serde_json::to_string(&figure).unwrap();
        assert_eq!(json, r#"{"per_second":500.0,"client_cpu_us":500.0}"#);
    }

    #[test]
    fn a_rate_becomes_what_one_intent_costs() {
        let figure = Figure::rate(1_000, Duration::from_secs(2), &Spent::default()).into_cost();
        assert_eq!(
            (figure.get(Metric::PerSecond), figure.get(Metric::WallUs)),
            (None, Some(2_000.0))
        );
    }

    #[test]
    fn latencies_need_not_come_sorted() {
        let times = [3, 1, 2].map(Duration::from_millis).to_vec();
        let figure = Figure::latency(times, &Spent::default());
        assert_eq!(
            (figure.get(Metric::P50Ms), figure.get(Metric::P99Ms)),
            (Some(2.0), Some(3.0))
        );
    }
}
