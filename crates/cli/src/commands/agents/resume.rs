//! `baton agents resume`: a paused or killed agent works again.

use baton_envelope::control::{AgentAct, ResumeAgent};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton agents resume`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResumeArgs {
    /// The agent.
    agent: AgentName,
    /// The version [default: all of them, also those that are still to come].
    version: Option<AgentVersion>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Resumes it.
pub(crate) async fn run(args: ResumeArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let ResumeArgs { agent, version, reason } = args;
    let act = AgentAct {
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason,
    };
    let route = mesh.ask_controller(&ResumeAgent(act)).await?;
    app.output.show(&route, || view::versions(&route))?;
    let name = view::agent_at(Some(&agent), version.as_ref());
    app.output.note(&format!("the work of {name} goes on"));
    Ok(())
}
