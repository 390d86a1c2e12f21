//! Walks of a tree of intents over the real acts: holders that die, freeze and wake, calls that nobody tells of, ends that come
//! twice and late, parents that close first. After every record the equation of section 26 holds, nothing is below zero, and all
//! that was paid is accounted for.
//!
//! The fixed schedules are those by which a model broke the first form of the rules (issue 16).

use std::collections::BTreeMap;

use baton_envelope::budget::{Debt, Spend, TopUp};
use baton_envelope::*;
use proptest::prelude::*;

use super::one::tokens;
use crate::samples::*;

mod judge;
mod lending;

/// How deep calls go, and how many intents there are at most.
const DEPTH: usize = 3;
const MOST: usize = 12;
const ALLOTTED: u64 = 60;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Op {
    Claim,
    Hold(u64),
    HoldOrPark(u64),
    Pay,
    /// What a holder paid that has lost the hop.
    PayLate,
    /// How much more than it held.
    Spend(u64),
    SpendHalf,
    /// How many children, what the first names, and whether the first end is enough.
    Call(usize, Option<u64>, bool),
    Submit,
    NeverBegin,
    Complete,
    Fail,
    /// Also of ends that are recorded.
    Ends(bool),
    Resume,
    Park,
    Redrive,
    Retry,
    Cancel,
    TopUp(u64, bool),
    /// The parent of this child lends it more, perhaps by the last request again; whoever wrote that dies.
    Lend(u64, bool),
    /// This parent's first debt is paid; or, by somebody who had frozen, the oldest that it ever had.
    PayDebt(bool),
    /// This parent hears of all debts that were paid, also again.
    TellPaid,
}

/// A call to a model that is under way.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    held: u64,
    epoch: u64,
    paid: bool,
}

#[derive(Debug)]
struct Node {
    id: IntentId,
    head: Option<Snapshot>,
    seq: u64,
    depth: usize,
    /// The parent, the name of the call, its place, and the snapshot of the record that called.
    of: Option<(usize, String, u32, Snapshot)>,
    in_flight: Option<InFlight>,
    calls: usize,
    /// Every debt that it had, as whoever was to pay it read it; and those that were paid.
    debts: Vec<Debt>,
    paid: Vec<Debt>,
}

#[derive(Debug)]
struct World {
    nodes: Vec<Node>,
    /// Calls of holders that have lost their hop, unpaid as yet.
    late: Vec<u64>,
    paid: u64,
    over: u64,
    topped: u64,
    tops: u64,
    lends: u64,
}

impl World {
    fn new() -> Self {
        let mut envelope = Envelope::first(envelope_id(1), intent(), agent("code"), Json::null());
        envelope.budget = Some(Box::new(Budget::of(&tokens(ALLOTTED))));
        let draft = act::submit(NOW, version("2.0.0"), envelope);
        let mut world = Self {
            nodes: vec![Node {
                id: intent(),
                head: None,
                seq: 0,
                depth: 0,
                of: None,
                in_flight: None,
                calls: 0,
                debts: Vec::new(),
                paid: Vec::new(),
            }],
            late: Vec::new(),
            paid: 0,
            over: 0,
            topped: 0,
            tops: 0,
            lends: 0,
        };
        world.write(0, draft);
        world
    }

    fn write(&mut self, at: usize, draft: Draft) {
        let node = &mut self.nodes[at];
        let record = draft.seal(node.id.clone(), node.seq, stamp());
        // As a reader has it.
        let text = serde_json::to_string(&record).expect("JSON");
        let record = Record::decode(text.as_bytes()).expect("a record");
        node.seq += 1;
        let head = record.snapshot.seen_at(node.seq);
        if let Some(call) = node.in_flight
            && (call.epoch != head.epoch || !head.status.is_workable())
        {
            node.in_flight = None;
            if !call.paid {
                self.late.push(call.held);
            }
        }
        node.head = Some(head);
    }

