//! `baton agents pause`: an agent gets no more work for a while.

use baton_envelope::control::{AgentAct, PauseAgent};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton agents pause`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PauseArgs {
    /// The agent.
    agent: AgentName,
    /// The version [default: all of them, also those that are still to come].
    version: Option<AgentVersion>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Pauses it.
pub(crate) async fn run(args: PauseArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let PauseArgs { agent, version, reason } = args;
    let act = AgentAct {
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason,
    };
    let route = mesh.ask_controller(&PauseAgent(act)).await?;
    app.output.show(&route, || view::versions(&route))?;
    let name = view::agent_at(Some(&agent), version.as_ref());
    let of = view::arguments(&agent, version.as_ref());
    app.output.note(&format!(
        "{name} gets no more work; `baton agents resume {of}` lets it work again"
    ));
    app.output.note(&format!(
        "what it runs may finish; `baton agents kill {of}` takes that from it"
    ));
    Ok(())
}
