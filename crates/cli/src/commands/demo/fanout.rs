//! `baton demo fanout`: a question is split over five, and goes on with the results of three.

use std::path::PathBuf;

use baton_agent::shutdown_signal;
use baton_demo::{FanoutPlan, FanoutReport, run_fanout};

use super::ended;
use crate::commands::local::FanoutArgs;
use crate::error::CliError;
use crate::output::{Output, Table};
use crate::view::timeline;

/// Runs the scenario, and fails unless it ended as it should.
pub(super) async fn run(args: FanoutArgs, exe: PathBuf, output: &Output) -> Result<(), CliError> {
    let plan = FanoutPlan {
        intents: usize::try_from(args.intents).unwrap_or(usize::MAX),
        exe,
        keep: args.keep,
    };
    let say = |line: &str| output.note(line);
    let report = tokio::select! {
        report = run_fanout(&plan, &say) => report?,
        () = shutdown_signal() => return Err(CliError::interrupted()),
    };
    output.show(&report.verdict, || text(&report))?;
    let problem = (!report.verdict.is_good()).then(|| {
        "the demo did not end as it should: something was lost, done twice, not joined or left over".to_owned()
    });
    ended(report.folder.as_deref(), problem, output)
}

fn text(report: &FanoutReport) -> String {
    let verdict = &report.verdict;
    let mut table = Table::new(&["SUMMARY", ""]);
    for (name, count) in [
        ("questions submitted", verdict.common.submitted),
        ("completed", verdict.common.completed),
        ("went on once, with three of their own results in order", verdict.joined),
        ("searches asked for", verdict.asked),
        ("completed", verdict.found),
        ("cancelled, as nobody waited for them", verdict.cancelled),
        ("hops taken over from the dead searcher", verdict.common.redeliveries),
        ("lost", verdict.common.lost),
        ("hops committed twice", verdict.common.duplicate_commits),
        ("recorded steps run again", verdict.common.repeated_steps),
        ("faults of searches", verdict.faults_of_searches),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    table.row(["seconds".to_owned(), format!("{:.1}", verdict.common.seconds)]);
    format!("\n{}\n\n{}", timeline(&report.example).render(), table.render())
}
