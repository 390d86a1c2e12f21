//! What a check must find where a rule is off.

use baton_model::Found;

/// There is a way to break this invariant.
#[track_caller]
pub(crate) fn breaks(found: Found, invariant: &str) {
    let (property, path) = found.counterexample.expect("a counterexample");
    assert!(property.contains(invariant), "{property}\n{path}");
    assert!(path.lines().count() > 3, "{path}");
}
