//! `baton agents`: agents and their versions, as controllers see them.

mod add;
mod breaker;
mod budget;
mod describe;
mod forget;
mod kill;
mod limit;
mod list;
mod pause;
mod policy;
mod quarantine;
mod resume;
mod retire;

use clap::Subcommand;

pub(super) use self::breaker::then;

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
    /// Pause an agent, or one version: its workers finish what they run, and get nothing more.
    Pause(pause::PauseArgs),
    /// Let a paused or killed agent, or one version, work again.
    Resume(resume::ResumeArgs),
    /// Stop an agent, or one version, now: it gets nothing more, and what it runs is taken from it.
    Kill(kill::KillArgs),
    /// Limit what all workers of an agent do together; without a limit, show those that are set.
    Limit(limit::LimitArgs),
    /// Cap what all its workers spend in a day; without a cap, show today's.
    Budget(budget::BudgetArgs),
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
        AgentsCommand::Add(args) => add::run(args, app).await,
        AgentsCommand::Quarantine(args) => quarantine::run(args, app).await,
        AgentsCommand::Retire(args) => retire::run(args, app).await,
        AgentsCommand::Forget(args) => forget::run(args, app).await,
        AgentsCommand::Pause(args) => pause::run(args, app).await,
        AgentsCommand::Resume(args) => resume::run(args, app).await,
        AgentsCommand::Kill(args) => kill::run(args, app).await,
        AgentsCommand::Limit(args) => limit::run(args, app).await,
        AgentsCommand::Budget(args) => budget::run(args, app).await,
        AgentsCommand::Policy(args) => Box::pin(policy::run(args, app)).await,
        AgentsCommand::Breaker(args) => breaker::run(args, app).await,
    }
}
