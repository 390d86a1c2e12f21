//! Three accidents (`docs/reliability.md`): one that the mesh heals by itself, a consumer that is taken away, and one that the
//! command of `baton doctor` mends. `.ci/nightly` runs all of them.

mod hold;

use anyhow::Result;

use self::hold::hold;

#[test]
fn a_mesh_is_whole_again_after_an_accident() -> Result<()> {
    hold(&["accidents", "--short"])
}
