//! The protocol as it is: no state within the small bounds breaks an invariant (I1 to I6).

#[path = "support/holds.rs"]
mod held;

use baton_model::{Bounds, Faults, Protocol, SMALL};

use self::held::holds;

/// With fewer states than this, the faults were not explored.
const FEWEST: usize = 1_000;

#[test]
fn no_state_within_small_bounds_breaks_an_invariant() {
    for suite in SMALL {
        let found = Protocol::new(suite.bounds).check(2);
        holds(suite.name, found, FEWEST);
    }
}

/// Without faults everything completes, in few states.
#[test]
fn a_calm_world_has_few_states() {
    let found = Protocol::new(Bounds::calm().with(Faults::none())).check(1);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
    assert!(found.unique < FEWEST, "{}", found.unique);
}
