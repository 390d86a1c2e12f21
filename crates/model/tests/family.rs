//! Children on three levels, three for each parent: no state within the bounds breaks P5, P6 or P7, and each rule that a first form
//! of the design lacked gives a counterexample when it is switched off.

#![expect(clippy::expect_used, reason = "support of tests: a failure here is a test failure")]

#[path = "support/holds.rs"]
mod held;
#[path = "support/breaks.rs"]
mod shown;

use baton_model::{BrokenFamily, FAMILIES, Family, FamilyBounds};

use self::held::holds;

/// With fewer states than this, the levels were not explored.
const FEWEST: usize = 2_000;

fn bounds(name: &str) -> FamilyBounds {
    let found = FAMILIES.iter().find(|suite| suite.name.ends_with(name));
    found.expect("bounds of this name").bounds.clone()
}

#[track_caller]
fn breaks(broken: BrokenFamily, name: &str, invariant: &str) {
    let found = Family::new(bounds(name), broken).check(2);
    shown::breaks(found, invariant);
}

#[test]
fn no_state_within_the_bounds_breaks_an_invariant_of_children() {
    for suite in &FAMILIES {
        let found = Family::new(suite.bounds.clone(), BrokenFamily::Nothing).check(2);
        holds(suite.name, found, FEWEST);
    }
}

/// The leader dies between the two records.
#[test]
fn a_parent_waits_for_ever_unless_a_join_that_is_met_owes_its_resumed() {
    breaks(BrokenFamily::DecidedOwesNothing, "all of them", "P6");
}

#[test]
fn a_child_lives_twice_unless_whoever_is_late_asks_the_archive() {
    breaks(BrokenFamily::ArchiveUnasked, "archived", "P5");
}

/// A process that was frozen submits it when nobody looks any more.
#[test]
fn a_child_begins_after_its_parent_has_ended_unless_it_is_closed_before_it_begins() {
    breaks(BrokenFamily::Unburied, "frozen", "P7");
}

#[test]
fn children_outlive_a_cancel_unless_somebody_closes_them() {
    breaks(BrokenFamily::Orphans, "a cancel", "P7");
}

#[test]
fn children_outlive_a_join_that_was_met_early_unless_somebody_closes_them() {
    breaks(BrokenFamily::Stragglers, "the first is enough", "P7");
}
