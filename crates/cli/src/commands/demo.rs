//! `baton demo`: a whole mesh, a crash in the middle, and the proof.

mod approval;
mod context;
mod fanout;
mod saga;
mod upgrade;

use std::path::Path;

use baton_agent::shutdown_signal;
use baton_demo::{CrashPlan, CrashReport, Part, Verdict, run_agent, run_crash};
use baton_envelope::codes;

use crate::app::App;
use crate::commands::local::{DemoAgentArgs, DemoArgs, Scenario};
use crate::error::{CliError, Kind};
use crate::output::{Output, Table};
use crate::view::timeline;

/// Runs the scenario, and fails unless it ended well.
pub(crate) async fn run(args: DemoArgs, output: &Output) -> Result<(), CliError> {
    let exe = std::env::current_exe()
        .map_err(|error| CliError::io(anyhow::Error::new(error).context("this program cannot find itself")))?;
    match args.scenario {
        Some(Scenario::Upgrade(args)) => return upgrade::run(args, exe, output).await,
        Some(Scenario::Approval(args)) => return Box::pin(approval::run(args, exe, output)).await,
        Some(Scenario::Fanout(args)) => return Box::pin(fanout::run(args, exe, output)).await,
        Some(Scenario::Saga(args)) => return Box::pin(saga::run(args, exe, output)).await,
        Some(Scenario::Context(args)) => return Box::pin(context::run(args, exe, output)).await,
        None => {}
    }
    let plan = CrashPlan {
        intents: usize::try_from(args.intents).unwrap_or(usize::MAX),
        exe,
        keep: args.keep,
    };
    let say = |line: &str| output.note(line);
    let report = tokio::select! {
        report = run_crash(&plan, &say) => report?,
        () = shutdown_signal() => return Err(CliError::interrupted()),
    };
    output.show(&report.verdict, || text(&report))?;
    let problem = (!report.verdict.is_good())
        .then(|| "the demo did not end as it should: something was lost or done twice".to_owned());
    ended(report.folder.as_deref(), problem, output)
}

/// Says where the data of a scenario was kept, and fails where it did not end as it should.
fn ended(kept: Option<&Path>, problem: Option<String>, output: &Output) -> Result<(), CliError> {
    if let Some(folder) = kept {
        output.note(&format!("kept: {}", folder.display()));
    }
    match problem {
        None => Ok(()),
        Some(problem) => Err(CliError::say(Kind::Failed, codes::DEMO_FAILED, problem)
            .hint("the server's data and all logs were kept in the folder above")),
    }
}

/// Runs one agent of the demo.
pub(crate) async fn agent(args: DemoAgentArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect_to_stay(format!("baton demo {}", args.role)).await?;
    let DemoAgentArgs {
        role,
        effects,
        version,
        fails,
        light,
    } = args;
    let part = Part {
        role,
        version,
        fails,
        light,
    };
    Ok(run_agent(&mesh, &part, &effects).await?)
}

fn text(report: &CrashReport) -> String {
    let intent = report
        .example
        .first()
        .map(|head| head.record.intent.to_string())
        .unwrap_or_default();
    format!(
        "\nOne intent that was taken over, {intent}:\n\n{}\n\n{}",
        timeline(&report.example).render(),
        summary(&report.verdict).render()
    )
}

fn summary(verdict: &Verdict) -> Table {
    let mut table = Table::new(&["SUMMARY", ""]);
    for (name, count) in [
        ("intents submitted", verdict.submitted),
        ("completed", verdict.completed),
        ("lost", verdict.lost),
        ("workers killed", verdict.kills),
        ("hops taken over", verdict.redeliveries),
        ("hops committed twice", verdict.duplicate_commits),
        ("recorded steps run again", verdict.repeated_steps),
    ] {
        table.row([name.to_owned(), count.to_string()]);
    }
    table.row(["seconds".to_owned(), format!("{:.1}", verdict.seconds)]);
    table
}
