//! Which command line runs which command.

use clap::CommandFactory as _;

use crate::app::App;
use crate::args::{Cli, Command};
use crate::commands;
use crate::error::CliError;

/// Runs a command.
pub(crate) async fn run(command: Command, app: &App) -> Result<(), CliError> {
    match command {
        Command::Demo(args) => Box::pin(commands::demo::run(args, &app.output)).await,
        Command::DemoAgent(args) => Box::pin(commands::demo::agent(args, app)).await,
        Command::Dev(args) => Box::pin(commands::dev::run(args, app)).await,
        Command::Controller(args) => Box::pin(commands::controller::run(args, app)).await,
        Command::Worker(args) => Box::pin(commands::worker::run(args, app)).await,
        Command::Send(args) => Box::pin(commands::send::run(*args, app)).await,
        Command::Signal(args) => Box::pin(commands::signal::run(args, app)).await,
        Command::Intents(command) => Box::pin(commands::intents::run(command, app)).await,
        Command::Dead(command) => Box::pin(commands::dead::run(command, app)).await,
        Command::Approvals(command) => Box::pin(commands::approvals::run(command, app)).await,
        Command::Rollout(command) => Box::pin(commands::rollout::run(command, app)).await,
        Command::Route(command) => Box::pin(commands::route::run(command, app)).await,
        Command::Agents(command) => Box::pin(commands::agents::run(command, app)).await,
        Command::Schedules(command) => Box::pin(commands::schedules::run(command, app)).await,
        Command::Pipelines(command) => Box::pin(commands::pipelines::run(command, app)).await,
        Command::Channels(command) => Box::pin(commands::channels::run(command, app)).await,
        Command::Work(command) => Box::pin(commands::work::run(command, app)).await,
        Command::Budget(command) => Box::pin(commands::budget::run(command, app)).await,
        Command::Context(command) => Box::pin(commands::context::run(command, app)).await,
        Command::Memory(command) => Box::pin(commands::memory::run(command, app)).await,
        Command::Archive(command) => Box::pin(commands::archive::run(command, app)).await,
        Command::Export(args) => Box::pin(commands::export::run(args, app)).await,
        Command::Import(args) => Box::pin(commands::import::run(args, app)).await,
        Command::Repair(args) => Box::pin(commands::repair::run(args, app)).await,
        Command::Audit(command) => Box::pin(commands::audit::run(command, app)).await,
        Command::Mesh(command) => Box::pin(commands::mesh::run(command, app)).await,
        Command::Doctor(args) => Box::pin(commands::doctor::run(args, app)).await,
        Command::Access(args) => Box::pin(commands::access::run(args, app)).await,
        Command::Explain(args) => commands::explain::run(&args, app.output),
        Command::Conformance(command) => Box::pin(commands::conformance::run(command, app)).await,
        Command::Bench(args) => Box::pin(commands::bench::run(args, &app.output)).await,
        Command::Completions(args) => commands::completions::run(args, &mut Cli::command(), &app.output),
    }
}
