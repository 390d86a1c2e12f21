//! The model can fail: each rule that is switched off gives a counterexample to the invariant that depends on it.

#![expect(clippy::expect_used, reason = "support of tests: a failure here is a test failure")]

#[path = "support/breaks.rs"]
mod shown;

use baton_model::{Bounds, Broken, Faults, Protocol, SMALL};

const NONE: Faults = Faults::none();

fn small(name: &str) -> Bounds {
    let found = SMALL.iter().find(|suite| suite.name == name);
    found.expect("bounds of this name").bounds
}

/// One crash of a worker, and no sweeper anywhere.
fn unswept() -> Bounds {
    let bounds = Bounds {
        only_workers_crash: true,
        ..Bounds::calm()
    };
    bounds.with(Faults { crashes: 1, ..NONE })
}

#[track_caller]
fn breaks(broken: Broken, bounds: Bounds, invariant: &str) {
    let found = Protocol { bounds, broken }.check(2);
    shown::breaks(found, invariant);
}

#[track_caller]
fn holds(broken: Broken, bounds: Bounds) {
    let found = Protocol { bounds, broken }.check(2);
    assert!(found.counterexample.is_none(), "{:?}", found.counterexample);
}

#[test]
fn an_unguarded_commit_gives_an_illegal_history() {
    breaks(Broken::CommitUnguarded, small("crashes"), "I4");
}

#[test]
fn a_takeover_without_a_claim_repeats_an_effect() {
    breaks(Broken::TakeoverUnclaimed, small("crashes"), "I6");
}

#[test]
fn a_takeover_without_the_recorded_steps_repeats_an_effect() {
    breaks(Broken::StepsNotLoaded, small("crashes"), "I6");
}

#[test]
fn an_effect_that_was_not_announced_is_repeated() {
    breaks(Broken::StepUnannounced, small("crashes"), "I6");
}

#[test]
fn a_holder_that_takes_every_head_for_its_own_records_a_step_twice() {
    breaks(Broken::EveryHeadMine, small("crashes"), "I6");
}

#[test]
fn a_claim_that_fences_nobody_lets_an_effect_be_repeated() {
    breaks(Broken::ClaimUnfenced, small("crashes"), "I6");
}

#[test]
fn a_ticket_before_its_commit_delivers_what_was_never_committed() {
    breaks(Broken::TicketBeforeCommit, small("crashes"), "I5");
}

#[test]
fn an_unanswered_write_that_counts_as_stored_is_a_commit_that_is_not_there() {
    breaks(Broken::UnansweredIsStored, small("lost answers"), "I2");
}

#[test]
fn an_unanswered_write_that_counts_as_lost_repeats_an_effect() {
    breaks(Broken::UnansweredIsLost, small("lost answers"), "I6");
}

#[test]
fn without_a_sweeper_a_dead_submitter_leaves_an_intent_for_ever() {
    breaks(Broken::NoSweeper, small("crashes"), "I1");
}

#[test]
fn without_a_sweeper_the_death_of_workers_is_healed_by_redelivery_alone() {
    holds(Broken::NoSweeper, unswept());
}

#[test]
fn a_superseded_ticket_that_is_not_settled_loses_a_handoff() {
    breaks(Broken::UnsettledUnswept, unswept(), "I5");
}

#[test]
fn an_ack_before_the_next_ticket_loses_a_handoff() {
    breaks(Broken::AckFirstUnswept, unswept(), "I5");
}

/// Its writes are refused forever: the head still names the dead holder.
#[test]
fn a_redelivered_ticket_that_is_run_unread_goes_in_circles() {
    let bounds = Bounds {
        everywhere: true,
        ..Bounds::calm()
    };
    breaks(
        Broken::RedeliveredIsFresh,
        bounds.with(Faults { crashes: 1, ..NONE }),
        "I1",
    );
}

/// Reading a reissued ticket before running it is an economy, as `is_fresh` says, and no proof: run unread, it loses
/// its guarded write. If this test fails, something has come to depend on the read.
#[test]
fn nothing_rests_on_the_mark_of_a_reissued_ticket() {
    let bounds = Bounds::calm().with(Faults {
        lost_tickets: 1,
        crashes: 1,
        hours: 1,
        ..NONE
    });
    holds(Broken::ReissuedIsFresh, bounds);
}

/// Claimed, started and stepped heads have their ticket in the stream: another would fence out the live holder.
#[test]
fn a_ticket_for_every_head_with_work_is_a_second_one() {
    breaks(
        Broken::WorkableOwesNow,
        small("old tickets of later heads"),
        "nobody pays",
    );
}

#[test]
fn a_late_payer_writes_a_ticket_beside_one_that_is_queued() {
    breaks(
        Broken::LatePayers,
        small("pins between record and ticket"),
        "nobody pays",
    );
}
