//! `baton agents retire`: takes a version out of service.

use baton_envelope::{AgentName, AgentVersion, Route};
use baton_jetstream::control::{VersionAct, verb};
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
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Retires it.
pub(crate) async fn run(args: RetireArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let act = VersionAct {
        agent: args.agent,
        version: args.version,
        by: who::person(),
        reason: args.reason,
    };
    let route: Route = mesh.control(verb::RETIRE, &act).await?;
    app.output
        .show(&route, || format!("{}@{} is retired", act.agent, act.version))?;
    app.output.note("its workers may be stopped");
    Ok(())
}
