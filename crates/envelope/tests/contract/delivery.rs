//! What a delivered ticket is worth.

use std::time::Duration;

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::*;
use crate::samples::*;

/// A head whose hop is still to be done by whoever has the ticket.
fn open_head() -> Record {
    let mut record = full_record();
    record.event = Event::Submitted;
    let snapshot = &mut record.snapshot;
    (snapshot.status, snapshot.envelope) = (Status::Pending, Some(envelope_id(1)));
    (snapshot.deadline, snapshot.wake_at, snapshot.holder) = (None, None, None);
    (snapshot.given_back, snapshot.undo) = (None, None);
    record.at = NOW;
    record
}

fn any_facts() -> impl Strategy<Value = DeliveryFacts> {
    (1_u64..5, any::<bool>(), any::<bool>()).prop_map(|(delivered, reissued, stored_after_connect)| DeliveryFacts {
        delivered,
        reissued,
        stored_after_connect,
    })
}

fn workable() -> impl Strategy<Value = Status> {
    proptest::sample::select(vec![Status::Pending, Status::Accepted, Status::InProgress])
}

proptest! {
    #[test]
    fn a_head_that_no_agent_may_work_on_supersedes_every_ticket(mut head in any_record(), facts in any_facts(), now in any_time()) {
        prop_assume!(!head.snapshot.status.is_workable());
        prop_assume!(!matches!(head.snapshot.status, Status::Unknown { .. }));
        head.snapshot.envelope = Some(envelope_id(1));
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, now), Standing::Superseded);
    }

    #[test]
    fn a_head_that_names_another_envelope_supersedes_the_ticket(mut head in any_record(), ticket in any_envelope_id(), facts in any_facts(), now in any_time()) {
        prop_assume!(head.snapshot.envelope != Some(ticket));
        prop_assume!(!matches!(head.snapshot.status, Status::Unknown { .. }));
        prop_assert_eq!(on_delivery(&head, ticket, facts, now), Standing::Superseded);
        head.snapshot.envelope = None;
        prop_assert_eq!(on_delivery(&head, ticket, facts, now), Standing::Superseded);
    }

    #[test]
    fn a_ticket_under_a_status_of_a_newer_version_is_left_alone(mut head in any_record(), facts in any_facts(), now in any_time()) {
        head.snapshot.status = Status::Unknown { name: "hibernating".to_owned() };
        head.snapshot.envelope = Some(envelope_id(1));
        let left = matches!(on_delivery(&head, envelope_id(1), facts, now), Standing::Early { .. });
        prop_assert!(left);
    }

    #[test]
    fn after_a_release_a_scheduled_retry_or_a_change_of_pins_no_attempt_is_burnt(
        event in proptest::sample::select(vec![Event::Released, Event::RetryScheduled, Event::Repinned]), status in workable(), facts in any_facts(), holder in proptest::option::of("[a-z]{1,5}"), attempt in 1_u32..9,
    ) {
        let mut head = open_head();
        (head.event, head.snapshot.status, head.snapshot.holder, head.snapshot.attempt) = (event, status, holder, attempt);
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, NOW), Standing::Mine { attempt });
    }

    #[test]
    fn a_hop_that_was_given_back_burns_no_attempt_whatever_was_added_since_until_somebody_takes_it(
        added in proptest::sample::select(vec![Event::Signalled, Event::ChildDone, Event::Progress]), status in workable(), facts in any_facts(), attempt in 1_u32..9, epoch in 1_u64..9,
    ) {
        let mut head = open_head();
        (head.event, head.snapshot.status, head.snapshot.attempt) = (added, status, attempt);
        (head.snapshot.epoch, head.snapshot.given_back) = (epoch, Some(epoch));
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, NOW), Standing::Mine { attempt });
        // A claim by a worker of an older minor carries the field along, and its epoch is another.
        head.snapshot.epoch += 1;
        let burnt = u32::from(facts.delivered > 1);
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, NOW), Standing::Mine { attempt: attempt + burnt });
    }

    #[test]
    fn a_takeover_burns_one_attempt_and_a_second_ticket_beside_a_holder_none(
        event in any_event(), status in workable(), facts in any_facts(), held: bool, attempt in prop_oneof![1_u32..9, Just(u32::MAX)],
    ) {
        prop_assume!(!matches!(event, Event::Released | Event::RetryScheduled | Event::Repinned));
        let mut head = open_head();
        (head.event, head.snapshot.status, head.snapshot.attempt) = (event, status, attempt);
        head.snapshot.holder = held.then(|| "w-1".to_owned());
        // A holder in the ledger may be well; only the broker's count says that this ticket's own holder went silent.
        let taken = facts.delivered > 1;
        let expected = if taken { attempt.saturating_add(1) } else { attempt };
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, NOW), Standing::Mine { attempt: expected });
    }

    #[test]
    fn a_hop_whose_time_has_not_come_is_early_by_that_time(wait in 1_u64..10_000_000, facts in any_facts(), event in any_event()) {
        let mut head = open_head();
        head.event = event;
        head.snapshot.wake_at = Some(NOW.plus(Duration::from_millis(wait)));
        let early = Standing::Early { wait: Duration::from_millis(wait) };
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, NOW), early);
        let later = NOW.plus(Duration::from_millis(wait));
        let due = on_delivery(&head, envelope_id(1), facts, later);
        prop_assert!(matches!(due, Standing::Mine { .. }), "{:?}", due);
    }

    #[test]
    fn a_reader_whose_clock_is_behind_waits_no_longer_than_was_meant(delay in 1_u64..60_000, behind in 0_u64..1_000_000_000, facts in any_facts()) {
        let mut head = open_head();
        head.snapshot.wake_at = Some(NOW.plus(Duration::from_millis(delay)));
        let now = Timestamp::from_unix_millis(NOW.unix_millis() - i64::try_from(behind).unwrap());
        let early = Standing::Early { wait: Duration::from_millis(delay) };
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, now), early);
    }

    #[test]
    fn a_writer_whose_clock_is_off_puts_a_hop_off_by_what_it_meant(delay in 1_u64..60_000, off in -1_000_000_000_i64..1_000_000_000, facts in any_facts()) {
        let mut head = open_head();
        head.at = Timestamp::from_unix_millis(NOW.unix_millis() + off);
        head.snapshot.wake_at = Some(head.at.plus(Duration::from_millis(delay)));
        let head = in_server_time(head, NOW);
        let early = Standing::Early { wait: Duration::from_millis(delay) };
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, NOW), early);
        let due = on_delivery(&head, envelope_id(1), facts, NOW.plus(Duration::from_millis(delay)));
        prop_assert!(matches!(due, Standing::Mine { .. }), "{:?}", due);
    }

    #[test]
    fn a_hop_whose_deadline_has_passed_is_late_even_when_it_is_early(ago in 0_u64..10_000_000, facts in any_facts(), status in workable()) {
        let mut head = open_head();
        head.snapshot.status = status;
        head.snapshot.deadline = Some(NOW);
        let now = NOW.plus(Duration::from_millis(ago));
        head.snapshot.wake_at = Some(now.plus(Duration::from_secs(1)));
        prop_assert_eq!(on_delivery(&head, envelope_id(1), facts, now), Standing::Late);
    }

    #[test]
    fn only_a_first_delivery_of_an_original_ticket_on_this_connection_is_fresh(facts in any_facts()) {
        let expected = facts.delivered == 1 && !facts.reissued && facts.stored_after_connect;
        prop_assert_eq!(is_fresh(facts), expected);
    }

    #[test]
    fn whatever_the_ledger_holds_a_delivery_has_a_standing(head in any_record(), facts in any_facts(), now in any_time(), ticket in any_envelope_id()) {
        let named = head.snapshot.envelope.unwrap_or(ticket);
        let standing = on_delivery(&head, named, facts, now);
        if let Standing::Mine { attempt } = standing {
            prop_assert!(attempt >= head.snapshot.attempt && attempt - head.snapshot.attempt <= 1);
        }
    }

    #[test]
    fn a_repeated_submit_is_the_same_whatever_the_white_space_of_its_payload(envelope in any_envelope()) {
        let envelope = Envelope { payload_ref: None, ..envelope };
        let mut again = envelope.again(envelope_id(9));
        prop_assert_eq!(compare_submission(&envelope, &again), Submission::Same);
        again.payload = json(&format!("[ {} ]", envelope.payload.get()));
        prop_assert_eq!(compare_submission(&envelope, &again), Submission::Conflict);
    }
}

