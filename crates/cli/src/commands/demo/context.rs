//! `baton demo context`: what the first hop decides is in the view of the twelfth, through the death of a worker and the store.

use std::path::PathBuf;

use baton_agent::shutdown_signal;
use baton_demo::{ContextPlan, ContextReport, run_context};

use super::ended;
use crate::commands::context::view_table;
use crate::commands::local::ContextArgs;
use crate::error::CliError;
use crate::output::{Output, Table};

/// Runs the scenario, and fails unless it ended as it should.
pub(super) async fn run(args: ContextArgs, exe: PathBuf, output: &Output) -> Result<(), CliError> {
    let plan = ContextPlan {
        intents: usize::try_from(args.intents).unwrap_or(usize::MAX),
        exe,
        keep: args.keep,
    };
    let say = |line: &str| output.note(line);
    let report = tokio::select! {
        report = run_context(&plan, &say) => report?,
        () = shutdown_signal() => return Err(CliError::interrupted()),
    };
    output.show(&report.verdict, || text(&report))?;
    let problem = (!report.verdict.is_good())
        .then(|| "the demo did not end as it should: a view lacked the decision, or something was lost".to_owned());
    ended(report.folder.as_deref(), problem, output)
}

fn text(report: &ContextReport) -> String {
    let verdict = &report.verdict;
    let mut table = Table::new(&["SUMMARY", ""]);
    for (name, count) in [
        ("intents submitted", verdict.common.submitted),
        ("completed", verdict.common.completed),
        ("lost", verdict.common.lost),
        ("views", verdict.views),
        ("views with the decision", verdict.with_decision),
        ("gaps", verdict.gaps),
        ("chains verified to the first link", verdict.verified),
        ("oldest notes recalled", verdict.recalled),
        ("processes killed", verdict.common.kills),
        ("hops committed twice", verdict.common.duplicate_commits),
        ("recorded steps run again", verdict.common.repeated_steps),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    let used = format!("{} of {}", verdict.most_used, verdict.budget);
    table.row(["tokens of the largest view".to_owned(), used]);
    table.row(["seconds".to_owned(), format!("{:.1}", verdict.common.seconds)]);
    let view = report.last.as_ref();
    let view = view.map_or_else(String::new, |last| view_table(&last.envelope, &last.view));
    format!("\n{view}\n{}", table.render())
}
