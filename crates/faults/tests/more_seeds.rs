//! More seeds, on one server and on three. `.ci/nightly` runs these and then longer ones.

mod hold;

use anyhow::Result;

use self::hold::hold;

#[test]
fn two_more_seeds_hold_on_one_server() -> Result<()> {
    hold(&["--seed", "2", "--seeds", "2", "--minutes", "0.2", "--rate", "30"])
}

#[test]
fn a_seed_holds_on_three_servers() -> Result<()> {
    hold(&["--seed", "100", "--servers", "3", "--minutes", "0.25", "--rate", "20"])
}
