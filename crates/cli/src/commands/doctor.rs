//! `baton doctor`: what an operator should know, each finding with its remedy.

use baton_jetstream::{Finding, Level, examine};
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;

#[derive(Serialize)]
struct Document<'a> {
    findings: &'a [Finding],
    problems: usize,
    warnings: usize,
}

/// Examines the server and the mesh on it; changes nothing.
pub(crate) async fn run(app: &App) -> Result<(), CliError> {
    let (findings, kind) = match look(app).await {
        Ok(findings) => (findings, Kind::Failed),
        // That there is no usable server is what a person came to find out: a finding like any other.
        Err(error) => (vec![finding(&error)], error.kind),
    };
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    let document = Document {
        findings: &findings,
        problems,
        warnings,
    };
    app.output.show(&document, || text(&findings))?;
    match problems {
        0 => {
            app.output.note(&format!("no problems, {warnings} warnings"));
            Ok(())
        }
        1 => Err(CliError::say(kind, "1 problem was found")),
        _ => Err(CliError::say(kind, format!("{problems} problems were found"))),
    }
}

async fn look(app: &App) -> Result<Vec<Finding>, CliError> {
    let mesh = app.connect().await?;
    Ok(examine(&mesh).await?)
}

fn finding(error: &CliError) -> Finding {
    let mut found = error.message();
    for cause in error.causes() {
        found.push_str(": ");
        found.push_str(&cause);
    }
    Finding::new("connection", Level::Problem, found, error.hints.join("; "))
}

fn text(findings: &[Finding]) -> String {
    let mut table = Table::new(&["CHECK", "LEVEL", "FOUND", "REMEDY"]);
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        table.row([
            finding.check.clone(),
            level.to_owned(),
            finding.found.clone(),
            finding.remedy.clone(),
        ]);
    }
    table.render()
}
