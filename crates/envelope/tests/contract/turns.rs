//! Places in the order of a key, and turns: which record gives them, and what keeps them.

use baton_envelope::*;

use crate::samples::*;

const ORDER: Status = Status::Waiting {
    reason: WaitReason::Order,
};

fn envelope(key: Option<&str>) -> Envelope {
    let mut envelope = full_envelope();
    envelope.hop = 1;
    envelope.not_before = None;
    envelope.order_key = key.map(str::to_owned);
    envelope
}

fn submitted(key: Option<&str>) -> Draft {
    let envelope = envelope(key);
    act::submit(NOW, version("1.0.0"), envelope)
}

/// The head that the next writer sees when this stands at a sequence, behind the record before it.
fn at(draft: Draft, seq: u64) -> Snapshot {
    draft.seal(intent(), seq - 10, stamp()).snapshot.seen_at(seq)
}

/// The first record of an intent, at this sequence.
fn first(draft: Draft, seq: u64) -> Snapshot {
    draft.seal(intent(), 0, stamp()).snapshot.seen_at(seq)
}

fn turn(head: &Snapshot) -> (Option<u64>, Option<u32>) {
    let order = head.in_order().expect("a turn");
    (order.place, order.given)
}

fn given(head: &Snapshot, seq: u64) -> Snapshot {
    let draft = act::give_turn(head, envelope(Some("k")), version("1.0.0"), 3, None).expect("legal");
    assert!(draft.snapshot.status == Status::Pending && draft.envelope.is_some());
    at(draft, seq)
}

#[test]
fn work_with_a_key_waits_at_the_place_of_its_record() {
    let head = first(submitted(Some("k")), 10);
    assert_eq!(head.status, ORDER);
    assert!(head.awaits_turn() && !head.status.is_workable());
    assert_eq!(turn(&head), (Some(10), None));
    // Whatever happens to it, it has that place.
    let paused = at(act::pause(&head, "wait").expect("legal"), 20);
    assert!(!paused.awaits_turn() && paused.is_before_its_turn());
    let redriven = act::redrive(&paused, envelope(Some("k")), version("1.0.0")).expect("legal");
    let redriven = at(redriven, 30);
    assert_eq!((&redriven.status, turn(&redriven)), (&ORDER, (Some(10), None)));
    let begun = given(&redriven, 40);
    assert_eq!(turn(&begun), (Some(10), Some(3)));
    // Once it has had its turn it needs no other one.
    let paused = at(act::pause(&begun, "wait").expect("legal"), 50);
    let again = act::redrive(&paused, envelope(Some("k")), version("1.0.0")).expect("legal");
    assert_eq!(again.snapshot.status, Status::Pending);
    assert_eq!(turn(&at(again, 60)), (Some(10), Some(3)));
}

#[test]
fn what_was_published_has_no_place_before_it_is_placed() {
    let head = first(submitted(Some("k")).routed_from(Some(7)), 10);
    let order = head.in_order().expect("a turn");
    assert_eq!((order.intake, order.place), (Some(7), None));
    assert_eq!(order.place_at(10), None);
    let paused = at(act::pause(&head, "wait").expect("legal"), 20);
    assert_eq!(turn(&paused), (None, None), "no other record gives it one");
    let placed = at(act::place(&paused).expect("legal"), 30);
    assert!(matches!(placed.status, Status::Parked { .. }), "its status stays");
    assert_eq!(turn(&placed), (Some(30), None));
    // Without a key there is no place.
    assert!(first(submitted(None).routed_from(Some(7)), 10).order.is_none());
}

#[test]
fn a_later_hop_has_left_and_an_import_comes_last() {
    let begun = given(&first(submitted(Some("k")), 10), 20);
    let mut next = envelope(None);
    next.hop = 2;
    let handed_off = act::hand_off(&begun, next, version("1.0.0")).expect("legal");
    assert_eq!(handed_off.snapshot.order, None);
    let imported = act::import(&begun, "elsewhere", |_| Some(1)).expect("legal");
    let imported = at(imported, 30);
    assert_eq!(
        turn(&imported),
        (Some(30), None),
        "neither its place nor its turn of there"
    );
}

#[test]
fn turns_among_submitters_are_for_what_could_begin() {
    let head = first(submitted(None).in_turn_of(Some("shop")), 10);
    assert_eq!((&head.status, turn(&head)), (&ORDER, (Some(10), None)));
    assert_eq!(head.in_order().expect("a turn").submitter.as_deref(), Some("shop"));
    // A key is its order.
    let keyed = first(submitted(Some("k")).in_turn_of(Some("shop")), 10);
    assert_eq!(keyed.in_order().expect("a turn").submitter, None);
    let mut later = envelope(None);
    later.not_before = Some(NOW.plus(std::time::Duration::from_secs(60)));
    let later = act::submit(NOW, version("1.0.0"), later).in_turn_of(Some("shop"));
    assert_eq!(later.snapshot.order, None);
    assert_eq!(first(submitted(None).in_turn_of(None), 10).status, Status::Pending);
}

#[test]
fn a_key_has_bounds() {
    for good in ["k", "customer 7", &"k".repeat(256), "schlüssel"] {
        assert_eq!(check_order_key(good), Ok(()), "{good}");
    }
    for bad in ["", &"k".repeat(257), &"k".repeat(10_000), "a\nb"] {
        let said = check_order_key(bad).expect_err("refused");
        assert_eq!(said.field, "order_key");
        let mut envelope = envelope(Some(bad));
        envelope.reply_to = None;
        assert!(envelope.check_texts().is_err());
    }
}