#[test]
fn a_submit_conflicts_in_agent_kind_payload_or_its_encoding_and_in_nothing_else() {
    let there = Envelope {
        payload_ref: None,
        ..full_envelope()
    };
    let changed = |change: fn(&mut Envelope)| {
        let mut new = there.clone();
        change(&mut new);
        compare_submission(&there, &new)
    };
    assert_eq!(changed(|new| new.to = agent("qa")), Submission::Conflict);
    assert_eq!(changed(|new| new.kind = None), Submission::Conflict);
    assert_eq!(changed(|new| new.payload = json("{}")), Submission::Conflict);
    assert_eq!(changed(|new| new.payload_encoding = None), Submission::Conflict);
    assert_eq!(
        changed(|new| new.payload = json("{ \"topic\" : \"\\u006ftters\" }")),
        Submission::Same
    );
    assert_eq!(changed(|new| new.priority = Priority::default()), Submission::Same);
    assert_eq!(changed(|new| new.deadline = None), Submission::Same);
    assert_eq!(changed(|new| new.to_version = None), Submission::Same);
    assert_eq!(
        changed(|new| *new = new.clone().with_constraints(json("{}"))),
        Submission::Same
    );
}

/// Whether it travels by reference depends on who gets it, and may differ between a submit and its repeat.
#[test]
fn a_submit_by_reference_is_the_same_work_as_one_with_that_content() {
    let inline = Envelope {
        payload_encoding: None,
        payload_ref: None,
        ..full_envelope()
    };
    let of = |content: &[u8]| ObjectRef::new(ObjectHash::of(content), content.len(), "application/json");
    let content = inline.payload.get().as_bytes();
    let by_ref = inline.clone().with_payload_ref(of(content));
    for (one, other) in [(&inline, &by_ref), (&by_ref, &inline), (&by_ref, &by_ref)] {
        assert_eq!(differing_field(one, other), None);
    }
    let elsewhere = inline.clone().with_payload_ref(of(content).at_place(2));
    assert_eq!(differing_field(&by_ref, &elsewhere), None, "a place is no content");
    for other in [
        inline.clone().with_payload_ref(of(b"{}")),
        Envelope {
            payload: json("{}"),
            ..inline.clone()
        },
    ] {
        assert_eq!(differing_field(&by_ref, &other), Some("payload"));
    }
    assert_eq!(by_ref.with_payload(inline.payload_body()).payload_ref, None);
}

