//! Children: when a join is met, what a call puts into the snapshot, and that recorded ends count once.

use std::collections::{BTreeMap, BTreeSet};

use baton_envelope::*;
use proptest::prelude::*;

use crate::samples::*;

/// An intent at work on its second hop.
fn at_work() -> Snapshot {
    let mut head = full_snapshot();
    (head.status, head.hop) = (Status::InProgress, 2);
    head.waits.clear();
    head.signals.clear();
    head.children.clear();
    (head.told, head.wake_at, head.budget) = (None, None, None);
    head
}

fn call(count: usize, join: JoinRule, need: Option<u32>) -> WaitSpec {
    let child = Child::new(Json::null());
    let children = Children {
        to: Some(agent("code")),
        need,
        ..Children::new(vec![child; count], join)
    };
    WaitSpec::for_children("qa", children)
}

/// The hop waits for these children.
fn called(spec: &WaitSpec) -> Snapshot {
    let draft = act::suspend(&at_work(), std::slice::from_ref(spec)).expect("legal");
    assert_eq!(draft.event, Event::FannedOut);
    draft.seal(intent(), 20, stamp()).snapshot.seen_at(21)
}

fn ended(index: u32, state: &str) -> ChildEnd {
    ChildEnd {
        index,
        state: state.to_owned(),
        code: None,
        ..full_child_end()
    }
}

fn done(ends: Vec<ChildEnd>) -> ChildrenDone {
    ChildrenDone {
        hop: 2,
        name: "qa".to_owned(),
        ends,
        extra: Extra::new(),
    }
}

fn record(head: &Snapshot, ends: Vec<ChildEnd>) -> Option<Snapshot> {
    let draft = act::child_done(head, &[done(ends)]).expect("legal")?;
    Some(draft.seal(intent(), 30, stamp()).snapshot.seen_at(31))
}

#[test]
fn a_call_is_a_wait_and_its_children_are_counted_in_the_snapshot() {
    let head = called(&call(3, JoinRule::Any, None));
    assert_eq!(head.status.to_string(), "waiting(children)");
    assert_eq!(
        (head.waits[0].kind.clone(), head.waits[0].seq),
        (WaitKind::Children, Some(21))
    );
    let set = &head.children[0];
    assert_eq!((set.hop, set.count, set.seq), (2, 3, Some(21)));
    assert!(set.is_awaited(&head) && !owes_resume(&head));
    let record = Record {
        event: Event::FannedOut,
        snapshot: head.clone(),
        ..full_record()
    };
    let owes: Vec<Owed> = effects(&record)
        .filter(|(effect, _)| *effect == Effect::Children)
        .map(|(_, owed)| owed)
        .collect();
    assert_eq!(owes, [Owed::Now]);
    // Asked again after a park: the same children stay.
    let mut again = head.clone();
    again.status = Status::InProgress;
    let draft = act::suspend(&again, &[call(3, JoinRule::Any, None)]).expect("legal");
    assert_eq!((draft.event.name(), draft.waits.len()), ("waiting", 0));
    assert_eq!(draft.snapshot.children, head.children);
    assert_eq!(
        compare_waits(&again, &[call(4, JoinRule::Any, None)]),
        AskedWaits::Changed
    );
}

#[test]
fn a_set_stays_until_its_children_have_ended_and_nobody_waits_for_them() {
    let head = called(&call(3, JoinRule::Any, None));
    let head = record(&head, vec![ended(1, "completed")]).expect("new");
    assert!(owes_resume(&head));
    let resumed = act::resume(&head, full_envelope(), version("2.0.0"), Vec::new(), &[]).expect("legal");
    let head = resumed.seal(intent(), 31, stamp()).snapshot.seen_at(32);
    assert!(head.children[0].is_over(&head));
    let head = record(&head, vec![ended(0, "cancelled"), ended(2, "failed")]).expect("new");
    assert_eq!(head.children, []);
}