    fn apply(&mut self, at: usize, op: Op) {
        let at = at % self.nodes.len();
        let Some(head) = self.nodes[at].head.clone() else {
            return self.before_it_begins(at, op);
        };
        let is_open = !head.status.is_terminal();
        let may_work = head.status.is_workable();
        let in_flight = self.nodes[at].in_flight;
        let envelope = || {
            let mut envelope = Envelope::first(envelope_id(7), intent(), agent("code"), Json::null());
            envelope.hop = head.hop;
            envelope
        };
        let error = || ErrorInfo::new("WHY", "in words");
        let draft = match op {
            Op::Claim if may_work => act::claim(&head, "w", head.attempt).ok(),
            Op::Hold(count) | Op::HoldOrPark(count) if may_work && in_flight.is_none() => {
                match act::hold(&head, "w", "s", tokens(count)) {
                    Ok(draft) => {
                        self.nodes[at].in_flight = Some(InFlight {
                            held: count,
                            epoch: head.epoch,
                            paid: false,
                        });
                        Some(draft)
                    }
                    Err(act::NotHeld::Refused(refused)) if matches!(op, Op::HoldOrPark(_)) => {
                        act::exhausted(&head, &refused).ok()
                    }
                    Err(_) => None,
                }
            }
            Op::Pay => {
                if let Some(call) = self.nodes[at].in_flight.as_mut().filter(|call| !call.paid) {
                    call.paid = true;
                    self.paid += call.held;
                }
                None
            }
            Op::PayLate => {
                self.paid += self.late.pop().unwrap_or_default();
                None
            }
            Op::Spend(_) | Op::SpendHalf if may_work => in_flight.filter(|call| call.paid).map(|call| {
                let over = if let Op::Spend(over) = op { over } else { 0 };
                let took = match op {
                    Op::SpendHalf => call.held / 2,
                    _ => call.held + over,
                };
                self.paid = self.paid + took - call.held;
                self.over += over;
                self.nodes[at].in_flight = None;
                let spend = Spend::of_step("s", tokens(call.held), tokens(took));
                act::spend_step(&head, StepEntry::new("s", Json::null()), spend).expect("legal")
            }),
            Op::Call(count, first, any) if may_work && in_flight.is_none() && self.nodes[at].depth < DEPTH => {
                return self.call(at, &head, (count, first, any));
            }
            Op::Complete if may_work => act::complete(&head, Json::null()).ok(),
            Op::Fail if is_open => act::fail(&head, error()).ok(),
            Op::Ends(again) if is_open => self.ends(at, &head, again),
            Op::Resume if owes_resume(&head) => act::resume(&head, envelope(), version("2.0.0"), Vec::new(), &[]).ok(),
            Op::Park if may_work || matches!(head.status, Status::Waiting { .. }) => act::park(&head, error()).ok(),
            Op::Redrive if matches!(head.status, Status::Parked { .. }) => {
                act::redrive(&head, envelope(), version("2.0.0")).ok()
            }
            Op::Retry if may_work => act::retry(&head, NOW, error()).ok(),
            Op::Cancel if is_open => act::cancel(&head, "nobody wants it").ok(),
            Op::TopUp(count, again) if is_open && at == 0 => self.top_up(&head, count, again),
            Op::Lend(count, again) => return self.lend(at, count, again),
            Op::PayDebt(stale) => return self.pay_debt(at, &head, stale),
            Op::TellPaid => self.tell_paid(at, &head),
            _ => None,
        };
        if let Some(draft) = draft {
            self.write(at, draft);
        }
    }

    /// More for the root; the same request once more where it comes again.
    fn top_up(&mut self, head: &Snapshot, count: u64, again: bool) -> Option<Draft> {
        self.tops += u64::from(!again || self.tops == 0);
        let top_up = TopUp::new(self.tops.to_string(), tokens(count));
        let draft = act::top_up(head, top_up, "more").ok().flatten();
        self.topped += draft.as_ref().map_or(0, |_| count);
        draft
    }

    /// What may become of a child that has no record.
    fn before_it_begins(&mut self, at: usize, op: Op) {
        let Some((_, name, index, opener)) = self.nodes[at].of.clone() else {
            return;
        };
        let id = self.nodes[at].id.clone();
        let draft = match op {
            Op::Submit => {
                let mut envelope = Envelope::first(envelope_id(2), id, agent("code"), Json::null());
                (envelope.hop, envelope.parent) = (opener.hop + 1, self.parent_id(at));
                envelope.budget = opener.child_budget(&name, index).map(Box::new);
                act::submit_child(NOW, version("2.0.0"), envelope, &opener.path)
            }
            Op::NeverBegin => {
                let parent = self.parent_id(at).expect("a parent");
                act::never_begin(NOW, intent(), parent, ErrorInfo::new("PARENT_CLOSED", "over"))
            }
            _ => return,
        };
        self.write(at, draft);
    }

    fn parent_id(&self, at: usize) -> Option<IntentId> {
        let (parent, ..) = self.nodes[at].of.as_ref()?;
        Some(self.nodes[*parent].id.clone())
    }

