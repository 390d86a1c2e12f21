//! Waits, signals and times: no state within small bounds breaks P1 or P2, and each rule that a first form of the design
//! lacked gives a counterexample when it is switched off.

#![expect(clippy::expect_used, reason = "support of tests: a failure here is a test failure")]

#[path = "support/holds.rs"]
mod held;
#[path = "support/breaks.rs"]
mod shown;

use baton_model::{BrokenWait, WAITS, WaitBounds, Waiting};

use self::held::holds;

/// With fewer states than this, the faults were not explored.
const FEWEST: usize = 200;

fn bounds(name: &str) -> WaitBounds {
    let found = WAITS.iter().find(|suite| suite.name == name);
    found.expect("bounds of this name").bounds
}

#[track_caller]
fn breaks(broken: BrokenWait, name: &str, invariant: &str) {
    let bounds = bounds(name);
    let found = Waiting { bounds, broken }.check(2);
    shown::breaks(found, invariant);
}

#[test]
fn no_state_within_small_bounds_breaks_an_invariant_of_waits() {
    for suite in WAITS {
        let (bounds, broken) = (suite.bounds, BrokenWait::Nothing);
        let found = Waiting { bounds, broken }.check(2);
        holds(suite.name, found, FEWEST);
    }
}

/// The router wrote `signalled` while the hop ran; the hop then waited over its own signal.
#[test]
fn a_wait_sleeps_over_its_signal_unless_a_satisfied_wait_owes_a_resumed() {
    breaks(
        BrokenWait::SatisfiedOwesNothing,
        "one wait, one signal",
        "P1, P2 from every",
    );
}

/// The server still knows the id of the hop's first ticket.
#[test]
fn the_ticket_of_a_resumed_is_dropped_unless_its_envelope_has_a_new_id() {
    breaks(BrokenWait::OldEnvelope, "one wait, one signal", "I5");
}

/// The message comes again after the wait of the first hop has taken it, and the wait of the second takes it, too.
#[test]
fn a_message_that_comes_again_is_taken_twice_unless_its_id_is_remembered() {
    breaks(BrokenWait::Untold, "two hops, two signals", "P2 a signal");
}

#[test]
fn a_signal_that_nobody_reads_is_dropped_unless_it_becomes_a_dead_letter() {
    breaks(
        BrokenWait::Unburied,
        "a pause, a cancel and a time",
        "P1, P2 from every",
    );
}

/// The other signal comes between two runs of the hop.
#[test]
fn the_winner_of_a_call_changes_unless_only_resumed_answers() {
    breaks(BrokenWait::AnswersFromUnread, "the first of two", "I6");
}

#[test]
fn a_call_is_half_answered_unless_resumed_names_the_losers() {
    breaks(BrokenWait::LosersUnrecorded, "the first of two", "I6");
}

#[test]
fn a_time_ends_a_wait_over_its_signal_unless_the_signal_goes_first() {
    breaks(BrokenWait::TimeFirst, "a pause, a cancel and a time", "P1 a signal");
}