#[test]
fn what_children_cannot_be_asked_is_named() {
    let says = |spec: WaitSpec, part: &str| {
        let problem = spec.children.expect("children").check().expect_err("bad");
        assert!(problem.contains(part), "{problem}");
    };
    says(call(0, JoinRule::Any, None), "no children");
    says(call(2, JoinRule::Some, None), "`need`");
    says(call(2, JoinRule::Some, Some(0)), "`need`");
    says(call(2, JoinRule::Some, Some(3)), "only 2");
    says(call(2, JoinRule::Unknown("most".to_owned()), None), "most");
    says(call(MOST_CHILDREN + 1, JoinRule::Any, None), "10000");
    let nobody = Children::new(vec![Child::new(Json::null())], JoinRule::Any);
    says(WaitSpec::for_children("qa", nobody), "child 0");
}

#[test]
fn the_id_of_a_child_is_always_the_same_and_tells_its_place() {
    let of = |index| IntentId::of_child(&intent(), 1, "research", index);
    assert_eq!(of(7).as_str(), "f84864de-7edb-8913-b72c-a84a56b8e590-7");
    let calls = IntentId::of_children(&intent(), 1, "research");
    assert_eq!(of(7).place_in(&calls), Some(7));
    assert_eq!(of(7).place_in(&IntentId::of_children(&intent(), 2, "research")), None);
    for other in [
        "f84864de-7edb-8913-b72c-a84a56b8e590-07",
        "f84864de-7edb-8913-b72c-a84a56b8e590-",
    ] {
        assert_eq!(other.parse::<IntentId>().expect("an id").place_in(&calls), None);
    }
}

/// The envelope of the second child of a call.
fn second_child(
    parent: &Envelope,
    children: &Children,
    pins: &BTreeMap<AgentName, AgentVersion>,
) -> Result<Envelope, HopLimit> {
    parent.child(NewChild {
        id: envelope_id(7),
        call: (parent.hop, "research"),
        index: 1,
        children,
        child: &children.children[1],
        to: &agent("qa"),
        from: "code@2.0.0",
        pins,
    })
}

