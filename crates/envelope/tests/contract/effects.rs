//! What the head of an intent owes, by whom and when.

use std::time::Duration;

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::*;
use crate::samples::*;

fn ticket(head: &Record) -> Option<(EnvelopeId, Option<u64>, Owed)> {
    effects(head).find_map(|(effect, owed)| match effect {
        Effect::Ticket(work) => Some((work.envelope, work.source, owed)),
        Effect::Answer(_) | Effect::Resume | Effect::Children | Effect::Redrive | Effect::TopUps => None,
    })
}

fn submitted() -> Record {
    let mut envelope = full_envelope();
    envelope.order_key = None;
    envelope.hop = 1;
    let stamp = Stamp {
        id: record_id(1),
        at: NOW,
        by: Author::of(Role::Client, "c-1"),
    };
    act::submit(NOW, version("2.0.0"), envelope).seal(intent(), 0, stamp)
}

fn after(head: &Record, seq: u64, made: Result<Draft, IllegalTransition>) -> Record {
    let stamp = Stamp {
        id: record_id(2),
        at: NOW,
        by: Author::of(Role::Worker, "w-1"),
    };
    let mut record = made.expect("legal").seal(head.intent.clone(), seq, stamp);
    record.at = NOW;
    record
}

#[test]
fn work_that_nobody_can_have_taken_owes_its_ticket_at_once_wherever_its_envelope_stands() {
    let first = submitted();
    let envelope = first.snapshot.envelope.expect("an envelope");
    assert_eq!(ticket(&first), Some((envelope, None, Owed::Now)));
    let mut pinned = first.snapshot.clone();
    pinned.given_back = None;
    let mut repinned = after(&first, 7, act::repin(&pinned, &agent("qa"), &version("3.0.0")));
    // By event, whatever comes between a record and its settling would lose the rest. (Of a writer before 1.2 the same event
    // may hide a release, so its ticket is left to the sweeper.)
    assert_eq!(ticket(&repinned), Some((envelope, Some(7), Owed::IfLost)));
    repinned.event = Event::Signalled;
    assert_eq!(ticket(&repinned), Some((envelope, Some(7), Owed::Now)));
}

#[test]
fn work_that_somebody_may_hold_owes_a_ticket_only_if_it_is_lost() {
    let first = submitted();
    let envelope = first.snapshot.envelope.expect("an envelope");
    let error = || ErrorInfo::new("RETRY", "no");
    let cases = [
        act::claim(&first.snapshot, "w-1", 1),
        act::start(&first.snapshot, "w-1"),
        act::release(&first.snapshot, "stop"),
        act::retry(&first.snapshot, NOW, error()),
    ];
    for made in cases {
        let head = after(&first, 7, made);
        assert_eq!(
            ticket(&head),
            Some((envelope, Some(7), Owed::IfLost)),
            "{:?}",
            head.event
        );
    }
    // Writers before protocol 1.2 do not say that it was given back; the event does.
    for event in [Event::Released, Event::RetryScheduled, Event::Repinned] {
        let mut head = first.clone();
        head.event = event;
        head.envelope = None;
        head.snapshot.envelope_seq = Some(7);
        assert_eq!(
            ticket(&head).map(|(_, _, owed)| owed),
            Some(Owed::IfLost),
            "{:?}",
            head.event
        );
    }
}

