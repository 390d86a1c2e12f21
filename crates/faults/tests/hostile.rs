//! The small hostile load (`docs/reliability.md`); `.ci/nightly` runs this and then the large one.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Result, ensure};

#[test]
fn hostile_load_loses_nothing_and_starves_nobody() -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton-faults"));
    let ended = command
        .args(["hostile", "--small"])
        .env_remove("BATON_CONFIG")
        .output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    writeln!(std::io::stderr(), "{said}")?;
    let complaints = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "it did not hold:\n{said}\n{complaints}");
    Ok(())
}
