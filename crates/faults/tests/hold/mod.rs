//! The runner itself, as a person would start it.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Result, ensure};

/// Runs `baton-faults` and shows its output; what does not hold fails the test with its first violating history.
pub(crate) fn hold(args: &[&str]) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton-faults"));
    let ended = command.args(args).env_remove("BATON_CONFIG").output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    writeln!(std::io::stderr(), "{said}")?;
    let complaints = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{args:?} did not hold:\n{said}\n{complaints}");
    Ok(())
}
