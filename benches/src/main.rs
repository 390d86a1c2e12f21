//! `baton-bench`: the same as `baton bench`, without the rest of `baton`, so that it builds quickly.

use std::io::Write as _;
use std::process::ExitCode;

use baton_bench::{BenchError, Options, run, table, telephone, telephone_table};
use clap::{Parser, Subcommand, ValueEnum};

/// The allocator of `baton`, for both sides alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Baton against a bare NATS client that does the least a durable handoff can do.
#[derive(Debug, Parser)]
#[command(name = "baton-bench", version, max_term_width = 110)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Measured>,
    #[command(flatten)]
    options: Options,
    /// Tables for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// What else is measured than workloads.
#[derive(Debug, Clone, Subcommand)]
enum Measured {
    /// What is left of what the first agent knew when the last one needs it, by five carriers.
    Telephone {
        /// How many chains of agents.
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        chains: u32,
        /// The seed: the same one gives the same figures.
        #[arg(long, value_name = "SEED", default_value_t = 1)]
        seed: u64,
        /// Tables for people, or JSON for programs.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
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
    let measured = match cli.command {
        Some(Measured::Telephone { chains, seed, output }) => carried(chains, seed, output),
        None => measure(&cli).map(|()| true),
    };
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
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
    say(&text)
}

/// Whether Baton has carried as much as it must.
fn carried(chains: u32, seed: u64, output: Format) -> Result<bool, BenchError> {
    let report = telephone(chains, seed)?;
    say(&match output {
        Format::Table => telephone_table(&report),
        Format::Json => serde_json::to_string_pretty(&report).unwrap_or_default(),
    })?;
    Ok(report.missed.is_empty())
}

fn say(text: &str) -> Result<(), BenchError> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|source| BenchError::Io {
        what: "writing the result".to_owned(),
        source,
    })
}

/// If stderr is closed, there is nobody to tell.
fn tell(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
