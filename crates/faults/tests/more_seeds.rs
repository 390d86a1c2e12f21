//! More seeds, on one server and on three. `.ci/nightly` runs these and then longer ones.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Result, ensure};

/// Runs seeds and shows their output; a seed that does not hold fails the test with its first violating history.
fn hold(args: &[&str]) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton-faults"));
    let ended = command.args(args).env_remove("BATON_CONFIG").output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    writeln!(std::io::stderr(), "{said}")?;
    let complaints = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{args:?} did not hold:\n{said}\n{complaints}");
    Ok(())
}

#[test]
fn two_more_seeds_hold_on_one_server() -> Result<()> {
    hold(&["--seed", "2", "--seeds", "2", "--minutes", "0.2", "--rate", "30"])
}

#[test]
fn a_seed_holds_on_three_servers() -> Result<()> {
    hold(&["--seed", "100", "--servers", "3", "--minutes", "0.25", "--rate", "20"])
}
