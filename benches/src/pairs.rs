//! Pairs: floor and Baton back to back, taking turns to go first.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::BenchError;
use crate::figure::Figure;
use crate::measure;
use crate::options::{Only, Options, PACE};
use crate::report::{Fact, Pair, Report};
use crate::run::Say;
use crate::side::{Layout, Shape, Side};
use crate::site::Site;
use crate::stats::median;

/// What to measure on each side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Many intents through this many agents.
    Throughput { agents: usize },
    /// Submissions alone.
    Submit,
    /// One intent at a time through this many agents.
    OneAtATime { agents: usize },
    /// Intents at a fixed pace through this many agents.
    Paced { agents: usize },
}

/// How much of it to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) intents: u64,
    pub(crate) samples: u64,
    pub(crate) paced_samples: u64,
    pub(crate) payload: usize,
    pub(crate) slots: u32,
}

impl Size {
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            intents: options.intents(),
            samples: options.samples(),
            paced_samples: options.few_samples(),
            payload: options.payload,
            slots: options.slots,
        }
    }
}

/// Measures every pair of a report, or one side repeatedly.
pub(crate) async fn measure(
    site: &Site,
    kind: Kind,
    size: Size,
    options: &Options,
    report: Report,
    say: Say<'_>,
) -> Result<Report, BenchError> {
    each_pair(options, report, say, async |which| one(site, which, kind, size).await).await
}

/// Calls `one` for each side of each pair.
pub(crate) async fn each_pair(
    options: &Options,
    mut report: Report,
    say: Say<'_>,
    mut one: impl AsyncFnMut(Only) -> Result<Figure, BenchError>,
) -> Result<Report, BenchError> {
    let title = format!("{}, {}", name(&report), report.what);
    if let Some(side) = options.only {
        let mut figures: Vec<Figure> = Vec::new();
        for round in 1.. {
            let figure = one(side).await?;
            say(&format!("{title}: {} {round}: {figure}", side.name()));
            figures.push(figure);
            if !options.forever && round == options.pairs() {
                break;
            }
        }
        report.facts = medians(side.name(), &figures);
        return Ok(report);
    }
    for pair in 0..options.pairs() {
        let base = options.baseline();
        let order = if pair % 2 == 0 {
            [base, Only::Baton]
        } else {
            [Only::Baton, base]
        };
        let (mut baseline, mut baton) = (Figure::default(), Figure::default());
        for side in order {
            let figure = one(side).await?;
            match side {
                Only::Floor | Only::Open => baseline = figure,
                Only::Baton => baton = figure,
            }
        }
        say(&format!(
            "{title}: pair {}: {} {baseline}; baton {baton}",
            pair + 1,
            base.name()
        ));
        report.add(Pair {
            first: order[0].name().to_owned(),
            baseline,
            subject: baton,
        });
    }
    Ok(report)
}

async fn one(site: &Site, which: Only, kind: Kind, size: Size) -> Result<Figure, BenchError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let site = site.of(which);
    let tag = format!("b{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let shape = |agents, layout| Shape {
        agents,
        versions: 1,
        layout,
        slots: size.slots,
        payload: size.payload,
        shards: 1,
    };
    let start = async |shape| Side::start(site, which, &tag, shape).await;
    let (side, figure) = match kind {
        Kind::Throughput { agents } => {
            let side = start(shape(agents, Layout::Relay)).await?;
            let hops = u64::try_from(agents).unwrap_or(u64::MAX);
            let figure = measure::throughput(site, &side, size.intents, hops).await;
            (side, figure)
        }
        Kind::Submit => {
            let side = start(shape(1, Layout::Waiting)).await?;
            let figure = measure::throughput(site, &side, size.intents, 0).await;
            (side, figure)
        }
        Kind::OneAtATime { agents } => {
            let side = start(shape(agents, Layout::Relay)).await?;
            let figure = measure::one_at_a_time(site, &side, size.samples).await;
            (side, figure)
        }
        Kind::Paced { agents } => {
            let side = start(shape(agents, Layout::Relay)).await?;
            let figure = measure::paced(site, &side, size.paced_samples, PACE).await;
            (side, figure)
        }
    };
    side.stop().await?;
    figure
}

/// The median of each metric of one side.
pub(crate) fn medians(side: &str, figures: &[Figure]) -> Vec<Fact> {
    let Some(first) = figures.first() else {
        return Vec::new();
    };
    let value = |metric| {
        let values: Vec<f64> = figures.iter().filter_map(|figure| figure.get(metric)).collect();
        Fact::new(
            format!("{side} {}", metric.name()),
            Some(median(&values)),
            metric.unit(),
        )
    };
    first.metrics().map(value).collect()
}

fn name(report: &Report) -> String {
    crate::table::workload(report.workload)
}
