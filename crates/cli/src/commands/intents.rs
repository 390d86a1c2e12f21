//! `baton intents`: where intents stand, and how they got there.

mod cancel;
mod get;
mod list;
mod moves;
mod pause;
mod restart;
mod resume;
mod retry;
mod state;
mod tree;
mod wait;
mod watch;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton intents`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum IntentsCommand {
    /// Show one intent: its status, its path, its timeline and its result.
    Get(get::GetArgs),
    /// List intents, newest first.
    List(list::ListArgs),
    /// Show how far an intent is, as its agent tells.
    State(state::StateArgs),
    /// Show an intent with the children that it asked, theirs, and what each came to.
    Tree(tree::TreeArgs),
    /// Follow transitions as they happen; those of one intent from its first record until it ends.
    Watch(watch::WatchArgs),
    /// Move the open work of one version of an agent to another version.
    Move(moves::MoveArgs),
    /// Cancel an open intent; what its holder commits afterwards is refused.
    Cancel(cancel::CancelArgs),
    /// Pause an open intent; what its holder commits afterwards is refused, and what it waits for is kept.
    Pause(pause::PauseArgs),
    /// Let a paused intent go on.
    Resume(resume::ResumeArgs),
    /// Start the next attempt of an intent now, whatever delay it has.
    Retry(retry::RetryArgs),
    /// Begin an intent again from one of its hops, as a new intent.
    Restart(restart::RestartArgs),
    /// Wait until an intent ends, and print its result, as `baton send --wait` does.
    Wait(wait::WaitArgs),
}

/// Runs the command.
pub(crate) async fn run(command: IntentsCommand, app: &App) -> Result<(), CliError> {
    match command {
        IntentsCommand::Get(args) => get::run(args, app).await,
        IntentsCommand::List(args) => list::run(args, app).await,
        IntentsCommand::State(args) => state::run(args, app).await,
        IntentsCommand::Tree(args) => tree::run(args, app).await,
        IntentsCommand::Watch(args) => watch::run(args, app).await,
        IntentsCommand::Move(args) => moves::run(args, app).await,
        IntentsCommand::Cancel(args) => cancel::run(args, app).await,
        IntentsCommand::Pause(args) => pause::run(args, app).await,
        IntentsCommand::Resume(args) => resume::run(args, app).await,
        IntentsCommand::Retry(args) => retry::run(args, app).await,
        IntentsCommand::Restart(args) => restart::run(args, app).await,
        IntentsCommand::Wait(args) => wait::run(args, app).await,
    }
}
