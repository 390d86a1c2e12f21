//! `baton rollout promote`, `pause`, `resume`, `abort`: acts on the rollout that is under way.

use baton_envelope::AgentName;
use baton_envelope::control::{PromoteRollout, Question, RolloutAct, StatusView};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::{view, who};

/// `baton rollout pause`, `resume`, `abort`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ActArgs {
    /// The agent.
    agent: AgentName,
    /// Do it even if somebody else owns the rollout.
    #[arg(long)]
    take_over: bool,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `baton rollout promote`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    act: ActArgs,
    /// Take all remaining steps at once.
    #[arg(long)]
    to_end: bool,
}

/// Takes the next step, or all of them.
pub(crate) async fn promote(args: PromoteArgs, app: &App) -> Result<(), CliError> {
    ask(PromoteRollout, args.act, args.to_end, app).await
}

/// Asks one of the others.
pub(crate) async fn run<Q>(question: fn(RolloutAct) -> Q, args: ActArgs, app: &App) -> Result<(), CliError>
where
    Q: Question<Answer = StatusView>,
{
    ask(question, args, false, app).await
}

async fn ask<Q>(question: fn(RolloutAct) -> Q, args: ActArgs, to_end: bool, app: &App) -> Result<(), CliError>
where
    Q: Question<Answer = StatusView>,
{
    let mesh = app.connect().await?;
    let question = question(RolloutAct {
        agent: args.agent,
        by: who::person(),
        take_over: args.take_over,
        reason: args.reason,
        to_end,
    });
    let status = mesh.ask_controller(&question).await?;
    app.output.show(&status, || view::rollout_status(&status))
}
