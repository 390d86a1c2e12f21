//! `baton agents`: agents and their versions, as controllers see them.

mod breaker;
mod describe;
mod forget;
mod list;
mod policy;
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
    /// Quarantine a bad version: it gets no new work, and its open work is paused.
    Quarantine(quarantine::QuarantineArgs),
    /// Take a version out of service; refused while it has open work.
    Retire(retire::RetireArgs),
    /// Remove a retired version from the list; stop its workers first.
    Forget(forget::ForgetArgs),
    /// Show how its failures are treated, or change that while its workers run.
    Policy(policy::PolicyArgs),
    /// Show the breakers of its versions, or open or close one by hand.
    Breaker(breaker::BreakerArgs),
}

/// Runs the command.
pub(crate) async fn run(command: AgentsCommand, app: &App) -> Result<(), CliError> {
    match command {
        AgentsCommand::List => list::run(app).await,
        AgentsCommand::Describe(args) => describe::run(args, app).await,
        AgentsCommand::Quarantine(args) => quarantine::run(args, app).await,
        AgentsCommand::Retire(args) => retire::run(args, app).await,
        AgentsCommand::Forget(args) => forget::run(args, app).await,
        AgentsCommand::Policy(args) => Box::pin(policy::run(args, app)).await,
        AgentsCommand::Breaker(args) => breaker::run(args, app).await,
    }
}
