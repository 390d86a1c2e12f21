//! `baton rollout`: the new work of an agent goes to another version, step by step; open work stays where it is.

mod act;
mod history;
mod plan;
mod rollback;
mod start;
mod status;

use baton_envelope::control::{AbortRollout, PauseRollout, ResumeRollout};
use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton rollout`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Check whether a version can be rolled out; changes nothing.
    Plan(plan::PlanArgs),
    /// Start to roll out a version: give it a share of the new work, then more.
    Start(start::StartArgs),
    /// Show where a rollout stands, how the two versions do, and what the old one still has open.
    Status(status::StatusArgs),
    /// Take the next step now.
    Promote(act::PromoteArgs),
    /// Keep a rollout at its step until it is resumed.
    Pause(act::ActArgs),
    /// Resume a paused rollout.
    Resume(act::ActArgs),
    /// End a rollout: all new work goes to the old version.
    Abort(act::ActArgs),
    /// Give the new work back to an older version, whoever owns the rollout.
    Rollback(rollback::RollbackArgs),
    /// Show every decision on an agent's route, with its numbers.
    History(history::HistoryArgs),
}

/// Runs the command.
pub(crate) async fn run(command: RolloutCommand, app: &App) -> Result<(), CliError> {
    match command {
        RolloutCommand::Plan(args) => plan::run(args, app).await,
        RolloutCommand::Start(args) => start::run(args, app).await,
        RolloutCommand::Status(args) => status::run(args, app).await,
        RolloutCommand::Promote(args) => act::promote(args, app).await,
        RolloutCommand::Pause(args) => act::run(PauseRollout, args, app).await,
        RolloutCommand::Resume(args) => act::run(ResumeRollout, args, app).await,
        RolloutCommand::Abort(args) => act::run(AbortRollout, args, app).await,
        RolloutCommand::Rollback(args) => rollback::run(args, app).await,
        RolloutCommand::History(args) => history::run(args, app).await,
    }
}
