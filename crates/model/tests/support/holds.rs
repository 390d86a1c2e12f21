//! What a check must find where all rules are on.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "support of tests: a failure here is a test failure, and the sizes are told"
)]

use baton_model::Found;

/// No state breaks an invariant, and there are so many that the faults were explored.
#[track_caller]
pub(crate) fn holds(name: &str, found: Found, fewest: usize) {
    println!(
        "{name}: {} states, depth {}, {:?}",
        found.unique, found.depth, found.took
    );
    if let Some((property, path)) = found.counterexample {
        panic!("{name}: {property}\n{path}");
    }
    assert!(found.unique > fewest, "{name}: only {} states", found.unique);
}
