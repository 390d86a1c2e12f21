//! `baton agents`: agents and their versions, as controllers see them.

mod describe;
mod forget;
mod list;
mod quarantine;
mod retire;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton agents`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AgentsCommand {
    /// Every version of every agent, with its workers and its open work.
    List,
    /// Everything that is known of one agent.
    Describe(describe::DescribeArgs),
    /// Set a version aside as a bad build: it takes nothing new, and what is open on it is paused.
    Quarantine(quarantine::QuarantineArgs),
    /// Take a version out of service, once nothing is open on it.
    Retire(retire::RetireArgs),
    /// Remove a retired version from the list, once its workers are stopped.
    Forget(forget::ForgetArgs),
}

/// Runs the command.
pub(crate) async fn run(command: AgentsCommand, app: &App) -> Result<(), CliError> {
    match command {
        AgentsCommand::List => list::run(app).await,
        AgentsCommand::Describe(args) => describe::run(args, app).await,
        AgentsCommand::Quarantine(args) => quarantine::run(args, app).await,
        AgentsCommand::Retire(args) => retire::run(args, app).await,
        AgentsCommand::Forget(args) => forget::run(args, app).await,
    }
}
