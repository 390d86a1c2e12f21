//! `baton demo saga`: what was booked is taken back, once, though workers are killed in the middle.

use std::path::PathBuf;

use baton_agent::shutdown_signal;
use baton_demo::{SagaPlan, SagaReport, run_saga};

use super::ended;
use crate::commands::local::SagaArgs;
use crate::error::CliError;
use crate::output::{Output, Table};
use crate::view::timeline;

/// Runs the scenario, and fails unless it ended as it should.
pub(super) async fn run(args: SagaArgs, exe: PathBuf, output: &Output) -> Result<(), CliError> {
    let plan = SagaPlan {
        intents: usize::try_from(args.intents).unwrap_or(usize::MAX),
        exe,
        keep: args.keep,
    };
    let say = |line: &str| output.note(line);
    let report = tokio::select! {
        report = run_saga(&plan, &say) => report?,
        () = shutdown_signal() => return Err(CliError::interrupted()),
    };
    output.show(&report.verdict, || text(&report))?;
    let problem = (!report.verdict.is_good()).then(|| {
        "the demo did not end as it should: something was lost, not taken back, or taken back twice".to_owned()
    });
    ended(report.folder.as_deref(), problem, output)
}

fn text(report: &SagaReport) -> String {
    let verdict = &report.verdict;
    let mut table = Table::new(&["SUMMARY", ""]);
    for (name, count) in [
        ("trips submitted", verdict.common.submitted),
        ("failed, as there was no car", verdict.failed),
        ("bookings", verdict.booked),
        ("bookings taken back", verdict.undone),
        ("bookings taken back twice", verdict.undone_twice),
        ("trips undone in reverse order", verdict.in_reverse),
        ("workers killed", verdict.common.kills),
        ("lost", verdict.common.lost),
        ("hops committed twice", verdict.common.duplicate_commits),
        ("recorded steps run again", verdict.common.repeated_steps),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    table.row(["seconds".to_owned(), format!("{:.1}", verdict.common.seconds)]);
    format!("\n{}\n\n{}", timeline(&report.example).render(), table.render())
}