/// A worker whose clock is ten minutes ahead puts a hop off by a second; somebody whose clock is right adds to it.
#[test]
fn what_only_adds_does_not_put_a_hop_off_by_the_clock_of_another() {
    let ten_minutes = Duration::from_secs(600);
    let mut head = open_head().snapshot;
    head.updated_at = NOW.plus(ten_minutes);
    head.wake_at = Some(head.updated_at.plus(Duration::from_secs(1)));
    let stamp = |at| Stamp {
        id: record_id(3),
        at,
        by: Author::of(Role::Operator, "ada"),
    };
    let noted = act::annotate(&head, "seen")
        .expect("legal")
        .seal(intent(), 7, stamp(NOW))
        .snapshot;
    assert_eq!(noted.wake_at, Some(NOW.plus(Duration::from_secs(1))));
    // With clocks that agree the time stays.
    (head.updated_at, head.wake_at) = (NOW, Some(NOW.plus(ten_minutes)));
    let later = NOW.plus(Duration::from_secs(60));
    let noted = act::annotate(&head, "seen")
        .expect("legal")
        .seal(intent(), 7, stamp(later))
        .snapshot;
    assert_eq!(noted.wake_at, head.wake_at);
    // A time that somebody named stands, whatever clock told it.
    head.status = Status::Waiting {
        reason: WaitReason::Time,
    };
    (head.updated_at, head.wake_at) = (NOW.plus(ten_minutes), Some(NOW.plus(2 * ten_minutes)));
    let noted = act::annotate(&head, "seen")
        .expect("legal")
        .seal(intent(), 7, stamp(NOW))
        .snapshot;
    assert_eq!(noted.wake_at, head.wake_at);
}

#[test]
fn what_a_clock_that_is_ahead_wrote_is_as_old_as_the_server_says() {
    let mut head = open_head();
    head.at = NOW.plus(Duration::from_secs(600));
    head.snapshot.updated_at = head.at;
    let slack = Duration::from_secs(15);
    let later = NOW.plus(Duration::from_secs(20));
    assert_eq!(needs(&head, later, slack), Need::None);
    assert_eq!(needs(&in_server_time(head, NOW), later, slack), Need::Ticket);
}
