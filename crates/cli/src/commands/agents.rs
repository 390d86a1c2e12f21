//! `baton agents`: agents and their versions, as controllers see them.

mod describe;
mod forget;
mod kill;
mod list;
mod pause;
mod quarantine;
mod resume;
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
    /// Quarantine a bad version: it gets no new work, and its open work is paused.
    Quarantine(quarantine::QuarantineArgs),
    /// Take a version out of service; refused while it has open work.
    Retire(retire::RetireArgs),
    /// Remove a retired version from the list; stop its workers first.
    Forget(forget::ForgetArgs),
    /// Pause an agent, or one version: its workers finish what they run, and get nothing more.
    Pause(pause::PauseArgs),
    /// Let a paused or killed agent, or one version, work again.
    Resume(resume::ResumeArgs),
    /// Stop an agent, or one version, now: it gets nothing more, and what it runs is taken from it.
    Kill(kill::KillArgs),
}

/// Runs the command.
pub(crate) async fn run(command: AgentsCommand, app: &App) -> Result<(), CliError> {
    match command {
        AgentsCommand::List => list::run(app).await,
        AgentsCommand::Describe(args) => describe::run(args, app).await,
        AgentsCommand::Quarantine(args) => quarantine::run(args, app).await,
        AgentsCommand::Retire(args) => retire::run(args, app).await,
        AgentsCommand::Forget(args) => forget::run(args, app).await,
        AgentsCommand::Pause(args) => pause::run(args, app).await,
        AgentsCommand::Resume(args) => resume::run(args, app).await,
        AgentsCommand::Kill(args) => kill::run(args, app).await,
    }
}
