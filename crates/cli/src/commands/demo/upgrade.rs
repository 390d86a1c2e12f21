//! `baton demo upgrade`: an agent is upgraded while it works.

use std::path::PathBuf;

use baton_agent::shutdown_signal;
use baton_demo::{Upgrade, UpgradePlan, UpgradeStep, run_upgrade};

use super::ended;
use crate::commands::local::UpgradeArgs;
use crate::error::CliError;
use crate::output::{Output, Table};

/// Runs the scenario, and fails unless it ended as it should.
pub(super) async fn run(args: UpgradeArgs, exe: PathBuf, output: &Output) -> Result<(), CliError> {
    let plan = UpgradePlan {
        rate: args.rate,
        bad: args.bad,
        keep: args.keep,
        ..UpgradePlan::new(exe)
    };
    let say = |line: &str| output.note(line);
    let report = tokio::select! {
        report = run_upgrade(&plan, &say) => report?,
        () = shutdown_signal() => return Err(CliError::interrupted()),
    };
    output.show(&report.verdict, || text(&report.verdict))?;
    let verdict = &report.verdict;
    let problem =
        (!verdict.is_good()).then(|| format!("the upgrade did not go as it should: {}", verdict.problems.join("; ")));
    ended(report.folder.as_deref(), problem, output)
}

fn text(verdict: &Upgrade) -> String {
    format!("\n{}\n\n{}", steps(verdict).render(), summary(verdict).render())
}

fn steps(verdict: &Upgrade) -> Table {
    let mut table = Table::new(&[
        "SHARE ASKED",
        "SHARE SEEN",
        "CHAINS",
        "ATTEMPTS SEEN",
        "FAILED",
        "SECONDS",
    ]);
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for step in &verdict.steps {
        table.row([
            format!("{} %", step.share),
            or_dash(step.share_seen().map(|share| format!("{share:.1} %"))),
            chains(step),
            or_dash(step.attempts.map(|count| count.to_string())),
            or_dash(step.failed.map(|count| count.to_string())),
            or_dash(step.seconds.map(|seconds| format!("{seconds:.1}"))),
        ]);
    }
    table
}

fn chains(step: &UpgradeStep) -> String {
    format!("{} of {}", step.to_new, step.routed)
}

fn summary(verdict: &Upgrade) -> Table {
    let mut table = Table::new(&["SUMMARY", ""]);
    for (name, count) in [
        ("intents submitted", verdict.submitted),
        ("completed", verdict.completed),
        ("parked for a person", verdict.parked),
        ("lost", verdict.lost),
        ("hops committed twice", verdict.duplicate_commits),
        ("recorded steps run again", verdict.repeated_steps),
        ("failed attempts, retried on the same version", verdict.retries),
        ("hops moved to another version", verdict.moved),
        ("hops worked on by another version", verdict.foreign),
        ("chains on the wrong side of the canary", verdict.wrong_side),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    let drained = verdict
        .drained_after
        .map_or_else(|| "-".to_owned(), |after| format!("{after:.1}"));
    table.row(["seconds until the version that left was drained".to_owned(), drained]);
    table.row(["seconds in all".to_owned(), format!("{:.1}", verdict.seconds)]);
    table
}
