//! `next` against a table that was written without looking at it, pair by pair and by random walks.

use std::collections::BTreeSet;

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::any_event;
use crate::samples::*;

/// The open statuses, in the order of the columns below.
const COLUMNS: [&str; 7] = [
    "none",
    "pending",
    "accepted",
    "in_progress",
    "waiting",
    "parked",
    "compensating",
];

/// What follows, by event; `-` is illegal. Nothing follows a terminal status or one that is not known.
const TABLE: &str = "
    submitted        pending   -            -            -            -          -             -
    claimed          -         accepted     accepted     accepted     -          -             -
    started          -         in_progress  in_progress  in_progress  -          -             -
    step             -         -            in_progress  in_progress  -          -             -
    progress         -         -            in_progress  in_progress  waiting    -             compensating
    handed_off       -         pending      pending      pending      -          -             -
    fanned_out       -         waiting      waiting      waiting      -          -             -
    child_done       -         pending      accepted     in_progress  waiting    parked        compensating
    waiting          -         waiting      waiting      waiting      -          -             -
    signalled        -         pending      accepted     in_progress  waiting    parked        compensating
    resumed          -         -            -            -            pending    -             -
    retry_scheduled  -         pending      pending      pending      -          -             -
    released         -         pending      pending      pending      -          -             -
    parked           -         parked       parked       parked       parked     parked        parked
    redriven         -         -            -            -            -          pending       -
    rerouted         -         pending      pending      pending      -          -             -
    moved            -         pending      pending      pending      waiting    parked        -
    repinned         -         pending      accepted     in_progress  waiting    parked        compensating
    placed           -         pending      accepted     in_progress  waiting    parked        compensating
    topped_up        -         pending      accepted     in_progress  waiting    parked        compensating
    completed        -         completed    completed    completed    completed  -             -
    rejected         rejected  rejected     rejected     rejected     rejected   -             -
    failed           -         failed       failed       failed       failed     failed        -
    cancelled        -         cancelled    cancelled    cancelled    cancelled  cancelled     -
    timed_out        -         timed_out    timed_out    timed_out    timed_out  timed_out     -
    compensating     -         compensating compensating compensating compensating compensating -
    compensated      -         -            -            -            -          -             ended
";

const OPEN: [&str; 6] = [
    "pending",
    "accepted",
    "in_progress",
    "waiting",
    "parked",
    "compensating",
];

/// What the table says, as a name.
fn expected(status: Option<&Status>, event: &Event) -> Option<String> {
    let name = status.map_or("none", Status::name);
    let column = COLUMNS.iter().position(|column| *column == name)?;
    let row: Vec<&str> = TABLE
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|cells| cells.first() == Some(&event.name()))?;
    match (row[column + 1], event) {
        ("-", _) => None,
        ("ended", Event::Compensated { code: Some(_) }) => Some("failed".to_owned()),
        ("ended", _) => Some("cancelled".to_owned()),
        (next, _) => Some(next.to_owned()),
    }
}

fn with_none_and_unknown() -> Vec<Option<Status>> {
    let unknown = Status::Unknown {
        name: "dreaming".to_owned(),
    };
    let known = statuses().into_iter().map(Some);
    known.chain([None, Some(unknown)]).collect()
}

#[test]
fn every_pair_of_status_and_event_is_as_the_table_has_it() {
    let unknown = Event::Unknown {
        name: "teleported".to_owned(),
    };
    let mut pairs = 0;
    for status in with_none_and_unknown() {
        for event in events().iter().chain([&unknown]) {
            let found = next(status.as_ref(), event);
            let name = found.as_ref().ok().map(|status| status.name().to_owned());
            assert_eq!(name, expected(status.as_ref(), event), "{status:?} and {event:?}");
            if let Err(error) = found {
                assert_eq!(error.status, status.as_ref().map_or("none", Status::name));
                assert_eq!(error.event, event.name());
            }
            pairs += 1;
        }
    }
    assert_eq!(pairs, (16 + 2) * (33 + 1));
}

