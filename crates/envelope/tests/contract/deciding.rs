//! What a decision is worth by the head of its intent: whatever the status, once, and never early or late.

use std::time::Duration;

use baton_envelope::people::*;
use baton_envelope::*;

use crate::samples::*;

const HOP: u32 = 2;

/// A hop that waits for two of three.
fn waiting() -> Snapshot {
    let mut head = full_snapshot();
    (head.status, head.hop) = (Status::InProgress, HOP);
    head.waits.clear();
    head.signals.clear();
    (head.told, head.wake_at) = (None, None);
    let approval = Approval::new("Publish?").who(["ada", "bob", "eve"]).quorum(2);
    let fixed = approval
        .due(Duration::from_secs(60))
        .fixed(|_| None, None)
        .expect("valid");
    let draft = act::suspend(&head, &[WaitSpec::for_people("publish", fixed)]).expect("legal");
    assert_eq!(
        draft.snapshot.status,
        Status::Waiting {
            reason: WaitReason::Human
        }
    );
    draft.seal(intent(), 20, stamp()).snapshot.seen_at(21)
}

const fn asked(hop: u32) -> AskedDecision<'static> {
    AskedDecision { hop, wait: "publish" }
}

fn says(by: &str, choice: &str, seq: u64) -> Said {
    Said {
        by: Decider::from_token(by).expect("a decider"),
        word: Word::Choice(choice.to_owned()),
        seq,
    }
}

fn fate(head: &Snapshot, said: &Said) -> DecisionFate {
    on_decision(head, &asked(HOP), said, &format!("m-{}", said.seq), |_| false)
}

/// The head after a decision that counts, its record at `seq`.
fn decided(head: &Snapshot, said: &Said, seq: u64) -> Snapshot {
    let DecisionFate::Take(ballot) = fate(head, said) else {
        panic!("{said:?}: {:?}", fate(head, said));
    };
    let entry = PeopleEntry {
        by: Some(said.by.to_string()),
        id: Some(format!("m-{}", said.seq)),
        said: Some(said.seq),
        ..PeopleEntry::new(PeopleAct::Decided, HOP, "publish")
    };
    let draft = act::decide(head, entry, *ballot).expect("legal");
    draft.seal(intent(), seq - 1, stamp()).snapshot
}

#[test]
fn the_record_that_completes_the_quorum_owes_the_resumed() {
    let head = decided(&waiting(), &says("ada", "approve", 1), 22);
    assert!(!owes_resume(&head));
    let head = decided(&head.seen_at(22), &says("eve", "approve", 2), 23);
    assert!(owes_resume(&head));
    assert_eq!(fate(&head, &says("bob", "reject", 3)), DecisionFate::TooLate);
    // It touches nothing that a holder or a ticket rests on.
    let before = waiting();
    let same = |head: &Snapshot| {
        (
            head.status.clone(),
            head.epoch,
            head.attempt,
            head.envelope,
            head.wake_at,
        )
    };
    assert_eq!(same(&head), same(&before));
}

#[test]
fn each_vote_knows_where_it_stands() {
    let places = |head: &Snapshot| -> Vec<Option<u64>> {
        let ballot = head.waits[0].ballot.as_ref().expect("a ballot");
        ballot.seats.iter().map(|seat| seat.seq).collect()
    };
    let first = decided(&waiting(), &says("ada", "reject", 1), 22);
    assert_eq!(places(&first), [None, None, None], "the record itself holds it");
    assert_eq!(places(&first.clone().seen_at(22)), [Some(22), None, None]);
    // A writer that did not read the head knows where it stands all the same.
    let second = decided(&first, &says("eve", "approve", 2), 23);
    assert_eq!(places(&second), [Some(22), None, None]);
    let changed = decided(&second.seen_at(23), &says("ada", "approve", 3), 24);
    assert_eq!(places(&changed.seen_at(24)), [Some(24), None, Some(23)]);
}

#[test]
fn a_decision_counts_while_the_intent_is_parked_or_put_back() {
    for status in [
        Status::Parked {
            code: "PAUSED".to_owned(),
        },
        Status::Pending,
        Status::InProgress,
    ] {
        let head = Snapshot { status, ..waiting() };
        let head = decided(&head, &says("ada", "approve", 1), 22).seen_at(22);
        let head = decided(&head, &says("bob", "approve", 2), 23).seen_at(23);
        assert!(!owes_resume(&head), "nothing is resumed that does not wait");
        // It waits again, and goes on at once.
        let head = Snapshot {
            status: Status::Waiting {
                reason: WaitReason::Human,
            },
            ..head
        };
        assert!(owes_resume(&head));
    }
}

#[test]
fn a_decision_that_comes_again_is_known_even_after_the_end() {
    let head = decided(&waiting(), &says("ada", "approve", 1), 22).seen_at(22);
    assert_eq!(fate(&head, &says("ada", "approve", 1)), DecisionFate::Known);
    let head = Snapshot {
        status: Status::Completed,
        ..head
    };
    assert_eq!(fate(&head, &says("ada", "approve", 1)), DecisionFate::Known);
    assert_eq!(fate(&head, &says("ada", "approve", 2)), DecisionFate::TooLate);
}

#[test]
fn nothing_is_kept_for_a_wait_that_is_not_open() {
    let head = waiting();
    let said = says("ada", "approve", 1);
    let other = AskedDecision { hop: HOP, wait: "pay" };
    assert_eq!(on_decision(&head, &other, &said, "m", |_| false), DecisionFate::NotOpen);
    assert_eq!(
        on_decision(&head, &asked(HOP + 1), &said, "m", |_| false),
        DecisionFate::NotOpen
    );
    assert_eq!(
        on_decision(&head, &asked(HOP - 1), &said, "m", |_| false),
        DecisionFate::TooLate
    );
    assert_eq!(
        on_decision(&head, &asked(HOP), &said, "m", |_| true),
        DecisionFate::TooLate
    );
}

#[test]
fn a_signal_never_decides() {
    let entry = SignalEntry {
        name: "publish".to_owned(),
        id: "m-1".to_owned(),
        data: json("\"approve\""),
        data_encoding: None,
        by: Some("ada".to_owned()),
        at: None,
        extra: Extra::new(),
    };
    let draft = act::signal(&waiting(), entry).expect("legal");
    assert!(!owes_resume(&draft.snapshot));
}

#[test]
fn its_time_over_an_approval_has_its_default_and_votes_count_before_it() {
    let ends = |head: &Snapshot| satisfied(head, |_| true).expect("due")[0].1.clone();
    let head = waiting();
    assert_eq!(ends(&head), Ends::Decision("reject".to_owned()));
    let head = decided(&head, &says("ada", "approve", 1), 22).seen_at(22);
    assert_eq!(
        ends(&head),
        Ends::Decision("reject".to_owned()),
        "one of two is not enough"
    );
    let head = decided(&head, &says("bob", "approve", 2), 23).seen_at(23);
    assert_eq!(ends(&head), Ends::Decision("approve".to_owned()));
}
