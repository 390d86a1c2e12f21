//! Output for people.

use clap::ValueEnum as _;
use comfy_table::presets::NOTHING;

use crate::figure::Metric;
use crate::report::{Comparison, Document, Fact, Report, Target};
use crate::workload::Workload;

/// A run as a table: a line for each metric, with its target.
pub fn table(document: &Document) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_preset(NOTHING)
        .set_header(["WORKLOAD", "METRIC", "BASE", "VALUE", "RATIO", "RANGE", "TARGET", "MET"]);
    for report in &document.reports {
        for (index, comparison) in report.comparisons.iter().enumerate() {
            table.add_row(compared(report, comparison, index == 0));
        }
        for fact in &report.facts {
            table.add_row(fact_row(report, fact));
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let machine = &document.machine;
    let processor = machine.processor.as_deref().unwrap_or("unknown processor");
    format!(
        "{}\n\n{processor}, {} cores, {}; nats-server {}; {} bytes of payload, {} slots, {} client threads",
        table.trim_fmt(),
        machine.cores,
        machine.system,
        machine.nats_server,
        document.payload_bytes,
        document.slots,
        document.threads,
    )
}

/// The name of a workload, as typed on the command line.
pub(crate) fn workload(workload: Workload) -> String {
    workload
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

fn compared(report: &Report, comparison: &Comparison, is_first: bool) -> [String; 8] {
    let Comparison { metric, ratio, .. } = comparison;
    let side = |name: &str, value: f64| match is_first {
        true => format!("{} ({name})", metric.show(value)),
        false => metric.show(value),
    };
    [
        title(report, is_first),
        metric.name().to_owned(),
        side(&report.baseline, comparison.baseline),
        side(&report.subject, comparison.subject),
        format!("{ratio:.2}"),
        format!("{:.2} to {:.2}", comparison.lowest, comparison.highest),
        bound(comparison.target),
        met(comparison.met),
    ]
}

fn fact_row(report: &Report, fact: &Fact) -> [String; 8] {
    let value = fact
        .value
        .map_or("not available".to_owned(), |value| format!("{value:.2} {}", fact.unit));
    [
        title(report, true),
        fact.what.clone(),
        String::new(),
        value,
        String::new(),
        String::new(),
        bound(fact.target),
        met(fact.met),
    ]
}

fn title(report: &Report, is_shown: bool) -> String {
    if is_shown {
        format!("{} {}", workload(report.workload), report.what)
    } else {
        String::new()
    }
}

fn bound(target: Option<Target>) -> String {
    target.map(Target::show).unwrap_or_default()
}

fn met(met: Option<bool>) -> String {
    match met {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => String::new(),
    }
}

impl Metric {
    /// The unit of the metric.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::P50Ms | Self::P99Ms => "ms",
            Self::ClientCpuUs | Self::ServerCpuUs | Self::WallUs => "µs",
        }
    }
}
