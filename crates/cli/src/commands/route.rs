//! `baton route`: which version of an agent takes new work.

mod explain;
mod list;
mod pinning;
mod set;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton route`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RouteCommand {
    /// List the version of each agent that takes new work.
    List,
    /// Give all new work of an agent to a version; open work stays where it is.
    Set(set::SetArgs),
    /// Set how the intents of an agent keep to versions, unless they say so themselves.
    Pinning(pinning::PinningArgs),
    /// Explain which version would take a piece of work, and why.
    Explain(explain::ExplainArgs),
}

/// Runs the command.
pub(crate) async fn run(command: RouteCommand, app: &App) -> Result<(), CliError> {
    match command {
        RouteCommand::List => list::run(app).await,
        RouteCommand::Set(args) => set::run(args, app).await,
        RouteCommand::Pinning(args) => pinning::run(args, app).await,
        RouteCommand::Explain(args) => explain::run(args, app).await,
    }
}
