//! Every act against the rules of 11c473a, which wrote each record by hand, and what the acts changed since.

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::*;
use crate::samples::*;

/// The rules as they were: what followed a head, and how work was put before an agent.
mod before {
    use super::*;

    pub(super) fn following(head: &Snapshot, seq: u64, event: Event, at: Timestamp) -> Option<Record> {
        let mut snapshot = head.clone();
        snapshot.status = next(Some(&head.status), &event).ok()?;
        snapshot.updated_at = at;
        if event != Event::Repinned {
            snapshot.wake_at = None;
        }
        if snapshot.envelope_seq.is_none() && snapshot.envelope.is_some() {
            snapshot.envelope_seq = Some(seq);
        }
        let Stamp { id, at, by } = stamp(at);
        Some(Record {
            protocol: PROTOCOL,
            id,
            intent: intent(),
            event,
            at,
            by,
            snapshot,
            envelope: None,
            step: None,
            note: None,
            error: None,
            raw: None,
            took_ms: None,
            cost: None,
            conversion: None,
            generated_id: false,
            waits: Vec::new(),
            signal: None,
            results: Vec::new(),
            children: Vec::new(),
            undo: None,
            undos: Vec::new(),
            context: None,
            state: None,
            people: None,
            exhausted: false,
            broadcast: None,
            hold: None,
            spend: None,
            assumed: None,
            top_up: None,
            extra: Extra::new(),
        })
    }

    pub(super) fn with_work(mut record: Record, mut envelope: Envelope, version: AgentVersion) -> Record {
        let snapshot = &mut record.snapshot;
        if envelope.hop > snapshot.hop {
            let agent = envelope.to.clone();
            snapshot.path.push(PathEntry {
                agent,
                version: version.clone(),
                extra: Extra::new(),
            });
        }
        if let Some(last) = snapshot.path.last_mut().filter(|last| last.agent == envelope.to) {
            last.version = version.clone();
        }
        snapshot.agent = Some(envelope.to.clone());
        snapshot.version = Some(version);
        snapshot.hop = envelope.hop;
        snapshot.max_hops = envelope.max_hops;
        snapshot.priority = envelope.priority;
        snapshot.kind.clone_from(&envelope.kind);
        snapshot.accept_within_ms = envelope.policy.as_ref().and_then(|policy| policy.accept_within_ms);
        snapshot.attempt = 1;
        snapshot.epoch += 1;
        snapshot.holder = None;
        snapshot.envelope = Some(envelope.id);
        snapshot.envelope_seq = None;
        snapshot.error = None;
        // Each caller did so.
        envelope.pins.clone_from(&snapshot.pins);
        record.envelope = Some(Box::new(envelope));
        record
    }

    pub(super) fn without_holder(mut record: Record) -> Record {
        record.snapshot.holder = None;
        record.snapshot.epoch += 1;
        record
    }

    pub(super) fn with_error(mut record: Record, error: ErrorInfo) -> Record {
        record.snapshot.error = Some(error.clone());
        record.error = Some(error);
        record
    }
}

fn stamp(at: Timestamp) -> Stamp {
    Stamp {
        id: record_id(2),
        at,
        by: Author::of(Role::Worker, "w-1"),
    }
}

fn info() -> ErrorInfo {
    ErrorInfo::new("WHY", "in words")
}

/// Its writer's clock is not ahead of that of who follows.
fn with_clocks_that_agree(mut head: Snapshot) -> Snapshot {
    head.updated_at = head.updated_at.min(NOW);
    head
}

/// A head as a writer before protocol 1.2 left it.
fn any_head() -> impl Strategy<Value = Snapshot> {
    any_snapshot().prop_map(|mut head| {
        head.given_back = None;
        head.waits.clear();
        head.signals.clear();
        head.told = None;
        head.manual = None;
        head.children.clear();
        head.channel = None;
        head.order = None;
        head.budget = None;
        head.epoch %= 1_000_000;
        with_clocks_that_agree(head)
    })
}

