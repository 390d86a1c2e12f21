//! Checks the model of the commit protocol within its bounds, and prints what was explored.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use baton_model::{BrokenFamily, BrokenWait, DEEP, FAMILIES, Family, Protocol, SMALL, WAITS, Waiting};
use clap::Parser;

/// Explores the commit protocol exhaustively within small bounds.
#[derive(Debug, Parser)]
struct Args {
    /// The deep bounds too: some minutes and some gigabytes.
    #[arg(long)]
    deep: bool,
    /// Only the bounds whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Threads to explore with.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<34}{:>14}{:>14}{:>8}{:>10}",
        "bounds", "states", "generated", "depth", "seconds"
    )?;
    let deep = DEEP.iter().filter(|_| args.deep);
    let mut code = ExitCode::SUCCESS;
    let is_meant = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let commits = SMALL.iter().chain(deep).filter(|suite| is_meant(suite.name));
    let commits = commits.map(|suite| (suite.name, Protocol::new(suite.bounds).check(args.threads)));
    let waits = WAITS.iter().filter(|suite| is_meant(suite.name));
    let waits = waits.map(|suite| {
        let (bounds, broken) = (suite.bounds, BrokenWait::Nothing);
        (suite.name, Waiting { bounds, broken }.check(args.threads))
    });
    let families = FAMILIES.iter().filter(|suite| is_meant(suite.name));
    let families = families.map(|suite| {
        let family = Family::new(suite.bounds.clone(), BrokenFamily::Nothing);
        (suite.name, family.check(args.threads))
    });
    for (name, found) in commits.chain(waits).chain(families) {
        let took = found.took.as_secs_f64();
        writeln!(
            out,
            "{name:<34}{:>14}{:>14}{:>8}{took:>10.1}",
            found.unique, found.states, found.depth
        )?;
        if let Some((property, path)) = found.counterexample {
            writeln!(out, "does not hold: {property}\n{path}")?;
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
