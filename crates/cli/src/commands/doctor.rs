//! `baton doctor`: what an operator should know, each finding with its remedy.

use std::time::Duration;

use baton_jetstream::control::{AboutAgent, AgentsView, verb};
use baton_jetstream::{Finding, Level, Mesh, examine};
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;

/// How long a controller is looked for.
const PATIENCE: Duration = Duration::from_millis(500);

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
    let mut findings = examine(&mesh).await?;
    findings.extend(controllers(&mesh).await);
    Ok(findings)
}

/// Whether a controller answers, and what it says needs a person.
async fn controllers(mesh: &Mesh) -> Vec<Finding> {
    let all = AboutAgent::default();
    let agents: AgentsView = match mesh.control_within(PATIENCE, verb::AGENTS, &all).await {
        Ok(agents) => agents,
        Err(error) => {
            let remedy = "start `baton controller`: raw intents, rollouts and drains wait for one";
            return vec![Finding::new("controllers", Level::Warning, error.to_string(), remedy)];
        }
    };
    let alarms = agents.agents.into_iter().flat_map(|agent| agent.alarms);
    let mut findings: Vec<Finding> = alarms
        .map(|alarm| Finding::new(alarm.code, Level::Problem, alarm.message, alarm.ways_out.join("; or ")))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::new(
            "controllers",
            Level::Ok,
            "one answers, and there is no alarm",
            "",
        ));
    }
    findings
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
