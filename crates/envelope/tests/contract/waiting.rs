//! When a waiting head owes a `resumed`, which signal ends which wait, and that nothing else changes.

use baton_envelope::*;
use proptest::prelude::*;

use crate::samples::*;

/// An intent at work on its second hop.
fn at_work() -> Snapshot {
    let mut head = full_snapshot();
    head.status = Status::InProgress;
    head.hop = 2;
    head.waits.clear();
    head.signals.clear();
    head.told = None;
    head.wake_at = None;
    head
}

fn wait(name: &str, kind: WaitKind) -> WaitSpec {
    WaitSpec::new(name, kind)
}

fn any(mut spec: WaitSpec) -> WaitSpec {
    spec.any = true;
    spec
}

fn within(mut spec: WaitSpec, after_ms: u64) -> WaitSpec {
    spec.after_ms = Some(after_ms);
    spec
}

fn suspended(specs: &[WaitSpec]) -> Snapshot {
    let draft = act::suspend(&at_work(), specs).expect("legal");
    draft.seal(intent(), 20, stamp()).snapshot.seen_at(21)
}

fn told(head: &Snapshot, name: &str, id: &str, seq: u64) -> Snapshot {
    signalled(head, name, id, seq).snapshot.seen_at(seq)
}

/// The record of a signal at this sequence.
fn signalled(head: &Snapshot, name: &str, id: &str, seq: u64) -> Record {
    let entry = SignalEntry {
        name: name.to_owned(),
        id: id.to_owned(),
        data: json("7"),
        data_encoding: None,
        by: None,
        at: None,
        extra: Extra::new(),
    };
    let draft = act::signal(head, entry).expect("legal");
    draft.seal(intent(), seq - 1, stamp())
}

fn ends(head: &Snapshot, due: &[&str]) -> Option<Vec<(String, Ends)>> {
    let found = satisfied(head, |wait| due.contains(&wait.name.as_str()))?;
    Some(found.into_iter().map(|(wait, end)| (wait.name.clone(), end)).collect())
}

fn by_signal(id: &str, seq: u64) -> Ends {
    Ends::Signal {
        id: id.to_owned(),
        seq: Some(seq),
    }
}

#[test]
fn a_wait_ends_by_the_oldest_signal_of_its_name_and_by_no_other() {
    let head = suspended(&[wait("paid", WaitKind::Signal)]);
    assert_eq!(ends(&head, &[]), None);
    let head = told(&head, "other", "m-1", 22);
    assert!(!owes_resume(&head), "a signal of another name ends nothing");
    let head = told(&told(&head, "paid", "m-2", 23), "paid", "m-3", 24);
    assert_eq!(
        ends(&head, &["paid"]),
        Some(vec![("paid".to_owned(), by_signal("m-2", 23))])
    );
}

#[test]
fn an_early_signal_ends_the_wait_as_soon_as_it_is_asked_for() {
    let early = told(&at_work(), "paid", "m-1", 20);
    assert!(!owes_resume(&early), "nothing waits yet");
    let draft = act::suspend(&early, &[wait("paid", WaitKind::Signal)]).expect("legal");
    let record = draft.seal(intent(), 20, stamp());
    assert!(effects(&record).any(|(effect, owed)| effect == Effect::Resume && owed == Owed::Now));
}

/// Whoever writes, gets a redelivery or sweeps pays it.
#[test]
fn a_wait_whose_signal_has_come_owes_a_resumed() {
    let mut waiting = suspended(&[wait("paid", WaitKind::Signal)]);
    waiting.deadline = None;
    let owes = |head: &Record| effects(head).any(|owed| owed == (Effect::Resume, Owed::Now));
    let told = signalled(&waiting, "paid", "m-1", 22);
    assert!(owes(&told) && needs(&told, NOW, std::time::Duration::ZERO) == Need::Resume);
    assert!(!owes(&signalled(&waiting, "packed", "m-2", 22)), "of another name");
}

