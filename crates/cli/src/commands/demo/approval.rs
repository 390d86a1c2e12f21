//! `baton demo approval`: work waits for a person through the death of everything.

use std::path::PathBuf;

use baton_agent::shutdown_signal;
use baton_demo::{ApprovalPlan, ApprovalReport, run_approval};

use super::ended;
use crate::commands::local::ApprovalArgs;
use crate::error::CliError;
use crate::output::{Output, Table};
use crate::view::timeline;

/// Runs the scenario, and fails unless it ended as it should.
pub(super) async fn run(args: ApprovalArgs, exe: PathBuf, output: &Output) -> Result<(), CliError> {
    let plan = ApprovalPlan {
        intents: usize::try_from(args.intents).unwrap_or(usize::MAX),
        exe,
        keep: args.keep,
    };
    let say = |line: &str| output.note(line);
    let report = tokio::select! {
        report = run_approval(&plan, &say) => report?,
        () = shutdown_signal() => return Err(CliError::interrupted()),
    };
    output.show(&report.verdict, || text(&report))?;
    let problem = (!report.verdict.is_good())
        .then(|| "the demo did not end as it should: something was lost, done twice or not decided".to_owned());
    ended(report.folder.as_deref(), problem, output)
}

fn text(report: &ApprovalReport) -> String {
    let verdict = &report.verdict;
    let mut table = Table::new(&["SUMMARY", ""]);
    for (name, count) in [
        ("intents submitted", verdict.common.submitted),
        ("waited while everything was killed", verdict.waited),
        ("decided by ada", verdict.decided),
        ("completed", verdict.common.completed),
        ("lost", verdict.common.lost),
        ("hops committed twice", verdict.common.duplicate_commits),
        ("recorded steps run again", verdict.common.repeated_steps),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    table.row(["seconds".to_owned(), format!("{:.1}", verdict.common.seconds)]);
    format!("\n{}\n\n{}", timeline(&report.example).render(), table.render())
}
