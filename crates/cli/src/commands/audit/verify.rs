//! `baton audit verify`: every record against its signature and those before it; with `--all` the checkpoints, too.

use baton_envelope::{AuditReport, Audited, IntentId, Problem, codes};
use clap::Args;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::view::count_of;

/// `baton audit verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// The intent.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<IntentId>,
    /// All intents, in the ledger and in the archive, and the checkpoints.
    #[arg(long)]
    all: bool,
}

/// Verifies, and fails if something is not as it was written.
pub(crate) async fn run(args: VerifyArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let output = app.output;
    let report = match &args.id {
        Some(id) => mesh.audit_intent(id).await?,
        None => {
            mesh.audit(|count| output.note(&format!("{count} messages were read")))
                .await?
        }
    };
    app.output.show(&report, || text(&report))?;
    let problems = report.problems.len();
    if problems > 0 {
        let found = count_of(problems, "problem was found", "problems were found");
        return Err(CliError::say(Kind::Failed, codes::PROBLEMS_FOUND, found));
    }
    if args.all && report.checkpoints == 0 {
        app.output
            .note("there is no checkpoint: a tail that was cut off would not be missed");
    } else if args.all {
        app.output.note(&format!(
            "a tail that was cut off after sequence {} would not be missed",
            report.covered_through
        ));
    }
    Ok(())
}

fn text(report: &AuditReport) -> String {
    let mut table = Table::new(&["PLACE", "INTENT", "PROBLEM"]);
    for problem in &report.problems {
        let intent = problem.intent.as_ref().map(ToString::to_string).unwrap_or_default();
        table.row([place(problem), intent, problem.problem.clone()]);
    }
    let count = |count: u64, one: &str, many: &str| count_of(usize::try_from(count).unwrap_or(usize::MAX), one, many);
    let summary = format!(
        "{} ({} unsigned), {} and {} were verified",
        count(report.records, "record", "records"),
        report.unsigned,
        count(report.bundles, "bundle", "bundles"),
        count(report.checkpoints, "checkpoint", "checkpoints"),
    );
    let summary = if report.removed == 0 {
        summary
    } else {
        let removed = count(report.removed, "message was", "messages were");
        format!("{summary}; {removed} removed by a controller, which says so")
    };
    if report.problems.is_empty() {
        return summary;
    }
    format!("{}\n\n{summary}", table.render())
}

fn place(problem: &Problem) -> String {
    let stream = match problem.stream {
        Audited::Ledger => "ledger",
        Audited::Archive => "archive",
        Audited::Checkpoints => "checkpoint",
    };
    let through = problem
        .through
        .map(|through| format!(" to {through}"))
        .unwrap_or_default();
    let record = problem
        .record
        .map(|record| format!(", record {record}"))
        .unwrap_or_default();
    match (problem.stream, problem.seq) {
        // The bundle of one intent, whose place nobody had to look up.
        (Audited::Archive, 0) => format!("{stream}{record}"),
        (_, seq) => format!("{stream} {seq}{through}{record}"),
    }
}
