//! `baton route`: which version of an agent takes new work.

use baton_envelope::{AgentName, AgentVersion, Route};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::who;

/// `baton route`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RouteCommand {
    /// The version of each agent that takes new work.
    List,
    /// Make a version the one that takes new work; open work stays where it is.
    Set(SetArgs),
}

/// `baton route set`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetArgs {
    /// The agent.
    agent: AgentName,
    /// The version.
    version: AgentVersion,
}

#[derive(Serialize)]
struct Document<'a> {
    routes: &'a [Route],
}

/// Runs the command.
pub(crate) async fn run(command: RouteCommand, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    match command {
        RouteCommand::List => {
            let routes = mesh.all_routes().await?;
            app.output.show(&Document { routes: &routes }, || text(&routes))?;
            if routes.is_empty() {
                app.output
                    .note("no agent has a route yet: the first worker of an agent makes one");
            }
        }
        RouteCommand::Set(SetArgs { agent, version }) => {
            // Without its stream and consumers the work would have nowhere to wait.
            mesh.ensure_agent(&agent, &version, app.config.connection.bands.into())
                .await?;
            let route = mesh.set_route(&agent, &version, &who::name(), false).await?;
            app.output.show(&route, || text(std::slice::from_ref(&route)))?;
            let declared = mesh.declarations().await?;
            if !declared.iter().any(|one| one.agent == agent && one.version == version) {
                app.output.note(&format!(
                    "no worker of {agent}@{version} has declared itself yet: its work waits until one does"
                ));
            }
        }
    }
    Ok(())
}

fn text(routes: &[Route]) -> String {
    if routes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["AGENT", "ACTIVE", "SINCE", "BY"]);
    for route in routes {
        table.row([
            route.agent.to_string(),
            route.active.to_string(),
            route.updated_at.to_string(),
            route.updated_by.clone(),
        ]);
    }
    table.render()
}
