//! Messages of channels: the root that no agent has, its copies, and what it comes to.

use baton_envelope::*;

use crate::samples::*;

fn sent() -> (Envelope, Broadcast) {
    let mut envelope = Envelope::first(envelope_id(1), intent(), agent("any"), json("{\"rain\":1.50}"));
    envelope.priority = Priority::new(8).expect("in range");
    envelope.deadline = Some(NOW);
    envelope.reply_to = Some("shop.answers".to_owned());
    let sent = Broadcast::of("news".parse().expect("channel"), false, &envelope);
    (envelope, sent)
}

fn root(receivers: &[&str]) -> Record {
    let (envelope, sent) = sent();
    let receivers = receivers.iter().map(|name| agent(name)).collect();
    let draft = act::broadcast(NOW, sent, &envelope, receivers);
    let stamp = Stamp {
        id: record_id(1),
        at: NOW,
        by: Author::of(Role::Controller, "c1"),
    };
    draft.seal(intent(), 0, stamp)
}

/// An intent whose hop a worker runs.
fn at_work() -> Snapshot {
    let mut head = full_snapshot();
    head.status = Status::InProgress;
    head.waits.clear();
    head.signals.clear();
    head.children.clear();
    (head.told, head.wake_at, head.channel) = (None, None, None);
    head
}

fn end(index: u32, state: &str) -> ChildEnd {
    ChildEnd {
        index,
        state: state.to_owned(),
        code: (state == "failed").then(|| "NO_WAY".to_owned()),
        id: None,
        seq: 20 + u64::from(index),
        spent: None,
        overrun: None,
        extra: Extra::new(),
    }
}

#[test]
fn the_first_record_fixes_the_receivers_and_owes_each_its_copy() {
    let record = root(&["ada", "bob", "eve"]);
    let snapshot = &record.snapshot;
    assert_eq!(snapshot.status.to_string(), "waiting(children)");
    assert_eq!((snapshot.agent.as_ref(), snapshot.hop, snapshot.epoch), (None, 0, 1));
    assert_eq!(record.receivers(), [&agent("ada"), &agent("bob"), &agent("eve")]);
    assert_eq!((snapshot.children[0].count, record.envelope.as_ref()), (3, None));
    let owed: Vec<_> = effects(&record).collect();
    assert_eq!(owed, [(Effect::Children, Owed::Now)]);
    let head = snapshot.clone().seen_at(7);
    let later = Record {
        event: Event::Repinned,
        snapshot: head,
        ..record.clone()
    };
    assert_eq!(effects(&later).collect::<Vec<_>>(), [(Effect::Children, Owed::IfLost)]);

    let sent = record.broadcast.as_ref().expect("what is sent");
    let copies = record.waits[0].children.as_ref().expect("copies");
    let copy = sent.copy((&record.intent, snapshot), copies, (1, &agent("bob")), envelope_id(2));
    assert_eq!(copy.intent, IntentId::of_child(&intent(), 0, RECEIVERS, 1));
    assert_eq!(
        (copy.hop, copy.priority, &copy.to),
        (1, snapshot.priority, &agent("bob"))
    );
    assert_eq!((copy.root(), copy.parent.as_ref()), (&intent(), Some(&intent())));
    assert_eq!(copy.payload.get(), "{\"rain\":1.50}");
    assert_eq!(copy.deadline, Some(NOW.minus(KEEP_TIME)));
    assert_eq!(copy.reply_to, None, "the root answers");
    // No hop goes on with what a copy comes to: that may be an object, whoever sent the message.
    assert!(copy.may_end_by_ref() && !record.needs_references());
    // The root of a submitter of before.
    let of_before = Children {
        result_refs: false,
        ..copies.clone()
    };
    let copy = sent.copy(
        (&record.intent, snapshot),
        &of_before,
        (1, &agent("bob")),
        envelope_id(2),
    );
    assert!(!copy.may_end_by_ref());
}

