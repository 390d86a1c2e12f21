//! Two power cuts each way (`docs/reliability.md`). Everything that an always-syncing server acknowledged survives;
//! after a cut of another server, all that is left ends. `.ci/nightly` runs these and then more. Needs root, and says
//! so if it is missing.

mod hold;

use anyhow::Result;

use self::hold::hold;

fn cut(sync: &str) -> Result<()> {
    let args = ["power-cut", "--skip", "--seed", "5", "--rounds", "2", "--rate", "120"];
    hold(&[&args[..], &["--sync", sync]].concat())
}

#[test]
fn what_was_synced_is_there_after_a_power_cut() -> Result<()> {
    cut("always")?;
    cut("1s")
}
