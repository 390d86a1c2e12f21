//! `baton route set`: makes a version the one that takes new work.

use baton_envelope::control::{SetRoute, VersionAct};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use super::list;
use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton route set`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetArgs {
    /// The agent.
    agent: AgentName,
    /// The version.
    version: AgentVersion,
}

/// Sets it.
pub(crate) async fn run(args: SetArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let SetArgs { agent, version } = args;
    let question = SetRoute(VersionAct {
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason: None,
    });
    let route = mesh.ask_controller(&question).await?;
    app.output.show(&route, || list::text(std::slice::from_ref(&route)))?;
    let declared = mesh.declarations().await?;
    if !declared.iter().any(|one| one.agent == agent && one.version == version) {
        app.output.note(&format!(
            "no worker of {agent}@{version} has declared itself yet: its work waits until one does"
        ));
    }
    Ok(())
}
