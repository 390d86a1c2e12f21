//! Undo: what an intent did is taken back in reverse order, one after the other, once each; and what the head alone tells of it.

use baton_envelope::*;
use proptest::prelude::*;

use crate::samples::*;

/// An intent at work on its first hop, that has done nothing.
fn at_work() -> Snapshot {
    let mut head = full_snapshot();
    (head.status, head.hop, head.max_hops) = (Status::InProgress, 1, MaxHops::default());
    head.waits.clear();
    head.signals.clear();
    head.children.clear();
    (head.told, head.wake_at, head.undo, head.order) = (None, None, None, None);
    head
}

fn sealed(draft: Draft, seq: u64) -> Record {
    draft.seal(intent(), seq, stamp())
}

fn undo_of(name: &str) -> Undo {
    Undo::new(agent(&format!("undo-{name}")), json("1"))
}

fn step(head: &Snapshot, name: &str) -> Record {
    let mut entry = StepEntry::new(name, json("1"));
    entry.undo = Some(Box::new(undo_of(name)));
    sealed(act::step(head, entry).expect("legal"), 20)
}

fn why() -> ErrorInfo {
    ErrorInfo::new("NO_CARS", "none is left")
}

fn begun(head: &Snapshot) -> Snapshot {
    let draft = act::compensate(head, why(), act::AfterUndo::Fails).expect("legal");
    sealed(draft, 30).snapshot
}

fn end(state: &str) -> ChildEnd {
    ChildEnd {
        index: 0,
        state: state.to_owned(),
        code: None,
        ..full_child_end()
    }
}

fn name_of(head: &Snapshot) -> String {
    match next_undo(head) {
        Some(NextUndo::Undo(_, set)) => set.name,
        other => panic!("{other:?}"),
    }
}

fn ended(head: &Snapshot, state: &str) -> Snapshot {
    let draft = act::undone(head, &name_of(head), end(state))
        .expect("legal")
        .expect("new");
    sealed(draft, 40).snapshot
}

/// Three steps and a handoff with an undo, in two hops; the plan is fixed.
fn planned() -> (Vec<Record>, Snapshot) {
    let first = step(&at_work(), "flight");
    let mut plain = act::step(&first.snapshot, StepEntry::new("note", json("1"))).expect("legal");
    plain.undo = None;
    let second = sealed(plain, 21);
    let mut envelope = full_envelope();
    envelope.hop = 2;
    let handed = act::hand_off(&second.snapshot, envelope, version("2.0.0")).expect("legal");
    let third = sealed(handed.undone_by(Some(Box::new(undo_of("trip")))), 22);
    let mut head = third.snapshot.clone();
    head.status = Status::InProgress;
    let fourth = step(&head, "hotel");
    let history = vec![first, second, third, fourth];
    let head = begun(&history[3].snapshot);
    let plan = undos(&history).into_iter().map(|(planned, _)| planned).collect();
    let head = sealed(act::plan_undos(&head, plan).expect("legal"), 31).snapshot;
    (history, head)
}

#[test]
fn what_was_done_is_undone_in_reverse_order() {
    let (history, head) = planned();
    let plan: Vec<String> = undos(&history).iter().map(|(planned, _)| planned.what()).collect();
    assert_eq!(plan, ["step \"hotel\" of hop 2", "hop 1", "step \"flight\" of hop 1"]);
    let undo = head.undo.clone().expect("counts");
    assert_eq!((undo.named, undo.planned, undo.done), (3, Some(3), 0));
    let mut head = head;
    for number in 1..=3 {
        assert_eq!(name_of(&head), format!("undo#{number}"));
        assert_eq!(head.children.len(), 1);
        head = ended(&head, "completed");
    }
    assert_eq!(next_undo(&head), Some(NextUndo::End));
    assert_eq!(head.children, []);
    let ended = sealed(act::end_undone(&head).expect("legal"), 50).snapshot;
    assert_eq!(
        ended.status,
        Status::Failed {
            code: "NO_CARS".to_owned()
        }
    );
    assert_eq!(ended.error, Some(why()));
}

#[test]
fn the_end_of_an_undo_counts_once() {
    let (_, head) = planned();
    let first = name_of(&head);
    let next = ended(&head, "completed");
    assert_eq!(act::undone(&next, &first, end("completed")), Ok(None));
    assert_eq!(act::undone(&next, "undo#9", end("completed")), Ok(None));
}

#[test]
fn a_failed_undo_stops_the_rest_and_is_tried_again_as_another() {
    let (_, head) = planned();
    let head = ended(&ended(&head, "completed"), "failed");
    let Some(NextUndo::Failed(1, set)) = next_undo(&head) else {
        panic!("{:?}", next_undo(&head));
    };
    assert_eq!(set.name, "undo#2");
    let parked = act::park(&head, ErrorInfo::new(codes::COMPENSATION_FAILED, "no")).expect("legal");
    let parked = sealed(parked, 41).snapshot;
    assert!(parked.is_undoing() && next_undo(&parked).is_none());
    // It never goes back to its work.
    let again = sealed(act::undo_again(&parked).expect("legal"), 42);
    assert_eq!(
        (&again.event, &again.snapshot.status),
        (&Event::Redriven, &Status::Compensating)
    );
    assert_eq!(again.snapshot.epoch, parked.epoch + 1);
    assert_eq!(
        effects(&again)
            .filter(|(effect, _)| matches!(effect, Effect::Ticket(_)))
            .count(),
        0
    );
    assert_eq!(name_of(&again.snapshot), "undo#2.1");
    let head = ended(&ended(&again.snapshot, "completed"), "completed");
    assert_eq!(next_undo(&head), Some(NextUndo::End));
    let ended = sealed(act::end_undone(&head).expect("legal"), 50).snapshot;
    assert_eq!(
        ended.error,
        Some(why()),
        "the failure that was undone, not that of the undo"
    );
}