/// What an act writes, and what was written before; both or neither.
fn same(made: Result<Draft, IllegalTransition>, before: Option<Record>, seq: u64) -> Result<(), TestCaseError> {
    let made = made.ok().map(|draft| {
        let mut record = draft.seal(intent(), seq, stamp(NOW));
        record.snapshot.given_back = None;
        record
    });
    let bytes = |record: &Option<Record>| {
        record
            .as_ref()
            .map(|record| serde_json::to_string(record).expect("JSON"))
    };
    prop_assert_eq!(bytes(&made), bytes(&before));
    Ok(())
}

proptest! {
    #[test]
    fn what_a_holder_writes_is_byte_for_byte_what_it_was(head in any_head(), seq in 1_u64..1000, attempt in 1_u32..9, result in any_json()) {
        let before = |event: Event| before::following(&head, seq, event, NOW);
        let code = || "WHY".to_owned();

        let claimed = before(Event::Claimed).map(|mut record| {
            record.snapshot.attempt = attempt;
            record.snapshot.epoch = head.epoch + 1;
            record.snapshot.holder = Some("w-1".to_owned());
            record
        });
        same(act::claim(&head, "w-1", attempt), claimed, seq)?;
        let started = before(Event::Started).map(|mut record| {
            record.snapshot.holder = Some("w-1".to_owned());
            record
        });
        same(act::start(&head, "w-1"), started, seq)?;
        let step = before(Event::Step).map(|record| Record { step: Some(StepEntry::new("ocr", result.clone())), ..record });
        same(act::step(&head, StepEntry::new("ocr", result.clone())), step, seq)?;
        let completed = before(Event::Completed).map(|mut record| {
            record.snapshot.result = Some(result.clone());
            record.snapshot.result_encoding = None;
            record.snapshot.result_ref = None;
            record.snapshot.error = None;
            record
        });
        same(act::complete(&head, result), completed, seq)?;
        let rejected = before(Event::Rejected { code: code() }).map(|record| before::with_error(record, info()));
        same(act::reject(&head, info()), rejected, seq)?;
        let failed = before(Event::Failed { code: code() }).map(|record| before::with_error(record, info()));
        same(act::fail(&head, info()), failed, seq)?;
        let parked = before(Event::Parked { code: code() }).map(|record| before::with_error(before::without_holder(record), info()));
        same(act::park(&head, info()), parked, seq)?;
        let released = before(Event::Released).map(|record| Record { note: Some("stop".to_owned()), ..before::without_holder(record) });
        same(act::release(&head, "stop"), released, seq)?;
        let retried = before(Event::RetryScheduled).map(|mut record| {
            record.snapshot.attempt = record.snapshot.attempt.saturating_add(1);
            record.snapshot.wake_at = Some(NOW);
            before::with_error(before::without_holder(record), info())
        });
        same(act::retry(&head, NOW, info()), retried, seq)?;
        let timed_out = before(Event::TimedOut).map(before::without_holder);
        same(act::time_out(&head), timed_out, seq)?;
    }

    #[test]
    fn what_puts_work_before_an_agent_is_byte_for_byte_what_it_was(head in any_head(), seq in 1_u64..1000, envelope in any_envelope(), to in any_version()) {
        let before = |event: Event| before::following(&head, seq, event, NOW);
        let work = |record: Record| before::with_work(record, envelope.clone(), to.clone());
        same(act::hand_off(&head, envelope.clone(), to.clone()), before(Event::HandedOff).map(work), seq)?;
        same(act::redrive(&head, envelope.clone(), to.clone()), before(Event::Redriven).map(work), seq)?;
        let moved = |record: Record| {
            let mut record = record;
            if let Some(pinned) = record.snapshot.pins.get_mut(&envelope.to) {
                *pinned = to.clone();
            }
            work(record)
        };
        same(act::shift(&head, act::Shift::Moved, envelope.clone(), to.clone()), before(Event::Moved).map(moved), seq)?;
        same(act::shift(&head, act::Shift::Rerouted, envelope.clone(), to.clone()), before(Event::Rerouted).map(moved), seq)?;
    }

    #[test]
    fn what_an_operator_writes_is_byte_for_byte_what_it_was(head in any_head(), seq in 1_u64..1000, to in any_version()) {
        let agent = head.pins.keys().next().cloned().or_else(|| head.agent.clone()).unwrap_or_else(|| agent("code"));
        let repin = |mut record: Record| {
            if let Some(pinned) = record.snapshot.pins.get_mut(&agent) {
                *pinned = to.clone();
            }
            record
        };
        let repinned = before::following(&head, seq, Event::Repinned, NOW).map(repin);
        same(act::repin(&head, &agent, &to), repinned, seq)?;
        let renamed = before::following(&head, seq, Event::Moved, NOW).map(|mut record| {
            let snapshot = &mut record.snapshot;
            snapshot.version = Some(to.clone());
            snapshot.epoch += 1;
            snapshot.wake_at = head.wake_at;
            if let Some(last) = snapshot.path.last_mut().filter(|last| last.agent == agent) {
                last.version = to.clone();
            }
            repin(record)
        });
        same(act::rename(&head, &agent, &to), renamed, seq)?;
    }

    #[test]
    fn an_act_is_made_exactly_where_next_allows_it(mut head in any_snapshot(), status in any_status()) {
        head.status = status.clone();
        let made = act::compensate(&head, info(), act::AfterUndo::Fails);
        prop_assert_eq!(made.map(|draft| draft.snapshot.status), next(Some(&status), &Event::Compensating));
    }

    #[test]
    fn what_only_adds_leaves_everything_else_alone(head in any_snapshot().prop_map(with_clocks_that_agree), seq in 1_u64..1000) {
        // Each record closes the account; `budgets` has how.
        let head = Snapshot { budget: None, ..head };
        // A note shows that somebody is at work; nothing else that a holder, a delayed ticket or a wait rests on changes.
        if let Ok(draft) = act::progress(&head, "note") {
            let mut after = draft.seal(intent(), seq, stamp(NOW)).snapshot;
            let mut expected = head.clone().seen_at_if_any(seq);
            (after.updated_at, after.status) = (expected.updated_at, expected.status.clone());
            expected.updated_at = after.updated_at;
            prop_assert_eq!(after, expected);
        }
    }
}