#[test]
fn a_signal_that_is_unread_when_the_time_comes_wins() {
    let head = suspended(&[within(wait("paid", WaitKind::Signal), 5)]);
    assert_eq!(ends(&head, &["paid"]), Some(vec![("paid".to_owned(), Ends::Time)]));
    let head = told(&head, "paid", "m-1", 22);
    assert_eq!(
        ends(&head, &["paid"]),
        Some(vec![("paid".to_owned(), by_signal("m-1", 22))])
    );
}

#[test]
fn of_any_one_is_enough_and_of_all_none_may_be_missing() {
    let specs = [wait("a", WaitKind::Signal), within(wait("b", WaitKind::Signal), 5)];
    let all = suspended(&specs);
    let both = told(&told(&all, "b", "m-1", 22), "a", "m-2", 23);
    assert_eq!(ends(&told(&all, "b", "m-1", 22), &[]), None);
    assert_eq!(ends(&told(&all, "a", "m-1", 22), &[]), None);
    let ended = vec![("a".to_owned(), by_signal("m-1", 22)), ("b".to_owned(), Ends::Time)];
    assert_eq!(ends(&told(&all, "a", "m-1", 22), &["b"]), Some(ended));
    assert_eq!(ends(&both, &[]).map(|ends| ends.len()), Some(2));

    let any: Vec<WaitSpec> = specs.into_iter().map(any).collect();
    let any = suspended(&any);
    let ended = vec![("a".to_owned(), Ends::Another), ("b".to_owned(), by_signal("m-1", 22))];
    assert_eq!(ends(&told(&any, "b", "m-1", 22), &[]), Some(ended));
    let ended = vec![("a".to_owned(), Ends::Another), ("b".to_owned(), Ends::Time)];
    assert_eq!(ends(&any, &["b"]), Some(ended));
}

#[test]
fn a_sleep_ends_by_its_time_alone() {
    let head = suspended(&[within(wait("nap", WaitKind::Sleep), 5)]);
    let head = told(&head, "nap", "m-1", 22);
    assert_eq!(ends(&head, &[]), None);
    assert_eq!(ends(&head, &["nap"]), Some(vec![("nap".to_owned(), Ends::Time)]));
}

#[test]
fn no_signal_decides_an_approval() {
    let mut head = suspended(&[wait("legal", WaitKind::Approval)]);
    head = told(&head, "legal", "m-1", 22);
    assert_eq!(ends(&head, &[]), None);
    head.waits[0].decided = Some("approve".to_owned());
    let ended = vec![("legal".to_owned(), Ends::Decision("approve".to_owned()))];
    assert_eq!(ends(&head, &[]), Some(ended));
}

#[test]
fn only_a_waiting_head_is_resumed_and_only_by_waits_of_its_hop() {
    let head = told(&suspended(&[wait("paid", WaitKind::Signal)]), "paid", "m-1", 22);
    assert!(owes_resume(&head));
    let parked = act::park(&head, ErrorInfo::new("PAUSED", "a person did"))
        .expect("legal")
        .snapshot;
    assert!(!owes_resume(&parked), "no wait ends while the intent is parked");
    assert_eq!(parked.waits, head.waits, "and it keeps them");
    let mut elsewhere = head.clone();
    elsewhere.hop = 3;
    assert!(!owes_resume(&elsewhere), "waits of another hop count for nothing");
}

#[test]
fn what_is_asked_again_after_a_redrive_keeps_its_place_and_other_waits_are_told_apart() {
    let specs = [within(wait("paid", WaitKind::Signal), 5)];
    let head = suspended(&specs);
    let parked = act::park(&head, ErrorInfo::new("PAUSED", "a person did"))
        .expect("legal")
        .snapshot;
    let mut envelope = full_envelope();
    envelope.order_key = None;
    envelope.hop = 2;
    let redriven = act::redrive(&parked, envelope, version("2.0.0")).expect("legal");
    let redriven = redriven.seal(intent(), 30, stamp()).snapshot.seen_at(31);
    assert_eq!(compare_waits(&redriven, &specs), AskedWaits::Same);
    let again = act::suspend(&redriven, &specs)
        .expect("legal")
        .seal(intent(), 32, stamp());
    assert_eq!((again.snapshot.waits[0].seq, again.waits.len()), (Some(21), 0));
    assert_eq!(
        compare_waits(&redriven, &[wait("other", WaitKind::Signal)]),
        AskedWaits::Changed
    );
    assert_eq!(compare_waits(&at_work(), &specs), AskedWaits::New);
}