#[test]
fn the_code_and_the_reason_of_an_event_become_those_of_the_status() {
    let code = || "WHY".to_owned();
    let from = Status::InProgress;
    let cases = [
        (Event::Parked { code: code() }, Status::Parked { code: code() }),
        (Event::Rejected { code: code() }, Status::Rejected { code: code() }),
        (Event::Failed { code: code() }, Status::Failed { code: code() }),
        (
            Event::FannedOut,
            Status::Waiting {
                reason: WaitReason::Children,
            },
        ),
        (
            Event::Waiting {
                reason: WaitReason::Tool,
            },
            Status::Waiting {
                reason: WaitReason::Tool,
            },
        ),
    ];
    for (event, status) in cases {
        assert_eq!(next(Some(&from), &event), Ok(status));
    }
    let compensated = Event::Compensated { code: Some(code()) };
    assert_eq!(
        next(Some(&Status::Compensating), &compensated),
        Ok(Status::Failed { code: code() })
    );
}

#[test]
fn what_an_event_leaves_alone_keeps_its_reason_or_code() {
    let waiting = Status::Waiting {
        reason: WaitReason::Human,
    };
    for event in [
        Event::Signalled,
        Event::ChildDone,
        Event::Progress,
        Event::Moved,
        Event::Repinned,
    ] {
        assert_eq!(next(Some(&waiting), &event), Ok(waiting.clone()));
    }
    let parked = Status::Parked {
        code: "POISON".to_owned(),
    };
    for event in [Event::Moved, Event::Repinned, Event::Signalled, Event::ChildDone] {
        assert_eq!(next(Some(&parked), &event), Ok(parked.clone()));
    }
}

#[test]
fn nothing_follows_a_terminal_status() {
    let terminal: Vec<Status> = statuses().into_iter().filter(Status::is_terminal).collect();
    let names: BTreeSet<&str> = terminal.iter().map(Status::name).collect();
    assert_eq!(
        names,
        BTreeSet::from(["completed", "rejected", "failed", "cancelled", "timed_out"])
    );
    for status in &terminal {
        for event in events() {
            assert!(next(Some(status), &event).is_err(), "{status} and {event:?}");
        }
    }
}

#[test]
fn every_open_status_can_reach_an_end_and_every_status_is_reached() {
    let mut reached = BTreeSet::from(["none".to_owned()]);
    let mut grown = true;
    let step = |from: &str, event: &Event| {
        let status = statuses().into_iter().find(|status| status.name() == from);
        next(status.as_ref(), event).ok().map(|status| status.name().to_owned())
    };
    while grown {
        let more: BTreeSet<String> = reached
            .iter()
            .flat_map(|from| events().into_iter().filter_map(|event| step(from, &event)))
            .collect();
        let before = reached.len();
        reached.extend(more);
        grown = reached.len() > before;
    }
    for status in statuses() {
        assert!(reached.contains(status.name()), "{status} is never reached");
    }
    for open in OPEN {
        let ends = events()
            .into_iter()
            .filter_map(|event| step(open, &event))
            .any(|to| statuses().iter().any(|s| s.name() == to && s.is_terminal()));
        assert!(ends, "{open} cannot end");
    }
}

#[test]
fn only_work_before_an_agent_has_a_ticket() {
    let workable: BTreeSet<String> = statuses()
        .into_iter()
        .filter(Status::is_workable)
        .map(|status| status.name().to_owned())
        .collect();
    let expected = ["pending", "accepted", "in_progress"].map(str::to_owned);
    assert_eq!(workable, BTreeSet::from(expected));
}

proptest! {
    #[test]
    fn every_history_that_can_be_reached_is_legal(walk in proptest::collection::vec(any_event(), 1..60)) {
        let mut status: Option<Status> = None;
        let mut history: Vec<(Option<Status>, Event, Status)> = Vec::new();
        for event in walk {
            let found = next(status.as_ref(), &event);
            let name = found.as_ref().ok().map(|status| status.name().to_owned());
            prop_assert_eq!(name, expected(status.as_ref(), &event));
            if let Ok(after) = found {
                history.push((status.clone(), event, after.clone()));
                status = Some(after);
            }
        }
        for (index, (before, event, after)) in history.iter().enumerate() {
            prop_assert_eq!(index == 0, before.is_none(), "only the first record has nothing before it");
            let first_only = matches!(event, Event::Submitted);
            prop_assert!(!first_only || index == 0, "submitted twice");
            let last = index + 1 == history.len();
            prop_assert!(last || !after.is_terminal(), "a record after {}", after);
            let unknown = matches!(after, Status::Unknown { .. }) || matches!(event, Event::Unknown { .. });
            prop_assert!(!unknown);
        }
    }
}
