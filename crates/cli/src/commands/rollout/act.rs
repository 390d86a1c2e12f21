//! `baton rollout promote`, `pause`, `resume`, `abort`: acts on the rollout that is under way.

use baton_envelope::AgentName;
use baton_jetstream::control::{RolloutAct, StatusView, verb};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton rollout pause`, `resume`, `abort`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ActArgs {
    /// The agent.
    agent: AgentName,
    /// Do it although somebody else owns the rollout.
    #[arg(long)]
    take_over: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `baton rollout promote`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    act: ActArgs,
    /// All steps at once.
    #[arg(long)]
    to_end: bool,
}

/// Takes the next step, or all of them.
pub(crate) async fn promote(args: PromoteArgs, app: &App) -> Result<(), CliError> {
    ask(verb::PROMOTE, args.act, args.to_end, app).await
}

/// Does one of the others.
pub(crate) async fn run(verb: &str, args: ActArgs, app: &App) -> Result<(), CliError> {
    ask(verb, args, false, app).await
}

async fn ask(verb: &str, args: ActArgs, to_end: bool, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let act = RolloutAct {
        agent: args.agent,
        by: who::person(),
        take_over: args.take_over,
        reason: args.reason,
        to_end,
    };
    let status: StatusView = mesh.control(verb, &act).await?;
    app.output.show(&status, || view::rollout_status(&status))
}