#[test]
fn resumed_takes_what_ended_the_waits_and_nothing_else() {
    let head = told(
        &told(&suspended(&[wait("paid", WaitKind::Signal)]), "paid", "m-1", 22),
        "paid",
        "m-2",
        23,
    );
    let mut envelope = full_envelope();
    envelope.order_key = None;
    envelope.hop = 2;
    envelope.to_version = Some(version("1.0.0"));
    let resumed = act::resume(&head, envelope, version("2.0.0"), Vec::new(), &["m-1".to_owned()]).expect("legal");
    let again = resumed.envelope.expect("an envelope");
    assert_eq!(
        again.to_version, resumed.snapshot.version,
        "it may have been moved while it waited"
    );
    let resumed = resumed.snapshot;
    assert_eq!(resumed.status, Status::Pending);
    assert_eq!((resumed.attempt, resumed.epoch), (1, head.epoch + 1));
    assert!(resumed.waits.is_empty());
    let left: Vec<&str> = resumed.signals.iter().map(|signal| signal.id.as_str()).collect();
    assert_eq!(left, ["m-2"]);
}

#[test]
fn a_message_is_one_signal_however_often_it_comes() {
    let head = told(&at_work(), "paid", "m-1", 20);
    assert_eq!(on_signal(&head, "paid", "m-1"), SignalFate::Known);
    assert_eq!(on_signal(&head, "paid", "m-2"), SignalFate::Take);
    let ended = act::cancel(&head, "enough").expect("legal").snapshot;
    assert_eq!(
        on_signal(&ended, "paid", "m-1"),
        SignalFate::Known,
        "not told twice of, though it was in time"
    );
    assert_eq!(on_signal(&ended, "paid", "m-2"), SignalFate::TooLate);
    let mut full = at_work();
    for count in 0..MOST_UNREAD {
        full = told(
            &full,
            "paid",
            &format!("m-{count}"),
            20 + u64::try_from(count).expect("small"),
        );
    }
    assert_eq!(on_signal(&full, "paid", "one more"), SignalFate::TooMany);
}

/// Else what nobody waits for, or many waits, would keep an intent from ever going on.
#[test]
fn a_signal_that_is_waited_for_is_taken_whatever_else_there_is() {
    let names: Vec<String> = (0..MOST_WAITS).map(|at| format!("document-{at}-approved")).collect();
    let specs: Vec<WaitSpec> = names.iter().map(|name| wait(name, WaitKind::Signal)).collect();
    let mut head = suspended(&specs);
    let seq = |at: usize| 22 + u64::try_from(at).expect("small");
    for at in 0..MOST_UNREAD {
        let id = format!("junk-{at}");
        assert_eq!(on_signal(&head, "junk", &id), SignalFate::Take);
        head = told(&head, "junk", &id, seq(at));
    }
    assert_eq!(on_signal(&head, "junk", "more"), SignalFate::TooMany);
    for (at, name) in names.iter().enumerate() {
        assert!(!owes_resume(&head), "{name} is missing");
        assert_eq!(on_signal(&head, name, name), SignalFate::Take, "{name}");
        head = told(&head, name, name, seq(MOST_UNREAD + at));
        assert_eq!(
            on_signal(&head, name, "again"),
            SignalFate::TooMany,
            "the wait has its signal"
        );
    }
    assert!(owes_resume(&head));
}

