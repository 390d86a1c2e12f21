//! `baton bench`: Baton against a bare NATS client, interleaved on one server.

use baton_bench::{Figure, Plan, Report};
use baton_embedded::{Finder, RunningServer, ServerOptions};
use baton_envelope::Namespace;
use baton_jetstream::{Error, Target};

use crate::commands::local::BenchArgs;
use crate::error::CliError;
use crate::output::{Output, Table};

/// Runs the benchmark on a server of its own, in a temporary folder.
pub(crate) async fn run(args: BenchArgs, output: &Output) -> Result<(), CliError> {
    let binary = Finder::from_process().nats_server(&|line| output.note(line))?;
    let folder = std::env::temp_dir().join(format!("baton-bench-{}", std::process::id()));
    let mut server = RunningServer::start(ServerOptions::new(binary.path, folder.clone()))?;
    let url = server.url();
    let mesh_at = |namespace: String| {
        let url = url.clone();
        async move {
            let namespace: Namespace = namespace.parse().map_err(Error::from)?;
            Target {
                namespace,
                ..Target::at(url)
            }
            .connect()
            .await
        }
    };
    let plan = if args.quick { Plan::QUICK } else { Plan::FULL };
    let measured = baton_bench::run(plan, mesh_at, |line| output.note(line)).await;
    tokio::task::block_in_place(|| server.terminate())?;
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        output.note(&format!("{} could not be removed: {error}", folder.display()));
    }
    let reports = measured?;
    output.show(&reports, || table(&reports).render())
}

fn table(reports: &[Report]) -> Table {
    let mut table = Table::new(&["WORKLOAD", "FLOOR", "BATON", "RATIO", "RANGE"]);
    for report in reports {
        let range = |pick: fn(f64, f64) -> f64| report.ratios.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        table.row([
            report.workload.to_owned(),
            middle(&report.floor),
            middle(&report.baton),
            format!("{:.2}", report.ratio),
            format!("{:.2} to {:.2}", range(f64::min), range(f64::max)),
        ]);
    }
    table
}

/// The median of some figures, for people.
fn middle(figures: &[Figure]) -> String {
    let mut sorted = figures.to_vec();
    let key = |figure: &Figure| match figure {
        Figure::Rate { per_second } => *per_second,
        Figure::Latency { p50_ms, .. } => *p50_ms,
    };
    sorted.sort_by(|a, b| key(a).total_cmp(&key(b)));
    match sorted.get(sorted.len() / 2) {
        Some(Figure::Rate { per_second }) => format!("{per_second:.0}/s"),
        Some(Figure::Latency { p50_ms, p99_ms }) => format!("p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms"),
        None => "-".to_owned(),
    }
}
