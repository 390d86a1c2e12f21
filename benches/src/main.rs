//! `baton-bench`: the same as `baton bench`, without the rest of `baton`, so that it builds quickly.

use std::io::Write as _;
use std::process::ExitCode;

use baton_bench::{BenchError, Options, run, table};
use clap::{Parser, ValueEnum};

/// The allocator of `baton`, for both sides alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Baton against a bare NATS client that does the least a durable handoff can do.
#[derive(Debug, Parser)]
#[command(name = "baton-bench", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    options: Options,
    /// Tables for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // Servers exit while connections to them are still open.
        .with_env_filter("warn,baton_jetstream::connect=error")
        .init();
    match measure(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(BenchError::Interrupted) => ExitCode::from(130),
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
            while let Some(next) = cause {
                text.push_str(&format!("\n  caused by: {next}"));
                cause = next.source();
            }
            tell(&text);
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<(), BenchError> {
    let Some(document) = run(&cli.options, &tell)? else {
        return Ok(());
    };
    let text = match cli.output {
        Format::Table => table(&document),
        Format::Json => serde_json::to_string_pretty(&document).unwrap_or_default(),
    };
    writeln!(std::io::stdout().lock(), "{text}").map_err(|source| BenchError::Io {
        what: "writing the result".to_owned(),
        source,
    })
}

/// If stderr is closed, there is nobody to tell.
fn tell(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