/// Would fail if a hop that was given back were thought to have its ticket in the stream: here that one is superseded.
#[test]
fn a_hop_that_is_renewed_owes_its_new_ticket_at_once_and_supersedes_the_old() {
    let mut first = submitted();
    first.snapshot.deadline = None;
    let old = first.snapshot.envelope.expect("an envelope");
    let error = ErrorInfo::new("RETRY", "no");
    let later = NOW.plus(Duration::from_secs(600));
    let delayed = after(&first, 7, act::retry(&first.snapshot, later, error));
    let again = || first.envelope.as_ref().expect("an envelope").again(envelope_id(9));
    for (wake, wakes) in [(act::Wake::Now, None), (act::Wake::AsPlanned, Some(later))] {
        let renewed = after(&delayed, 8, act::renew(&delayed.snapshot, again(), wake, "why"));
        assert_eq!(ticket(&renewed), Some((envelope_id(9), None, Owed::Now)));
        let (was, now) = (&delayed.snapshot, &renewed.snapshot);
        assert_eq!(
            (now.attempt, now.epoch, now.wake_at),
            (was.attempt, was.epoch + 1, wakes)
        );
        assert!(renewed.is_given_back() && now.holder.is_none());
        let facts = DeliveryFacts {
            delivered: 1,
            reissued: false,
            stored_after_connect: true,
        };
        assert_eq!(on_delivery(&renewed, old, facts, later), Standing::Superseded);
        let mine = on_delivery(&renewed, envelope_id(9), facts, later);
        assert_eq!(mine, Standing::Mine { attempt: was.attempt }, "it burns no attempt");
        // Behind another record the sweeper finds out whether the ticket was written.
        let noted = after(&renewed, 9, act::annotate(&renewed.snapshot, "noted"));
        assert_eq!(ticket(&noted), Some((envelope_id(9), Some(9), Owed::IfLost)));
    }
}

#[test]
fn an_end_owes_its_answer_once_and_nothing_else() {
    let first = submitted();
    assert!(first.snapshot.reply_to.is_some());
    for made in [
        act::complete(&first.snapshot, json("1")),
        act::fail(&first.snapshot, ErrorInfo::new("NO", "no")),
        act::reject(&first.snapshot, ErrorInfo::new("NO", "no")),
        act::time_out(&first.snapshot),
    ] {
        let head = after(&first, 7, made);
        let owed: Vec<(Effect<'_>, Owed)> = effects(&head).collect();
        assert_eq!(
            owed,
            [(Effect::Answer("clients.7.answers"), Owed::Once)],
            "{:?}",
            head.event
        );
    }
    let parked = after(&first, 7, act::park(&first.snapshot, ErrorInfo::new("POISON", "no")));
    assert_eq!(effects(&parked).count(), 0);
    let undone = after(
        &first,
        7,
        act::compensate(&first.snapshot, ErrorInfo::new("NO", "no"), act::AfterUndo::Fails),
    );
    assert_eq!(effects(&undone).count(), 0);
}

proptest! {
    #[test]
    fn whatever_the_head_is_it_owes_a_ticket_exactly_while_work_stands_before_an_agent(head in any_record()) {
        let snapshot = &head.snapshot;
        let is_whole = snapshot.agent.is_some() && snapshot.version.is_some() && snapshot.envelope.is_some();
        let is_owed = snapshot.status.is_workable() && is_whole && !snapshot.is_by_hand();
        prop_assert_eq!(ticket(&head).is_some(), is_owed);
        if let Some((_, _, Owed::Now)) = ticket(&head) {
            prop_assert!(snapshot.holder.is_none() && snapshot.status == Status::Pending);
        }
        let answers = effects(&head).filter(|(effect, _)| matches!(effect, Effect::Answer(_))).count();
        prop_assert_eq!(answers == 1, snapshot.status.is_terminal() && snapshot.reply_to.is_some());
    }

    #[test]
    fn the_sweeper_asks_the_same(head in any_record(), slack in 0_u64..60_000) {
        let slack = Duration::from_millis(slack);
        let end = Timestamp::from_unix_millis(i64::MAX);
        match needs(&head, end, slack) {
            Need::Ticket => prop_assert!(ticket(&head).is_some()),
            Need::TimeOut => prop_assert!(head.snapshot.deadline.is_some() && head.snapshot.status != Status::Compensating),
            Need::Resume => prop_assert!(owes_resume(&head.snapshot)),
            Need::Redrive => prop_assert!(head.snapshot.owes_redrive()),
            Need::TopUps => prop_assert!(false, "another asks for that"),
            Need::Closed | Need::None => prop_assert!(ticket(&head).is_none()),
        }
    }
}