trait SeenAt {
    fn seen_at_if_any(self, seq: u64) -> Self;
}

impl SeenAt for Snapshot {
    fn seen_at_if_any(self, seq: u64) -> Self {
        let had = (self.envelope, self.envelope_seq);
        let mut seen = self.seen_at(seq);
        if had.0.is_none() {
            seen.envelope_seq = had.1;
        }
        seen
    }
}

#[test]
fn the_first_record_has_the_envelope_and_starts_every_count() {
    let mut envelope = full_envelope();
    envelope.order_key = None;
    envelope.hop = 1;
    let first = act::submit(NOW, version("2.0.0"), envelope).seal(intent(), 0, stamp(NOW));
    assert_eq!(
        first.snapshot.envelope_seq, None,
        "the record that holds it needs no pointer"
    );
    assert_eq!(
        (first.snapshot.attempt, first.snapshot.epoch, first.snapshot.hop),
        (1, 1, 1)
    );
    assert_eq!((first.snapshot.submitted_at, first.snapshot.updated_at), (NOW, NOW));

    let mut waiting = first.snapshot.clone();
    waiting.wake_at = Some(NOW);
    let second = act::start(&waiting, "w-1")
        .expect("legal")
        .seal(intent(), 41, stamp(NOW));
    assert_eq!(second.snapshot.envelope_seq, Some(41));
    assert_eq!(
        second.snapshot.wake_at, None,
        "a time to wait for is over when something happens"
    );
    let third = act::progress(&second.snapshot, "note")
        .expect("legal")
        .seal(intent(), 42, stamp(NOW));
    assert_eq!(
        third.snapshot.envelope_seq,
        Some(41),
        "the pointer stays where the envelope is"
    );
}

#[test]
fn a_change_of_pins_leaves_the_work_as_it_is() {
    let mut head = full_snapshot();
    head.pins.clear();
    // What it is parked for want of stays only while it is.
    head.budget = None;
    for status in statuses().into_iter().filter(|status| !status.is_terminal()) {
        head.status = status.clone();
        let made = act::repin(&head, &agent("code"), &version("3.0.0")).expect("legal");
        let record = made.seal(intent(), 9, stamp(NOW));
        // A scheduled retry and a timer keep their time, and no holder is fenced out.
        assert_eq!(record.snapshot, head, "{status}");
        assert!(record.envelope.is_none());
    }
}

