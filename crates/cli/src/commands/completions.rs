//! `baton completions`: a completion script for a shell.

use clap::Args;
use clap_complete::Shell;

use crate::error::CliError;
use crate::output::Output;

/// `baton completions`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script for this command line.
pub(crate) fn run(args: CompletionsArgs, command: &mut clap::Command, output: &Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "baton", &mut script);
    output.raw(&script)
}
