//! The commands, one file each.

pub(crate) mod agents;
pub(crate) mod archive;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod controller;
pub(crate) mod dead;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod intents;
pub(crate) mod local;
pub(crate) mod payload;
pub(crate) mod rollout;
pub(crate) mod route;
pub(crate) mod send;
pub(crate) mod worker;

use clap::CommandFactory as _;

use crate::app::App;
use crate::args::{Cli, Command};
use crate::error::CliError;

/// Runs a command.
pub(crate) async fn run(command: Command, app: &App) -> Result<(), CliError> {
    match command {
        Command::Demo(args) => Box::pin(demo::run(args, &app.output)).await,
        Command::DemoAgent(args) => Box::pin(demo::agent(args, app)).await,
        Command::Dev(args) => Box::pin(dev::run(args, app)).await,
        Command::Controller(args) => Box::pin(controller::run(args, app)).await,
        Command::Worker(args) => Box::pin(worker::run(args, app)).await,
        Command::Send(args) => Box::pin(send::run(args, app)).await,
        Command::Intents(command) => Box::pin(intents::run(command, app)).await,
        Command::Dead(command) => Box::pin(dead::run(command, app)).await,
        Command::Rollout(command) => Box::pin(rollout::run(command, app)).await,
        Command::Route(command) => Box::pin(route::run(command, app)).await,
        Command::Agents(command) => Box::pin(agents::run(command, app)).await,
        Command::Archive(command) => Box::pin(archive::run(command, app)).await,
        Command::Doctor => Box::pin(doctor::run(app)).await,
        Command::Bench(args) => Box::pin(bench::run(args, &app.output)).await,
        Command::Completions(args) => completions::run(args, &mut Cli::command(), &app.output),
    }
}