    fn call(&mut self, at: usize, head: &Snapshot, (count, first, any): (usize, Option<u64>, bool)) {
        if self.nodes.len() + count > MOST {
            return;
        }
        self.nodes[at].calls += 1;
        let name = format!("c{}", self.nodes[at].calls);
        let mut children = vec![Child::new(Json::null()); count];
        children[0].budget = first.map(|first| Box::new(tokens(first)));
        let join = if any { JoinRule::Any } else { JoinRule::Collect };
        let children = Children {
            to: Some(agent("qa")),
            ..Children::new(children, join)
        };
        let spec = WaitSpec::for_children(name.clone(), children);
        let draft = act::suspend(head, &[spec]).expect("legal");
        let has_called = draft.event == Event::FannedOut;
        self.write(at, draft);
        let opener = self.nodes[at].head.clone().expect("a head");
        for index in (0..u32::try_from(count).expect("few")).filter(|_| has_called) {
            let (depth, parent) = (self.nodes[at].depth + 1, self.nodes[at].id.clone());
            self.nodes.push(Node {
                id: IntentId::of_child(&parent, head.hop, &name, index),
                head: None,
                seq: 0,
                depth,
                of: Some((at, name.clone(), index, opener.clone())),
                in_flight: None,
                calls: 0,
                debts: Vec::new(),
                paid: Vec::new(),
            });
        }
    }

    /// The ends of all children that have ended, with what each has spent by its last record.
    fn ends(&self, at: usize, head: &Snapshot, again: bool) -> Option<Draft> {
        let mut done: BTreeMap<String, ChildrenDone> = BTreeMap::new();
        for child in &self.nodes {
            let Some((_, name, index, _)) = child.of.as_ref().filter(|(parent, ..)| *parent == at) else {
                continue;
            };
            let last = child.head.as_ref().filter(|last| last.status.is_terminal());
            let set = head.children.iter().find(|set| set.name == *name);
            let (Some(last), Some(set)) = (last, set) else { continue };
            if set.ended()[*index as usize] && !again {
                continue;
            }
            let mut end = ChildEnd {
                index: *index,
                id: None,
                state: last.status.name().to_owned(),
                code: None,
                seq: child.seq,
                spent: None,
                overrun: None,
                extra: Extra::new(),
            };
            end.account(set, &self.nodes[at].id, Some(last));
            let of_call = done.entry(name.clone()).or_insert_with(|| ChildrenDone {
                hop: head.hop,
                name: name.clone(),
                ends: Vec::new(),
                extra: Extra::new(),
            });
            of_call.ends.push(end);
        }
        let done: Vec<ChildrenDone> = done.into_values().collect();
        act::child_done(head, &done).expect("legal")
    }

    fn walk(ops: &[(usize, Op)]) -> Self {
        let mut world = Self::new();
        for (at, op) in ops {
            world.apply(*at, *op);
            world.check();
        }
        world
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Claim),
        4 => (0_u64..25).prop_map(Op::Hold),
        1 => (0_u64..70).prop_map(Op::HoldOrPark),
        4 => Just(Op::Pay),
        2 => Just(Op::PayLate),
        4 => prop_oneof![4 => Just(0_u64), 1 => 1_u64..9].prop_map(Op::Spend),
        1 => Just(Op::SpendHalf),
        4 => (1_usize..4, proptest::option::of(0_u64..30), any::<bool>())
            .prop_map(|(count, first, any)| Op::Call(count, first, any)),
        6 => Just(Op::Submit),
        1 => Just(Op::NeverBegin),
        2 => Just(Op::Complete),
        1 => Just(Op::Fail),
        6 => any::<bool>().prop_map(Op::Ends),
        4 => Just(Op::Resume),
        1 => Just(Op::Park),
        2 => Just(Op::Redrive),
        1 => Just(Op::Retry),
        1 => Just(Op::Cancel),
        2 => (1_u64..20, any::<bool>()).prop_map(|(count, again)| Op::TopUp(count, again)),
        3 => (1_u64..12, any::<bool>()).prop_map(|(count, again)| Op::Lend(count, again)),
        3 => any::<bool>().prop_map(Op::PayDebt),
        2 => Just(Op::TellPaid),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_walk_conserves(ops in proptest::collection::vec((0_usize..MOST, any_op()), 1..160)) {
        World::walk(&ops);
    }
}

/// B2: a holder asks for more than there is, also beside what it holds, what it spent and what it lent.
#[test]
fn no_hold_goes_beyond_what_is_available() {
    for before in [
        &[][..],
        &[(0, Op::Hold(40)), (0, Op::Pay), (0, Op::Spend(0))],
        &[(0, Op::Hold(40)), (0, Op::Claim)],
        &[
            (0, Op::Call(2, Some(30), true)),
            (1, Op::Submit),
            (1, Op::Complete),
            (0, Op::Ends(false)),
            (0, Op::Resume),
        ],
    ] {
        let mut ops = before.to_vec();
        ops.extend([
            (0, Op::Hold(61)),
            (0, Op::Pay),
            (0, Op::Spend(0)),
            (0, Op::Hold(61)),
            (0, Op::Pay),
        ]);
        let world = World::walk(&ops);
        assert!(world.paid <= ALLOTTED, "{before:?}");
    }
}

