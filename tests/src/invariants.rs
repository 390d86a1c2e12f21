//! The invariants, the test of each, and the fault that the test must notice.
//!
//! This is the one list: a test holds it against the sources and against `docs/reliability.md`, and the binary `mutations`
//! runs every test twice, as it is and with its fault.

use std::fmt::Write as _;

use baton_envelope::Mutant;

/// What proves an invariant.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// Its name.
    pub invariant: &'static str,
    /// What it says.
    pub says: &'static str,
    /// The fault that breaks it.
    pub mutant: Mutant,
    /// What the fault does.
    pub fault: &'static str,
    /// The package and the source of the test.
    pub package: &'static str,
    /// The source, below the root.
    pub source: &'static str,
    /// The test, as its binary names it.
    pub test: &'static str,
}

/// All of them, in order.
pub const PROOFS: [Proof; 30] = [
    Proof {
        invariant: "I1",
        says: "no acknowledged intent is ever lost",
        mutant: Mutant::I1SweeperSleeps,
        fault: "the sweeper finds no lost ticket",
        package: "baton-controller",
        source: "crates/controller/tests/controller/sweeping.rs",
        test: "sweeping::a_lost_ticket_is_written_again",
    },
    Proof {
        invariant: "I2",
        says: "a hop commits at most once",
        mutant: Mutant::I2Unguarded,
        fault: "writes to the ledger are not guarded",
        package: "baton-cli",
        source: "tests/e2e/invariants.rs",
        test: "invariants::of_two_commits_on_one_head_one_stands",
    },
    Proof {
        invariant: "I3",
        says: "no record follows a terminal one",
        mutant: Mutant::I3EndsTwice,
        fault: "an intent that completed can be ended again",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/transitions.rs",
        test: "transitions::nothing_follows_a_terminal_status",
    },
    Proof {
        invariant: "I4",
        says: "every recorded history is legal under `next`",
        mutant: Mutant::I4ParkedCompletes,
        fault: "a parked intent can complete",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/transitions.rs",
        test: "transitions::every_pair_of_status_and_event_is_as_the_table_has_it",
    },
    Proof {
        invariant: "I5",
        says: "a committed handoff is delivered, one that was not committed never is",
        mutant: Mutant::I5NoTicket,
        fault: "a committed handoff has no ticket",
        package: "baton-cli",
        source: "tests/e2e/hop.rs",
        test: "hop::an_agent_may_hand_off_to_itself",
    },
    Proof {
        invariant: "I6",
        says: "a recorded step's effect does not run again",
        mutant: Mutant::I6StepsForgotten,
        fault: "a takeover does not load the recorded steps",
        package: "baton-cli",
        source: "tests/e2e/hop.rs",
        test: "hop::a_step_that_is_recorded_does_not_run_again_in_a_later_attempt",
    },
    Proof {
        invariant: "I7",
        says: "a message for a version is only handled by that version",
        mutant: Mutant::I7OneVersion,
        fault: "tickets go to version 1.0.0, whatever version they are for",
        package: "baton-cli",
        source: "tests/e2e/invariants.rs",
        test: "invariants::work_for_a_version_is_handled_by_that_version",
    },
    Proof {
        invariant: "I8",
        says: "a version reported drained has no open work, and gets none",
        mutant: Mutant::I8ParkedHoldsNothing,
        fault: "what is parked holds no version open",
        package: "baton-cli",
        source: "tests/e2e/holding.rs",
        test: "holding::parked_work_holds_its_version_until_it_is_redriven",
    },
    Proof {
        invariant: "I9",
        says: "the path never grows past `max_hops`",
        mutant: Mutant::I9OneHopMore,
        fault: "the limit is one too high",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/relay.rs",
        test: "relay::no_chain_grows_past_max_hops",
    },
    Proof {
        invariant: "I10",
        says: "must-carry constraints arrive unchanged at every hop",
        mutant: Mutant::I10Uncarried,
        fault: "every successor passes for carrying them",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/relay.rs",
        test: "relay::constraints_arrive_unchanged_or_are_found_out",
    },
    Proof {
        invariant: "I11",
        says: "unknown fields survive any chain of older agents",
        mutant: Mutant::I11UnknownDropped,
        fault: "unknown fields are dropped where they are read",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/relay.rs",
        test: "relay::unknown_fields_survive_any_chain_byte_for_byte",
    },
    Proof {
        invariant: "I12",
        says: "a stop by signal burns no attempt",
        mutant: Mutant::I12ReleaseBurns,
        fault: "a release counts as the death of its holder",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/delivery.rs",
        test: "delivery::after_a_release_a_scheduled_retry_or_a_change_of_pins_no_attempt_is_burnt",
    },
    Proof {
        invariant: "I13",
        says: "retries, deadlines and delays survive the death of every process",
        mutant: Mutant::I13DeadlineSleeps,
        fault: "nobody ends an intent whose deadline has passed",
        package: "baton-controller",
        source: "crates/controller/tests/controller/sweeping.rs",
        test: "sweeping::an_intent_whose_deadline_passed_is_ended",
    },
    Proof {
        invariant: "I14",
        says: "what is more urgent is taken first, what is less is never starved",
        mutant: Mutant::I14Reversed,
        fault: "the least urgent band comes first",
        package: "baton-cli",
        source: "tests/e2e/priority.rs",
        test: "priority::urgent_intent_passes_a_thousand_with_one_slot",
    },
    Proof {
        invariant: "I15",
        says: "what one role may not publish is refused; nobody speaks for another",
        mutant: Mutant::I15AnyoneSpeaks,
        fault: "a heartbeat is believed on any subject",
        package: "baton-controller",
        source: "crates/controller/tests/controller/registering.rs",
        test: "registering::a_heartbeat_that_speaks_for_another_agent_is_not_believed",
    },
    Proof {
        invariant: "I16",
        says: "a full stream refuses, it never discards",
        mutant: Mutant::I16Discards,
        fault: "a full stream discards its oldest message",
        package: "baton-cli",
        source: "tests/e2e/invariants.rs",
        test: "invariants::a_full_stream_refuses_and_keeps_what_it_has",
    },
    Proof {
        invariant: "P1",
        says: "a wait ends exactly once",
        mutant: Mutant::P1SleepsOverSignals,
        fault: "a wait whose signal has come is not ended",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/waiting.rs",
        test: "waiting::a_wait_whose_signal_has_come_owes_a_resumed",
    },
    Proof {
        invariant: "P2",
        says: "a signal is taken by at most one wait and never dropped unseen",
        mutant: Mutant::P2ToldAgain,
        fault: "a signal that comes again is recorded again",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/waiting.rs",
        test: "waiting::a_message_is_one_signal_however_often_it_comes",
    },
    Proof {
        invariant: "P3",
        says: "a timer fires never before its time, and soon after it",
        mutant: Mutant::P3TimersSleep,
        fault: "no timer fires",
        package: "baton-cli",
        source: "tests/e2e/waiting.rs",
        test: "waiting::a_time_ends_a_sleep_and_a_wait_by_what_it_says",
    },
    Proof {
        invariant: "P4",
        says: "a firing of a schedule exists exactly once",
        mutant: Mutant::P4FiresAnew,
        fault: "a firing gets a new id each time it is made",
        package: "baton-cli",
        source: "tests/e2e/schedules.rs",
        test: "schedules::what_is_asked_for_twice_is_made_once",
    },
    Proof {
        invariant: "P5",
        says: "a child is submitted exactly when the record of its parent stands",
        mutant: Mutant::P5ChildrenForgotten,
        fault: "nobody submits the children of a call",
        package: "baton-cli",
        source: "tests/e2e/calling.rs",
        test: "calling::children_take_over_what_their_parent_has",
    },
    Proof {
        invariant: "P6",
        says: "a parent goes on exactly once, with what exactly its children came to",
        mutant: Mutant::P6NeverJoins,
        fault: "a parent whose children have ended does not go on",
        package: "baton-cli",
        source: "tests/e2e/calling.rs",
        test: "calling::a_parent_holds_nothing_and_goes_on_once_with_the_results_in_order",
    },
    Proof {
        invariant: "P7",
        says: "a closed parent has no open child, but those that were to be left alone",
        mutant: Mutant::P7OrphansLive,
        fault: "the open children of a closed parent are left alone",
        package: "baton-cli",
        source: "tests/e2e/calling.rs",
        test: "calling::a_cancel_reaches_the_whole_tree",
    },
    Proof {
        invariant: "P8",
        says: "only who may decide, decides",
        mutant: Mutant::P8AnyoneDecides,
        fault: "everybody may decide",
        package: "baton-cli",
        source: "tests/e2e/approving.rs",
        test: "approving::whoever_may_not_decide_is_refused_and_ends_nothing",
    },
    Proof {
        invariant: "P9",
        says: "every receiver of a broadcast has one child",
        mutant: Mutant::P9OneForgotten,
        fault: "the last receiver of a broadcast gets no copy",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/channels.rs",
        test: "channels::the_first_record_fixes_the_receivers_and_owes_each_its_copy",
    },
    Proof {
        invariant: "P10",
        says: "what an intent did is undone at most once and in reverse, or it says what was not",
        mutant: Mutant::P10OldestFirst,
        fault: "what was done first is undone first",
        package: "baton-cli",
        source: "tests/e2e/undoing.rs",
        test: "undoing::what_fails_for_good_is_undone_in_reverse_and_once_and_then_has_failed",
    },
    Proof {
        invariant: "P11",
        says: "after a kill nothing of the killed is committed",
        mutant: Mutant::P11SparesUnheld,
        fault: "a kill spares what no record says that it runs",
        package: "baton-cli",
        source: "tests/e2e/killing.rs",
        test: "killing::handlers_that_never_listen_commit_nothing_after_a_kill",
    },
    Proof {
        invariant: "P12",
        says: "of one key one at a time, in order",
        mutant: Mutant::P12KeysIgnored,
        fault: "every intent with a key has its turn at once",
        package: "baton-cli",
        source: "tests/e2e/turns.rs",
        test: "turns::what_stands_still_keeps_its_place_and_what_ends_leaves_it",
    },
    Proof {
        invariant: "P13",
        says: "no ticket belongs to work that is done by hand",
        mutant: Mutant::P13HandsOwe,
        fault: "work by hand owes a ticket",
        package: "baton-envelope",
        source: "crates/envelope/tests/contract/acts.rs",
        test: "acts::what_is_done_by_hand_says_so_of_its_own_envelope_alone",
    },
    Proof {
        invariant: "P14",
        says: "work goes through its itinerary in order, and a detour keeps what is left of it",
        mutant: Mutant::P14DetoursSkip,
        fault: "a detour uses up an entry of the itinerary",
        package: "baton-cli",
        source: "tests/e2e/itinerary.rs",
        test: "itinerary::work_goes_through_its_itinerary_and_a_detour_keeps_the_rest",
    },
];

/// The list as `docs/reliability.md` has it.
pub fn table() -> String {
    let mut text = "| | Invariant | Fault | Test that notices |\n|---|---|---|---|\n".to_owned();
    for proof in PROOFS {
        let Proof {
            invariant,
            says,
            fault,
            source,
            test,
            ..
        } = proof;
        let name = test.rsplit("::").next().unwrap_or(test);
        writeln!(text, "| {invariant} | {says} | {fault} | `{name}` in `{source}` |").expect("a string takes it");
    }
    text
}