#[test]
fn a_root_completes_when_all_have_ended_and_says_who_did_not() {
    let record = root(&["ada", "bob"]);
    let head = record.snapshot.clone().seen_at(7);
    let done = |ends: Vec<ChildEnd>| ChildrenDone {
        hop: 0,
        name: RECEIVERS.to_owned(),
        ends,
        extra: Extra::new(),
    };
    let one = act::child_done(&head, &[done(vec![end(0, "completed")])])
        .expect("legal")
        .expect("news");
    assert!(!owes_resume(&one.snapshot));
    let both = act::child_done(&one.snapshot, &[done(vec![end(1, "failed")])])
        .expect("legal")
        .expect("news");
    assert!(owes_resume(&both.snapshot));
    let result = broadcast_result(&record, &[end(0, "completed"), end(1, "failed")]);
    let bob = IntentId::of_child(&intent(), 0, RECEIVERS, 1);
    let expected = format!(
        "{{\"intent\":\"{}\",\"channel\":\"news\",\"receivers\":2,\"completed\":1,\"not_completed\":[{{\"agent\":\"bob\",\"intent\":\"{bob}\",\
         \"state\":\"failed\",\"code\":\"NO_WAY\"}}]}}",
        intent()
    );
    assert_eq!(result.get(), expected);
    let draft = act::gather(&both.snapshot, result).expect("legal");
    let snapshot = &draft.snapshot;
    assert_eq!(snapshot.status, Status::Completed);
    assert_eq!((&snapshot.waits[..], &snapshot.children[..]), (&[][..], &[][..]));
}

#[test]
fn a_hop_that_ends_with_a_message_is_suspended_and_its_intent_is_the_message() {
    let head = at_work();
    let (_, sent) = sent();
    let receivers = || vec![agent("bob"), agent("ada")];
    let draft = act::broadcast_hop(&head, sent.clone(), receivers(), None).expect("legal");
    assert_eq!(draft.event, Event::FannedOut);
    assert_eq!(draft.snapshot.status.to_string(), "waiting(children)");
    assert_eq!(
        (draft.snapshot.holder.as_ref(), draft.snapshot.epoch),
        (None, head.epoch + 1)
    );
    assert_eq!(draft.snapshot.channel.as_ref().map(ChannelName::as_str), Some("news"));
    let stamp = Stamp {
        id: record_id(2),
        at: NOW,
        by: Author::of(Role::Worker, "w1"),
    };
    let record = draft.seal(intent(), 7, stamp);
    assert_eq!(record.receivers(), [&agent("bob"), &agent("ada")]);
    assert_eq!(effects(&record).collect::<Vec<_>>(), [(Effect::Children, Owed::Now)]);
    // A worker that gets the hop again finds that its handler does not come back.
    assert!(recorded_fan_out([&record], head.hop).is_some());
    let head = record.snapshot.clone().seen_at(8);
    let set = head.awaited_receivers().expect("the receivers");
    assert_eq!((set.count, set.seq), (2, Some(8)));

    let mut again = head.clone();
    again.status = Status::InProgress;
    let again = act::broadcast_hop(&again, sent, receivers(), None).expect("legal");
    assert_eq!(
        (again.broadcast, again.waits.len()),
        (None, 0),
        "the receivers are fixed"
    );
    assert_eq!(again.snapshot.children, head.children);
}

#[test]
fn a_message_that_comes_again_is_the_same_whoever_subscribed_meanwhile() {
    let (envelope, there) = sent();
    let (ada, bob) = (agent("ada"), agent("bob"));
    let differs = |new: &Broadcast, here: &[AgentName]| there.differing_field(&[&ada], new, here);
    assert_eq!(differs(&there, &[ada.clone(), bob.clone()]), None);
    let named = Broadcast {
        named: true,
        ..there.clone()
    };
    assert_eq!(differs(&named, std::slice::from_ref(&ada)), Some("receivers"));
    assert_eq!(named.differing_field(&[&ada], &named, std::slice::from_ref(&ada)), None);
    assert_eq!(named.differing_field(&[&ada], &named, &[bob]), Some("receivers"));
    let mut other = envelope;
    other.payload = json("{\"rain\":2}");
    let other = Broadcast::of(there.channel.clone(), false, &other);
    assert_eq!(differs(&other, &[]), Some("payload"));
}

#[test]
fn receivers_are_named_once_each_or_not_at_all() {
    let with = |value: &str| {
        let raw = RawIntent {
            subject: "mesh.channel.news",
            headers: vec![(HEADER_RECEIVERS, value)],
            body: b"{}",
            stored_at: NOW,
            derived_id: intent(),
        };
        raw.receivers().map_err(|refused| refused.to_string())
    };
    assert_eq!(with("bob, ada ,bob"), Ok(Some(vec![agent("bob"), agent("ada")])));
    for (value, said) in [
        ("", "names no agent"),
        (" , ", "names no agent"),
        ("ada,a.b", "\"a.b\" is no agent"),
    ] {
        let refused = with(value).expect_err(said);
        assert!(refused.contains(said), "{refused}");
    }
    let long = with(&"a".repeat(10_000)).expect_err("too long");
    assert!(long.len() < 1_000, "{} bytes", long.len());
}
