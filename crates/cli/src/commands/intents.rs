//! `baton intents`: where intents stand, and how they got there.

mod cancel;
mod get;
mod list;
mod moves;
mod watch;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton intents`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum IntentsCommand {
    /// One intent: its state, its path, its timeline and its result.
    Get(get::GetArgs),
    /// Many intents: the newest first.
    List(list::ListArgs),
    /// Transitions as they happen; for one intent with its history so far, until it ends.
    Watch(watch::WatchArgs),
    /// Give the open work of one version of an agent to another.
    Move(moves::MoveArgs),
    /// End an open intent that nobody wants any more; what its holder commits afterwards is refused.
    Cancel(cancel::CancelArgs),
}

/// Runs the command.
pub(crate) async fn run(command: IntentsCommand, app: &App) -> Result<(), CliError> {
    match command {
        IntentsCommand::Get(args) => get::run(args, app).await,
        IntentsCommand::List(args) => list::run(args, app).await,
        IntentsCommand::Watch(args) => watch::run(args, app).await,
        IntentsCommand::Move(args) => moves::run(args, app).await,
        IntentsCommand::Cancel(args) => cancel::run(args, app).await,
    }
}
