//! W8: the cost of an intent in a small mesh and in large ones.
//!
//! Each size has its own server. All of them run at the same time, so that the sizes are measured in turn and one does
//! not carry the load of another. Baton and the floor go through the same sizes: where both cost more, the server does.
//!
//! Baton has one shard of the ledger, `<namespace>.ledger.0.<intent>`. The floor shows what more shards would bring.

use baton_jetstream::TicketPersistence;

use crate::error::BenchError;
use crate::figure::{Figure, Metric};
use crate::measure::{concurrently, throughput};
use crate::options::{Only, Options};
use crate::report::{Pair, Report, Target};
use crate::run::Say;
use crate::side::{Layout, Shape, Side};
use crate::site::{ServerSetup, Site};
use crate::workload::Workload;

/// Slots of each worker in a fleet, whatever its size.
const FLEET_SLOTS: u32 = 64;
/// The factor by which an intent may cost more than in the smallest size.
const FLAT: Target = Target::AtMost(1.2);

/// One size of a mesh.
#[derive(Debug, Clone)]
struct Size {
    name: String,
    shape: Shape,
    /// Intents that are open before measuring starts.
    open: u64,
}

/// A running mesh of one size.
struct Field {
    size: String,
    side: Side,
    site: Site,
}

/// Measures both kinds of size for both sides.
pub(crate) async fn measure(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    let fleets = [1, 10, 100].map(|agents| Size {
        name: format!("{agents} agents in 2 versions"),
        shape: Shape {
            agents,
            versions: 2,
            layout: Layout::Fleet,
            slots: FLEET_SLOTS,
            payload: options.payload,
            shards: 1,
        },
        open: 0,
    });
    let heaps = options.open_intents().map(|open| Size {
        name: format!("{open} open intents"),
        shape: Shape {
            agents: 2,
            versions: 1,
            layout: Layout::Beside,
            slots: options.slots,
            payload: options.payload,
            shards: 1,
        },
        open,
    });
    let shards = [1, 2, 4].map(|shards| Size {
        name: format!("{shards} shards of the ledger"),
        shape: Shape {
            agents: 1,
            versions: 1,
            layout: Layout::Relay,
            slots: options.slots,
            payload: options.payload,
            shards,
        },
        open: 0,
    });
    let both = [Only::Floor, Only::Baton];
    let mut reports = Vec::new();
    for (sizes, sides) in [(fleets, &both[..]), (heaps, &both[..]), (shards, &[Only::Floor][..])] {
        for which in sides.iter().copied() {
            if options.only.is_none_or(|only| only == which) {
                reports.extend(through(&sizes, which, options, setup, say).await?);
            }
        }
    }
    Ok(reports)
}

/// Takes one side through some sizes, round by round: ascending in one round, descending in the next.
async fn through(
    sizes: &[Size],
    which: Only,
    options: &Options,
    setup: &ServerSetup,
    say: Say<'_>,
) -> Result<Vec<Report>, BenchError> {
    let mut fields = Vec::new();
    for size in sizes {
        say(&format!("w8, {}: {} is prepared", which.name(), size.name));
        fields.push(Field::prepare(which, size, setup, options.tickets()).await?);
    }
    let rounds = rounds(&fields, which, options, say).await?;
    let reports = compare(&fields, which, &rounds);
    for field in fields {
        field.side.stop().await?;
    }
    Ok(reports)
}

/// One figure for each field in each round.
async fn rounds(
    fields: &[Field],
    which: Only,
    options: &Options,
    say: Say<'_>,
) -> Result<Vec<Vec<Figure>>, BenchError> {
    let mut rounds = Vec::new();
    for round in 0..options.pairs() {
        let mut order: Vec<usize> = (0..fields.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut figures = vec![Figure::default(); fields.len()];
        for index in order {
            let (Some(field), Some(slot)) = (fields.get(index), figures.get_mut(index)) else {
                continue;
            };
            *slot = throughput(&field.site, &field.side, options.intents(), 1)
                .await?
                .into_cost();
            say(&format!(
                "w8, {}: round {}, {}: {slot}",
                which.name(),
                round + 1,
                field.size
            ));
        }
        rounds.push(figures);
    }
    Ok(rounds)
}

/// Compares every larger size with the smallest.
fn compare(fields: &[Field], which: Only, rounds: &[Vec<Figure>]) -> Vec<Report> {
    let Some((smallest, larger)) = fields.split_first() else {
        return Vec::new();
    };
    let reports = larger.iter().enumerate().map(|(index, field)| {
        let what = format!("{} against {} ({})", field.size, smallest.size, which.name());
        let mut report = Report::new(Workload::W8, what, "smallest", "larger");
        if which == Only::Baton {
            report = report.aiming(Metric::WallUs, FLAT);
        }
        for (round, figures) in rounds.iter().enumerate() {
            if let (Some(baseline), Some(subject)) = (figures.first(), figures.get(index + 1)) {
                report.add(Pair {
                    first: if round % 2 == 0 { "smallest" } else { "larger" }.to_owned(),
                    baseline: baseline.clone(),
                    subject: subject.clone(),
                });
            }
        }
        report
    });
    reports.collect()
}

impl Field {
    async fn prepare(
        which: Only,
        size: &Size,
        setup: &ServerSetup,
        tickets: TicketPersistence,
    ) -> Result<Self, BenchError> {
        let site = Site::start(setup, "1s", tickets).await?;
        let side = Side::start(&site, which, "sizes", size.shape).await?;
        concurrently(size.open, || side.leave_open()).await?;
        Ok(Self {
            size: size.name.clone(),
            side,
            site,
        })
    }
}