#[test]
fn new_work_starts_a_count_of_attempts_and_an_epoch() {
    let mut envelope = full_envelope();
    envelope.order_key = None;
    envelope.hop = 1;
    let first = act::submit(NOW, version("2.0.0"), envelope.clone()).seal(intent(), 0, stamp(NOW));
    let mut head = first.snapshot;
    (head.attempt, head.epoch, head.holder) = (3, 6, Some("w-1".to_owned()));
    head.given_back = Some(6);
    let next_envelope = envelope
        .successor(Successor {
            id: envelope_id(7),
            to: agent("qa"),
            to_version: version("3.0.0"),
            from: "code@2.0.0".to_owned(),
            payload: json("1"),
            kind: None,
            history: None,
        })
        .expect("hop 2");
    let handed = act::hand_off(&head, next_envelope, version("3.0.0")).expect("legal");
    let after = handed.seal(intent(), 9, stamp(NOW)).snapshot;
    assert_eq!((after.hop, after.attempt, after.epoch), (2, 1, 7));
    assert_eq!(
        (after.holder.as_ref(), after.envelope_seq, after.given_back),
        (None, None, None)
    );
    assert_eq!(after.envelope, Some(envelope_id(7)));
    let path: Vec<&str> = after.path.iter().map(|entry| entry.agent.as_str()).collect();
    assert_eq!(path, ["code", "qa"]);
}

#[test]
fn a_hop_that_is_given_back_says_so_by_its_epoch_and_whoever_takes_it_does_not() {
    let mut head = full_snapshot();
    (head.status, head.epoch, head.given_back) = (Status::InProgress, 5, None);
    let released = act::release(&head, "stop").expect("legal").snapshot;
    assert_eq!((released.epoch, released.given_back), (6, Some(6)));
    let retried = act::retry(&head, NOW, info()).expect("legal").snapshot;
    assert_eq!((retried.epoch, retried.given_back), (6, Some(6)));
    let claimed = act::claim(&released, "w-2", 2).expect("legal").snapshot;
    assert_ne!(claimed.given_back, Some(claimed.epoch));
    for ended in [
        act::park(&released, info()),
        act::time_out(&released),
        act::compensate(&released, info(), act::AfterUndo::Fails),
    ] {
        let after = ended.expect("legal").snapshot;
        assert_ne!(after.given_back, Some(after.epoch), "{}", after.status);
        assert_eq!(after.holder, None, "{}", after.status);
    }
}

#[test]
fn what_is_undone_is_worked_on_by_nobody() {
    let mut head = full_snapshot();
    head.status = Status::Compensating;
    let held = [
        act::claim(&head, "w-1", 1),
        act::start(&head, "w-1"),
        act::step(&head, StepEntry::new("ocr", json("1"))),
        act::retry(&head, NOW, info()),
        act::release(&head, "stop"),
        act::rename(&head, &agent("code"), &version("3.0.0")),
    ];
    for made in held {
        assert!(made.is_err(), "{made:?}");
    }
    assert!(!head.status.is_workable());
}

#[test]
fn every_open_intent_but_one_that_is_undone_can_be_cancelled_and_nobody_holds_it_then() {
    let mut head = full_snapshot();
    head.given_back = Some(head.epoch);
    for status in statuses() {
        head.status = status.clone();
        match act::cancel(&head, "ordered twice") {
            Ok(draft) => {
                let after = draft.seal(intent(), 9, stamp(NOW));
                assert!(!status.is_terminal() && status != Status::Compensating, "{status}");
                assert_eq!(after.snapshot.status, Status::Cancelled);
                assert_eq!((&after.snapshot.holder, after.snapshot.epoch), (&None, head.epoch + 1));
                assert_eq!(after.note.as_deref(), Some("ordered twice"));
                let error = after.snapshot.error.expect("the reason");
                assert_eq!(
                    (error.code.as_str(), error.message.as_str()),
                    ("CANCELLED", "ordered twice")
                );
            }
            Err(error) => {
                assert!(status.is_terminal() || status == Status::Compensating, "{error}");
            }
        }
    }
}

