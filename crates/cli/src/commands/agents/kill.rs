//! `baton agents kill`: an agent stops now, and what it ran can go on later.

use baton_envelope::control::{AgentAct, KillAgent};
use baton_envelope::{AgentName, AgentVersion};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton agents kill`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KillArgs {
    /// The agent.
    agent: AgentName,
    /// The version [default: all of them, also those that are still to come].
    version: Option<AgentVersion>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Kills it.
pub(crate) async fn run(args: KillArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let KillArgs { agent, version, reason } = args;
    let act = AgentAct {
        agent: agent.clone(),
        version: version.clone(),
        by: who::person(),
        reason,
    };
    let killed = mesh.ask_controller(&KillAgent(act)).await?;
    let name = view::agent_at(Some(&agent), version.as_ref());
    app.output.show(&killed, || {
        let intents = view::count_of(killed.fenced, "intent", "intents");
        let workers = view::count_of(killed.workers, "worker", "workers");
        format!("{name} is killed: {intents} taken from it, {workers} told")
    })?;
    let of = view::arguments(&agent, version.as_ref());
    app.output.note(&format!(
        "`baton agents resume {of}` lets it work again, from where it was taken"
    ));
    Ok(())
}
