//! One seed: the runner itself, as a person would start it. `more_seeds.rs`, which `.ci/nightly` runs, has more; others
//! run by hand (`docs/reliability.md`).

mod hold;

use anyhow::Result;

use self::hold::hold;

#[test]
fn a_seed_holds_on_one_server() -> Result<()> {
    // A seed whose disk is filled.
    hold(&["--seed", "4", "--minutes", "0.2", "--rate", "30"])
}