/// B3: two leaders have seen the same end, and both write it.
#[test]
fn an_end_that_two_leaders_record_settles_once() {
    let ops = [
        (0, Op::Call(2, Some(30), false)),
        (1, Op::Submit),
        (2, Op::Submit),
        (1, Op::Hold(10)),
        (1, Op::Pay),
        (1, Op::Spend(0)),
        (1, Op::Complete),
        (0, Op::Ends(false)),
        (2, Op::Complete),
        (0, Op::Ends(true)),
    ];
    let world = World::walk(&ops);
    let [_, _, spent, _, lent] = world.numbers(0).expect("a root");
    assert_eq!((spent, lent), (10, 0));
}

/// B4: a holder dies between its call and its record, whoever takes the hop from it, and one that froze pays late.
#[test]
fn a_crash_between_call_and_record_is_charged() {
    for taken in [Op::Claim, Op::Park, Op::Retry, Op::Cancel, Op::Fail, Op::Complete] {
        for pays in [Op::Pay, Op::PayLate] {
            let ops = match pays {
                Op::Pay => [(0, Op::Hold(20)), (0, Op::Pay), (0, taken), (0, Op::Spend(0))],
                _ => [(0, Op::Hold(20)), (0, taken), (0, Op::PayLate), (0, Op::Spend(0))],
            };
            let world = World::walk(&ops);
            let [_, _, spent, ..] = world.numbers(0).expect("a root");
            assert_eq!((world.paid, spent), (20, 20), "{taken:?}, {pays:?}");
        }
    }
}

/// The schedules that broke the first form of the rules, each with the rule that it took to mend it.
#[test]
fn the_schedules_that_broke_the_first_form_conserve() {
    let call_two = |any| (0, Op::Call(2, Some(20), any));
    let spend = |at: usize, over: u64| [(at, Op::Hold(10)), (at, Op::Pay), (at, Op::Spend(over))];
    // The overrun of a child goes up to its parent with its end.
    let mut of_child = vec![call_two(false), (1, Op::Submit)];
    of_child.extend(spend(1, 7));
    of_child.extend([
        (1, Op::Complete),
        (0, Op::Ends(false)),
        (2, Op::NeverBegin),
        (0, Op::Ends(false)),
        (0, Op::Resume),
    ]);
    // Nothing is held after it.
    of_child.extend(spend(0, 0));
    // The first end is enough; the other child ends late, while its parent is open.
    let mut late = vec![call_two(true), (1, Op::Submit), (2, Op::Submit)];
    late.extend(spend(2, 0));
    late.extend([
        (1, Op::Complete),
        (0, Op::Ends(false)),
        (0, Op::Resume),
        (2, Op::Cancel),
        (0, Op::Ends(false)),
    ]);
    late.extend(spend(0, 0));
    // A parent closes before its children, and one of them overruns then.
    let mut closed = vec![call_two(false), (1, Op::Submit), (2, Op::Submit), (0, Op::Cancel)];
    closed.extend(spend(1, 3));
    closed.extend([(1, Op::Complete), (2, Op::Cancel), (0, Op::Ends(true))]);
    // A pause takes the holder out in the middle of its call; the hop goes on after it.
    let mut paused = vec![(0, Op::Hold(10)), (0, Op::Pay), (0, Op::Park), (0, Op::Redrive)];
    paused.extend(spend(0, 0));
    // Parked for want of budget with children open: their ends, and a top-up that comes twice.
    let mut wants = vec![
        call_two(true),
        (1, Op::Submit),
        (1, Op::Complete),
        (0, Op::Ends(false)),
        (0, Op::Resume),
    ];
    wants.extend([
        (0, Op::HoldOrPark(70)),
        (2, Op::Submit),
        (2, Op::Fail),
        (0, Op::Ends(true)),
    ]);
    wants.extend([
        (0, Op::TopUp(10, false)),
        (0, Op::TopUp(10, true)),
        (0, Op::Redrive),
        (0, Op::Hold(70)),
    ]);
    for (ops, left) in [(of_child, 50), (late, 40), (closed, 0), (paused, 40), (wants, 0)] {
        let world = World::walk(&ops);
        let [allotted, overrun, spent, held, lent] = world.numbers(0).expect("a root");
        let available = allotted + overrun - spent - held - lent;
        let is_open = world.nodes[0]
            .head
            .as_ref()
            .is_some_and(|head| !head.status.is_terminal());
        assert!(!is_open || available == left, "{ops:?} leaves {available}");
    }
}