#[test]
fn a_hop_has_no_more_waits_open_than_fit() {
    let specs = |count: usize| -> Vec<WaitSpec> {
        (0..count)
            .map(|at| wait(&format!("{at:064}"), WaitKind::Callback))
            .collect()
    };
    assert_eq!(check_room(&specs(MOST_WAITS)), Ok(()));
    let problem = check_room(&specs(MOST_WAITS + 1)).expect_err("too many");
    assert!(problem.contains("257") && problem.contains("256"), "{problem}");
    let approval = people::Approval::new("Publish?").who((0..64).map(|at| format!("person-{at:050}")));
    let asked: Vec<WaitSpec> = (0..16)
        .map(|at| WaitSpec::for_people(format!("a-{at}"), approval.clone()))
        .collect();
    let problem = check_room(&asked).expect_err("too large");
    assert!(problem.contains("65536"), "{problem}");
    let mut titled = wait("paid", WaitKind::Signal);
    titled.title = Some("ä".repeat(200));
    assert_eq!(titled.check_title(), Ok(()));
    titled.title = Some("ä".repeat(201));
    let problem = titled.check_title().expect_err("too long");
    assert!(problem.contains("`title` has 201 characters"), "{problem}");
}

#[test]
fn the_last_512_messages_are_remembered() {
    let mut head = at_work();
    for count in 0..MOST_TOLD + 10 {
        head = told(
            &head,
            "paid",
            &format!("m-{count}"),
            20 + u64::try_from(count).expect("small"),
        );
        head.signals.clear();
    }
    assert!(!is_told(&head, "m-9") && is_told(&head, "m-10") && is_told(&head, &format!("m-{}", MOST_TOLD + 9)));
    assert_eq!(head.told.expect("told").len(), MOST_TOLD * 12);
}

#[test]
fn work_that_begins_later_waits_for_its_time_without_a_ticket() {
    let mut envelope = full_envelope();
    envelope.order_key = None;
    envelope.hop = 1;
    envelope.not_before = Some(NOW.plus(std::time::Duration::from_secs(60)));
    let record = act::submit(NOW, version("2.0.0"), envelope.clone()).seal(intent(), 0, stamp());
    assert_eq!(record.snapshot.status.to_string(), "waiting(time)");
    assert_eq!(record.snapshot.wake_at, envelope.not_before);
    assert_eq!(
        effects(&record)
            .filter(|(effect, _)| matches!(effect, Effect::Ticket(_)))
            .count(),
        0
    );
    let record = act::submit(envelope.not_before.expect("a time"), version("2.0.0"), envelope);
    assert_eq!(record.snapshot.status, Status::Pending, "its time has come");
}

#[test]
fn names_of_waits_are_subject_tokens() {
    for name in ["a", "legal-2", "A_b", &"x".repeat(64)] {
        assert_eq!(check_wait_name(name), Ok(()), "{name}");
    }
    for name in ["", "a.b", "*", "ä", "a b", &"x".repeat(65)] {
        assert!(check_wait_name(name).is_err(), "{name}");
    }
    assert!(wait("nap", WaitKind::Sleep).check().is_err(), "a sleep needs its time");
}

proptest! {
    /// Against a plain reading of the rules: all signals of a name in their order, waits in theirs.
    #[test]
    fn any_signals_end_any_waits_as_the_rules_say(names in proptest::collection::vec("[abc]", 1..4), sent in proptest::collection::vec("[abc]", 0..5), is_any: bool) {
        let mut unique = names;
        unique.sort();
        unique.dedup();
        let specs: Vec<WaitSpec> = unique.iter().map(|name| { let mut spec = wait(name, WaitKind::Signal); spec.any = is_any; spec }).collect();
        let mut head = suspended(&specs);
        for (index, name) in sent.iter().enumerate() {
            head = told(&head, name, &format!("m-{index}"), 22 + u64::try_from(index).expect("small"));
        }
        let first = |name: &String| sent.iter().position(|sent| sent == name);
        let expected = match is_any {
            true => unique.iter().any(|name| first(name).is_some()),
            false => unique.iter().all(|name| first(name).is_some()),
        };
        let found = ends(&head, &[]);
        prop_assert_eq!(found.is_some(), expected);
        for (name, end) in found.unwrap_or_default() {
            if let Ends::Signal { id, .. } = end {
                prop_assert_eq!(Some(id), first(&name).map(|index| format!("m-{index}")));
            }
        }
    }
}
