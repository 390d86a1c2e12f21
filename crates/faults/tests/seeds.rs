//! One seed: the runner itself, as a person would start it. `more_seeds.rs`, which `.ci/nightly` runs, has more; others
//! run by hand (`docs/reliability.md`).

use std::io::Write as _;
use std::process::Command;

use anyhow::{Result, ensure};

#[test]
fn a_seed_holds_on_one_server() -> Result<()> {
    // A seed whose disk is filled.
    let args = ["--seed", "4", "--minutes", "0.2", "--rate", "30"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton-faults"));
    let ended = command.args(args).env_remove("BATON_CONFIG").output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    writeln!(std::io::stderr(), "{said}")?;
    let complaints = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{args:?} did not hold:\n{said}\n{complaints}");
    Ok(())
}