#[test]
fn a_child_takes_over_what_its_parent_has() {
    let (parent, children) = (full_envelope(), full_children());
    let pins = [(agent("qa"), version("1.0.0"))].into();
    let envelope = |parent: &Envelope| second_child(parent, &children, &pins);
    let child = envelope(&parent).expect("a child");
    assert_eq!(child.hop, parent.hop + 1);
    assert_eq!(
        (child.root(), child.parent.as_ref()),
        (parent.root(), Some(&parent.intent))
    );
    assert_eq!(parent.check_must_carry(&child), Ok(()));
    assert_eq!(
        (&child.traceparent, &child.gates, &child.pins),
        (&parent.traceparent, &parent.gates, &pins)
    );
    assert_eq!(child.deadline, parent.deadline.map(|at| at.minus(KEEP_TIME)));
    assert_eq!((child.reply_to, child.history.len(), child.policy), (None, 0, None));
    // What the call says; else what its parent is given, without the view that was made for that one.
    assert_eq!(child.context, children.context);
    let mut silent = children.clone();
    silent.context = None;
    let with = |context: &str| {
        let mut parent = parent.clone();
        parent.context = Some(json(context));
        second_child(&parent, &silent, &pins).expect("a child").context
    };
    assert_eq!(with("{\"links\":2}"), None, "there is nothing to begin with");
    let head = ObjectHash::of(b"a link");
    let (at, before) = (parent.hop, parent.hop - 1);
    let given = with(&format!(r#"{{"head":"{head}","links":2,"hop":{before}}}"#)).expect("a context");
    let given = context::EnvelopeContext::read(&given).expect("read");
    assert_eq!((given.head, given.links, given.view), (Some(head), 2, None));
    assert_eq!(
        (given.hop, given.unlinked),
        (Some(at + 1), 1),
        "one hop has added nothing"
    );
    let mut last = parent;
    last.hop = last.max_hops.get();
    assert_eq!(envelope(&last).expect_err("past the limit").hop, last.hop + 1);
}

/// A parent of before 1.7 takes no object for a result, and neither does one that has not said that it does. What is said of a child is
/// not said of its own children.
#[test]
fn the_result_of_a_child_may_be_an_object_only_where_its_call_says_so() {
    let parent = full_envelope();
    let child = |parent: &Envelope, result_refs: bool| {
        let children = Children {
            result_refs,
            ..full_children()
        };
        second_child(parent, &children, &parent.pins).expect("a child")
    };
    let (takes, silent) = (child(&parent, true), child(&parent, false));
    assert!(takes.may_end_by_ref() && !silent.may_end_by_ref());
    let said = |envelope: &Envelope| envelope.join.as_ref().map(|join| join.get().to_owned());
    let place = format!(r#"{{"hop":{},"wait":"research","index":1"#, parent.hop);
    assert_eq!(said(&takes), Some(format!("{place},\"result_refs\":true}}")));
    assert_eq!(said(&silent), Some(format!("{place}}}")));
    // Also once it was handed on; not where it calls others itself, on an agent that knows nothing of it.
    let next = Successor {
        id: envelope_id(8),
        to: agent("code"),
        to_version: version("1.0.0"),
        from: "qa@1.0.0".to_owned(),
        payload: Json::null(),
        kind: None,
        history: None,
    };
    let next = takes.successor(next).expect("a hop");
    assert!(next.may_end_by_ref());
    assert!(!child(&next, false).may_end_by_ref());
    // Nobody reads the result of an undo; that of an intent without a parent is for whoever submitted it.
    let undo = parent.undo(NewUndo {
        id: envelope_id(9),
        set: (1, "undo#1"),
        undo: &full_undo(),
        from: "code@2.0.0",
        pins: &parent.pins,
    });
    assert!(!undo.may_end_by_ref());
    let first = Envelope::first(envelope_id(1), intent(), agent("code"), Json::null());
    assert!(first.may_end_by_ref());
}

/// Whoever gives a hop to another version must know what that has to read.
#[test]
fn a_record_says_whether_its_hop_needs_a_version_that_reads_references() {
    let calls = |result_refs: bool| {
        let mut wait = call(2, JoinRule::Collect, None);
        if let Some(children) = &mut wait.children {
            children.result_refs = result_refs;
        }
        let mut draft = act::suspend(&at_work(), &[wait]).expect("legal");
        draft.step = None;
        draft.seal(intent(), 20, stamp())
    };
    assert!(calls(true).needs_references());
    assert!(!calls(false).needs_references());
    let step = |step: StepEntry| Record {
        step: Some(step),
        ..calls(false)
    };
    assert!(step(StepEntry::by_ref("look", full_object_ref())).needs_references());
    assert!(!step(StepEntry::new("look", json("1"))).needs_references());
}

/// Whether a parent goes on, in words that say nothing of bits.
fn goes_on(join: &JoinRule, need: u32, count: u32, completed: usize, failed: usize) -> bool {
    let (count, need) = (count as usize, need as usize);
    match join {
        JoinRule::All => completed == count || failed > 0,
        JoinRule::Any => completed > 0 || failed == count,
        JoinRule::Some => completed >= need || failed > count - need,
        JoinRule::Collect | JoinRule::Unknown(_) => completed + failed == count,
    }
}

proptest! {
    #[test]
    fn a_join_is_met_by_the_ends_alone_in_any_order_and_each_counts_once(
        count in 1_u32..12,
        need in 1_u32..12,
        join in prop_oneof![Just(JoinRule::Collect), Just(JoinRule::All), Just(JoinRule::Any), Just(JoinRule::Some)],
        ends in proptest::collection::vec((0_u32..14, any::<bool>()), 0..30),
    ) {
        let need = need.min(count);
        let spec = call(count as usize, join.clone(), (join == JoinRule::Some).then_some(need));
        let mut head = called(&spec);
        let (mut completed, mut failed) = (BTreeSet::new(), BTreeSet::new());
        for (index, is_good) in ends {
            let state = if is_good { "completed" } else { "timed_out" };
            let is_new = index < count && !completed.contains(&index) && !failed.contains(&index);
            let after = record(&head, vec![ended(index, state), ended(index, "completed")]);
            prop_assert_eq!(after.is_some(), is_new);
            if let Some(after) = after {
                if is_good { completed.insert(index); } else { failed.insert(index); }
                prop_assert_eq!((&after.envelope, after.epoch, &after.holder), (&head.envelope, head.epoch, &head.holder));
                head = after;
            }
            let set = &head.children[0];
            prop_assert_eq!(set.ended_count() as usize, completed.len() + failed.len());
            prop_assert_eq!(owes_resume(&head), goes_on(&join, need, count, completed.len(), failed.len()));
        }
    }
}
