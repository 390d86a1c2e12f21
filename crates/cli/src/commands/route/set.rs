//! `baton route set`: makes a version the one that takes new work.

use baton_envelope::{AgentName, AgentVersion, Route};
use baton_jetstream::control::{VersionAct, verb};
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
    let act = VersionAct {
        agent,
        version,
        by: who::person(),
        reason: None,
    };
    let route: Route = mesh.control(verb::SET_ROUTE, &act).await?;
    app.output.show(&route, || list::text(std::slice::from_ref(&route)))?;
    let VersionAct { agent, version, .. } = act;
    let declared = mesh.declarations().await?;
    if !declared.iter().any(|one| one.agent == agent && one.version == version) {
        app.output.note(&format!(
            "no worker of {agent}@{version} has declared itself yet: its work waits until one does"
        ));
    }
    Ok(())
}
