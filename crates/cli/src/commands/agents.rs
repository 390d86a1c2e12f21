//! `baton agents`: agents and their versions, as controllers see them.

mod add;
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
    /// List every version of every agent, with its workers and its open work.
    List,
    /// Show everything known about one agent.
    Describe(describe::DescribeArgs),
    /// Make a version known before its workers come, or say that people do its work.
    Add(add::AddArgs),
    /// Quarantine a bad version: it gets no new work, and its open work is paused.
    Quarantine(quarantine::QuarantineArgs),
    /// Take a version out of service; refused while it has open work.
    Retire(retire::RetireArgs),
    /// Remove a retired version from the list; stop its workers first.
    Forget(forget::ForgetArgs),
}

/// Runs the command.
pub(crate) async fn run(command: AgentsCommand, app: &App) -> Result<(), CliError> {
    match command {
        AgentsCommand::List => list::run(app).await,
        AgentsCommand::Describe(args) => describe::run(args, app).await,
        AgentsCommand::Add(args) => add::run(args, app).await,
        AgentsCommand::Quarantine(args) => quarantine::run(args, app).await,
        AgentsCommand::Retire(args) => retire::run(args, app).await,
        AgentsCommand::Forget(args) => forget::run(args, app).await,
    }
}