#[test]
fn what_is_undone_is_not_run_by_a_redrive_that_knows_nothing_of_undos() {
    let (_, head) = planned();
    let head = ended(&ended(&head, "completed"), "failed");
    let parked = act::park(&head, ErrorInfo::new(codes::COMPENSATION_FAILED, "no")).expect("legal");
    let parked = sealed(parked, 41).snapshot;
    // What a program of 1.5 writes: the intent goes back before its agent, and a field that it does not know stays.
    let envelope = Envelope {
        id: envelope_id(7),
        deadline: None,
        ..full_envelope()
    };
    let ticket = envelope.id;
    let version = parked.version.clone().expect("a version");
    let redriven = sealed(act::redrive(&parked, envelope, version).expect("legal"), 42);
    let facts = DeliveryFacts {
        delivered: 1,
        reissued: false,
        stored_after_connect: true,
    };
    assert_eq!(on_delivery(&redriven, ticket, facts, NOW), Standing::Undoing);
    let on = sealed(act::undo_on(&redriven.snapshot).expect("legal"), 43);
    assert_eq!(
        (&on.event, &on.snapshot.status),
        (&Event::Compensating, &Status::Compensating)
    );
    assert_eq!(on.snapshot.error, Some(why()));
    assert_eq!(
        name_of(&on.snapshot),
        "undo#2",
        "nothing is undone twice: whether it has failed is looked up"
    );
}

#[test]
fn it_begins_without_a_holder_and_waits_until_its_children_are_closed() {
    let mut head = step(&at_work(), "flight").snapshot;
    let children = Children {
        to: Some(agent("code")),
        ..Children::new(vec![Child::new(Json::null())], JoinRule::Collect)
    };
    let spec = WaitSpec::for_children("qa", children);
    head = sealed(act::suspend(&head, &[spec]).expect("legal"), 21).snapshot;
    let epoch = head.epoch;
    let head = begun(&head);
    assert_eq!((head.epoch, &head.holder, head.waits.len()), (epoch + 1, &None, 0));
    assert!(!head.status.is_workable());
    assert!(head.children[0].is_over(&head), "nobody waits for the child any more");
    assert_eq!(next_undo(&head), Some(NextUndo::Children));
    let done = ChildrenDone {
        hop: 1,
        name: "qa".to_owned(),
        ends: vec![end("cancelled")],
        extra: Extra::new(),
    };
    let head = sealed(act::child_done(&head, &[done]).expect("legal").expect("new"), 31).snapshot;
    assert_eq!(next_undo(&head), Some(NextUndo::Plan));
}

#[test]
fn only_what_may_have_to_be_undone_is() {
    assert!(!at_work().has_to_undo());
    assert!(step(&at_work(), "flight").snapshot.has_to_undo());
    let mut head = at_work();
    head.children = vec![ChildSet {
        detach: false,
        ended: String::new(),
        ..full_child_set()
    }];
    assert!(head.has_to_undo(), "a child may have done something");
    head.children[0].detach = true;
    assert!(!head.has_to_undo());
}

#[test]
fn an_undo_begins_at_hop_1_without_a_deadline_and_fails_where_it_is_spent() {
    let parent = full_envelope();
    let (undo, pins) = (full_undo(), std::collections::BTreeMap::new());
    let child = parent.undo(NewUndo {
        id: envelope_id(9),
        set: (3, "undo#1"),
        undo: &undo,
        from: "code@2.0.0",
        pins: &pins,
    });
    assert_eq!(child.intent, IntentId::of_child(&parent.intent, 3, "undo#1", 0));
    assert_eq!(
        (child.hop, child.deadline, &child.parent),
        (1, None, &Some(parent.intent.clone()))
    );
    assert_eq!(
        (&child.root, &child.to, &child.payload),
        (&Some(parent.root().clone()), &undo.agent, &undo.payload)
    );
    assert!(child.budget.is_none() && child.gates.is_empty());
    let policy = child.policy.expect("a policy");
    assert_eq!(policy.on_exhausted, Some(OnExhausted::Fail));
    assert!(
        check_wait_name("undo#1").is_err(),
        "no handler can ask for a wait of its name"
    );
}

proptest! {
    /// Whatever ends come in whatever order and however often, each undo counts once, and in the order of the plan.
    #[test]
    fn no_undo_is_counted_twice(told in prop::collection::vec((0_usize..4, any::<bool>()), 0..20)) {
        let (_, mut head) = planned();
        let mut counted = Vec::new();
        for (place, completes) in told {
            let name = format!("undo#{place}");
            let state = if completes { "completed" } else { "failed" };
            if next_undo(&head).is_none() {
                break;
            }
            if let Some(draft) = act::undone(&head, &name, end(state)).expect("legal") {
                head = sealed(draft, 40).snapshot;
                counted.push(place);
            }
        }
        prop_assert_eq!(&counted, &(1..=counted.len()).collect::<Vec<_>>());
        let done = head.undo.as_ref().expect("counts").done as usize;
        prop_assert!(done == counted.len() || done + 1 == counted.len());
    }
}
