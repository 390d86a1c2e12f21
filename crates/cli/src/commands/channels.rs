//! `baton channels`: who gets the messages of a channel.

mod act;
mod list;
mod show;
mod status;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton channels`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ChannelsCommand {
    /// List the channels, each with its subscribers.
    List,
    /// Show who gets the messages of a channel, and why.
    Show(show::ShowArgs),
    /// Subscribe an agent to a channel, whatever it declares.
    Subscribe(act::ActArgs),
    /// Take an agent from a channel, whatever it declares.
    Unsubscribe(act::ActArgs),
    /// Show who has taken a message of a channel, who has not, and since when.
    Status(status::StatusArgs),
}

/// Runs the command.
pub(crate) async fn run(command: ChannelsCommand, app: &App) -> Result<(), CliError> {
    match command {
        ChannelsCommand::List => list::run(app).await,
        ChannelsCommand::Show(args) => show::run(args, app).await,
        ChannelsCommand::Subscribe(args) => act::subscribe(args, app).await,
        ChannelsCommand::Unsubscribe(args) => act::unsubscribe(args, app).await,
        ChannelsCommand::Status(args) => status::run(args, app).await,
    }
}
