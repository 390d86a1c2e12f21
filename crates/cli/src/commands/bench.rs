//! `baton bench`: Baton against a bare NATS client, interleaved on one server.

use crate::commands::local::BenchArgs;
use crate::error::CliError;
use crate::output::Output;

/// Runs the benchmark on servers of its own. It brings its own runtime, whose threads are a part of what is measured.
pub(crate) async fn run(args: BenchArgs, output: &Output) -> Result<(), CliError> {
    let output = *output;
    let mut options = args.options;
    options.own_command.push("bench".into());
    let measured = tokio::task::spawn_blocking(move || baton_bench::run(&options, &|line| output.note(line)));
    match measured.await.map_err(|_| CliError::bug())?? {
        Some(document) => output.show(&document, || baton_bench::table(&document)),
        None => Ok(()),
    }
}
