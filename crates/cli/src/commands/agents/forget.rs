//! `baton agents forget`: removes a retired version from the list.

use baton_envelope::control::{ForgetVersion, VersionAct};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton agents forget`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ForgetArgs {
    /// The agent.
    agent: AgentName,
    /// The version.
    version: AgentVersion,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Forgets it.
pub(crate) async fn run(args: ForgetArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let ForgetArgs { agent, version, reason } = args;
    let question = ForgetVersion(VersionAct {
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason,
    });
    let route = mesh.ask_controller(&question).await?;
    app.output.show(&route, || format!("{agent}@{version} is forgotten"))
}
