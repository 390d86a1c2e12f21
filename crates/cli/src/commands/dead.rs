//! `baton dead`: work that was set aside or declined, and the way back.

mod list;
mod redrive;
mod show;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton dead`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DeadCommand {
    /// List parked and rejected work, newest first.
    List(list::ListArgs),
    /// Show why an intent was parked or rejected, and what it carried.
    Show(show::ShowArgs),
    /// Give parked work to its agent again, or publish a rejected raw intent again.
    Redrive(redrive::RedriveArgs),
}

/// Runs the command.
pub(crate) async fn run(command: DeadCommand, app: &App) -> Result<(), CliError> {
    match command {
        DeadCommand::List(args) => list::run(args, app).await,
        DeadCommand::Show(args) => show::run(args, app).await,
        DeadCommand::Redrive(args) => redrive::run(args, app).await,
    }
}
