//! Two power cuts each way (`docs/reliability.md`). Everything that an always-syncing server acknowledged survives;
//! after a cut of another server, all that is left ends. `.ci/nightly` runs these and then more. Needs root, and says
//! so if it is missing.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Result, ensure};

fn hold(sync: &str) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton-faults"));
    let args = [
        "power-cut",
        "--skip",
        "--seed",
        "5",
        "--rounds",
        "2",
        "--rate",
        "120",
        "--sync",
        sync,
    ];
    let ended = command.args(args).env_remove("BATON_CONFIG").output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    writeln!(std::io::stderr(), "{said}")?;
    let complaints = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{args:?} did not hold:\n{said}\n{complaints}");
    Ok(())
}

#[test]
fn what_was_synced_is_there_after_a_power_cut() -> Result<()> {
    hold("always")?;
    hold("1s")
}
