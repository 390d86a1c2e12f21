//! `baton bench`: Baton against a bare NATS client, interleaved on one server.

use crate::commands::local::BenchArgs;
use crate::error::CliError;
use crate::output::Output;

/// Runs the benchmark on servers of its own. It brings its own runtime, whose threads are a part of what is measured.
pub(crate) async fn run(args: BenchArgs, output: &Output) -> Result<(), CliError> {
    let output = *output;
    let options = args.options;
    let measured = tokio::task::spawn_blocking(move || baton_bench::run(&options, &|line| output.note(line)));
    let document = measured.await.map_err(|_| CliError::bug())??;
    output.show(&document, || baton_bench::table(&document))
}