#[test]
fn what_is_done_by_hand_says_so_of_its_own_envelope_alone() {
    let mut envelope = full_envelope();
    envelope.order_key = None;
    envelope.hop = 1;
    let first = |is_manual| {
        let draft = act::submit(NOW, version("2.0.0"), envelope.clone()).by_hand(is_manual);
        draft.seal(intent(), 0, stamp(NOW))
    };
    let head = first(true);
    assert!(head.snapshot.is_by_hand() && !first(false).snapshot.is_by_hand());
    assert_eq!(effects(&head).count(), 0, "no ticket belongs to it");
    let facts = DeliveryFacts {
        delivered: 1,
        reissued: true,
        stored_after_connect: true,
    };
    let ticket = head.snapshot.envelope.expect("an envelope");
    assert_eq!(on_delivery(&head, ticket, facts, NOW), Standing::Superseded);
    let causes: Vec<Cause> = holds(&head.snapshot).iter().map(|hold| hold.cause).collect();
    assert!(causes.contains(&Cause::ByHand) && !Cause::ByHand.needs_workers());

    // The same version again, by somebody who says nothing of it, is still worked by hand; another one is not.
    let claimed = act::claim(&head.snapshot, "ada", 1).expect("legal").snapshot;
    assert!(claimed.is_by_hand(), "whoever takes it leaves it so");
    let again = envelope.again(envelope_id(7));
    let put = |to: &str| act::shift(&claimed, act::Shift::Moved, again.clone(), version(to)).expect("legal");
    let same = put("2.0.0");
    assert!(same.snapshot.is_by_hand() && same.snapshot.manual.as_ref().is_some_and(|by| by.until.is_none()));
    assert!(!put("3.0.0").snapshot.is_by_hand());
    assert!(put("3.0.0").by_hand(true).snapshot.is_by_hand());
    assert!(!same.by_hand(false).snapshot.is_by_hand());

    // A writer of before carries along what it does not know.
    let mut older = put("3.0.0").by_hand(false).snapshot;
    older.manual.clone_from(&claimed.manual);
    assert!(!older.is_by_hand(), "it is of another envelope");
}

#[test]
fn an_import_parks_behind_the_history_and_names_its_new_places() {
    let mut head = full_snapshot();
    (head.status, head.epoch, head.envelope_seq) = (Status::InProgress, 4, Some(17));
    // Somebody got a seat there and voted; both stand at places of there.
    let ada: PersonName = "ada".parse().expect("a person");
    let approval = people::Approval::new("Publish?").who(["ada", "bob"]).quorum(2);
    let approval = approval.fixed(|_| None, None).expect("an approval");
    let mut ballot = people::Ballot::of(&approval);
    for (seat, choice) in ballot.seats.iter_mut().zip([Some("approve"), None]) {
        seat.choice = choice.map(str::to_owned);
        (seat.said, seat.seq) = (9_000, choice.map(|_| 17));
    }
    let mut asked = OpenWait {
        ballot: Some(ballot),
        ..head.waits.first().expect("a wait").clone()
    };
    asked.seq = Some(17);
    head.waits = vec![asked];
    let draft = act::import(&head, "there", |old| (old == 17).then_some(170)).expect("legal");
    let after = draft.seal(intent(), 171, stamp(NOW)).snapshot;
    let ballot = after.waits.first().and_then(|wait| wait.ballot.as_ref()).expect("open");
    let places: Vec<_> = ballot.seats.iter().map(|seat| (seat.said, seat.seq)).collect();
    assert_eq!(places, [(0, Some(170)), (0, None)]);
    let changes = people::Said {
        by: people::Decider::Person(ada),
        word: people::Word::Choice("reject".to_owned()),
        seq: 3,
    };
    assert!(
        matches!(ballot.rule(&changes, false), people::Ruling::Counts(_)),
        "the first messages of an intake have low numbers"
    );
    assert_eq!(after.status.to_string(), "parked(IMPORTED)");
    assert_eq!((after.envelope_seq, after.epoch, &after.holder), (Some(170), 5, &None));
    for status in statuses() {
        head.status = status.clone();
        assert_eq!(
            act::import(&head, "there", Some).is_ok(),
            !status.is_terminal(),
            "{status}"
        );
    }
}
