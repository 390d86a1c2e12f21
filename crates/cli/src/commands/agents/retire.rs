//! `baton agents retire`: takes a version out of service.

use baton_envelope::control::{RetireVersion, VersionAct};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton agents retire`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetireArgs {
    /// The agent.
    agent: AgentName,
    /// The version.
    version: AgentVersion,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Retires it.
pub(crate) async fn run(args: RetireArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let RetireArgs { agent, version, reason } = args;
    let question = RetireVersion(VersionAct {
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason,
    });
    let route = mesh.ask_controller(&question).await?;
    app.output.show(&route, || format!("{agent}@{version} is retired"))?;
    app.output.note("you may stop its workers");
    Ok(())
}
