//! `baton agents`: what workers have said of themselves, and which versions take new work.

use baton_envelope::{Declaration, Route};
use clap::Subcommand;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton agents`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AgentsCommand {
    /// The agent versions that have declared themselves.
    List,
}

#[derive(Serialize)]
struct Document<'a> {
    agents: &'a [Declaration],
    routes: &'a [Route],
}

/// Runs the command.
pub(crate) async fn run(command: AgentsCommand, app: &App) -> Result<(), CliError> {
    let AgentsCommand::List = command;
    let mesh = app.connect().await?;
    let (agents, routes) = (mesh.declarations().await?, mesh.all_routes().await?);
    let document = Document {
        agents: &agents,
        routes: &routes,
    };
    app.output.show(&document, || text(&agents, &routes))?;
    if agents.is_empty() && routes.is_empty() {
        app.output.note("no agent has declared itself yet");
    }
    Ok(())
}

fn text(agents: &[Declaration], routes: &[Route]) -> String {
    let mut table = Table::new(&[
        "AGENT",
        "VERSION",
        "ROUTE",
        "CAPABILITIES",
        "CONCURRENCY",
        "PROTOCOL",
        "INSTANCE",
        "DECLARED",
    ]);
    for one in agents {
        let active = routes
            .iter()
            .any(|route| route.agent == one.agent && route.active == one.version);
        table.row([
            one.agent.to_string(),
            one.version.to_string(),
            if active { "active" } else { "-" }.to_owned(),
            one.capabilities.join(", "),
            one.concurrency.to_string(),
            format!("{} - {}", one.protocol.oldest, one.protocol.newest),
            one.instance.clone(),
            one.at.to_string(),
        ]);
    }
    let undeclared = routes.iter().filter(|route| {
        !agents
            .iter()
            .any(|one| one.agent == route.agent && one.version == route.active)
    });
    for route in undeclared.clone() {
        let mut row = vec![route.agent.to_string(), route.active.to_string(), "active".to_owned()];
        row.extend(["", "", "", "(never declared)", ""].map(str::to_owned));
        table.row(row);
    }
    if agents.is_empty() && undeclared.count() == 0 {
        return String::new();
    }
    table.render()
}
