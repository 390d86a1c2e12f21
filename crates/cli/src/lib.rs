//! The `baton` command: arguments in, a library call, a table or JSON out.
//!
//! It owns what a person types and reads: flags, the configuration file, tables, hints and exit codes. It decides
//! nothing about intents: the other crates do.

mod app;
mod args;
mod commands;
mod config;
mod dispatch;
mod error;
mod logging;
mod near;
mod output;
mod pages;
mod parse;
mod view;
mod who;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};

use crate::app::App;
use crate::args::Cli;
use crate::error::CliError;
use crate::output::Output;

/// The command line as clap knows it: for completions, and for tests that check commands without running them.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line of this process and gives its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&args::without_environment(error)),
    };
    let output = Output::new(cli.global.output);
    let result = catch_unwind(AssertUnwindSafe(|| run(cli, output))).unwrap_or_else(|_| Err(CliError::bug()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    if let args::Command::Completions(args) = cli.command {
        return commands::completions::run(args, &mut command(), &output);
    }
    // Before the configuration is read: it may be what is to be explained.
    if let args::Command::Explain(args) = &cli.command {
        return commands::explain::run(args, output);
    }
    logging::init(cli.global.verbose, cli.command.is_long_running(), &output);
    let app = App::new(cli.global, output, config::environment())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::io(anyhow::Error::new(error).context("the async runtime cannot be started")))?;
    let result = runtime.block_on(async {
        match dispatch::run(cli.command, &app).await {
            Err(error) => Err(app.explained(error).await),
            Ok(()) => Ok(()),
        }
    });
    // Whatever still runs belongs to a command that has said its last word; dropping it ends its child processes.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
