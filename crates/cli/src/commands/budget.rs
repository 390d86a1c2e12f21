//! `baton budget`: what an intent may spend, where it went, and adding to it.

mod show;
mod top_up;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton budget`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum BudgetCommand {
    /// Show what an intent and its children may spend, and what became of it.
    Show(show::ShowArgs),
    /// Add to the budget of an intent. One that was parked for want of it goes on by itself.
    TopUp(top_up::TopUpArgs),
}

/// Runs the command.
pub(crate) async fn run(command: BudgetCommand, app: &App) -> Result<(), CliError> {
    match command {
        BudgetCommand::Show(args) => show::run(args, app).await,
        BudgetCommand::TopUp(args) => top_up::run(args, app).await,
    }
}
