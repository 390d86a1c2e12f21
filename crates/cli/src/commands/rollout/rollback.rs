//! `baton rollout rollback`: the new work goes back to an older version.

use baton_envelope::control::RollBack;
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton rollout rollback`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    /// The agent.
    agent: AgentName,
    /// The version that gets the new work [default: the one that was active before].
    #[arg(long, value_name = "VERSION")]
    to: Option<AgentVersion>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Rolls back. What the other version still holds is among the drains of the answer.
pub(crate) async fn run(args: RollbackArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = RollBack {
        agent: args.agent,
        to: args.to,
        by: who::person(),
        reason: args.reason,
    };
    let status = mesh.ask_controller(&question).await?;
    app.output.show(&status, || view::rollout_status(&status))
}
