//! Lending more: three records by whoever is alive between them.

use baton_envelope::budget::{Borrower, MeterName, TopUp};
use baton_envelope::*;

use super::super::one::{number, tokens};
use super::{Op, World};

impl World {
    /// The parent's record, and nothing after it.
    pub(super) fn lend(&mut self, at: usize, count: u64, again: bool) {
        let Some((parent, ..)) = self.nodes[at].of else { return };
        let (Some(head), Some(child)) = (&self.nodes[parent].head, &self.nodes[at].head) else {
            return;
        };
        self.lends += u64::from(!again || self.lends == 0);
        let to = Borrower {
            parent: &self.nodes[parent].id,
            child: &self.nodes[at].id,
            snapshot: child,
        };
        let top_up = TopUp::new(format!("more-{}", self.lends), tokens(count));
        let Ok(Some(draft)) = act::lend_more(head, to, top_up, "more") else {
            return;
        };
        self.write(parent, draft);
        let node = &mut self.nodes[parent];
        let owed = node.head.as_ref().expect("a head").debts(&node.id);
        node.debts.extend(owed.into_iter().next_back());
    }

    pub(super) fn pay_debt(&mut self, at: usize, head: &Snapshot, stale: bool) {
        let owed = head.debts(&self.nodes[at].id);
        let debt = if stale {
            self.nodes[at].debts.first()
        } else {
            owed.first()
        };
        let Some(debt) = debt.cloned() else { return };
        let child = self
            .nodes
            .iter()
            .position(|node| node.id == debt.child)
            .expect("a child");
        let Some(draft) = self.nodes[child]
            .head
            .as_ref()
            .map(|head| act::pay_lent(head, &debt, "more"))
        else {
            return;
        };
        match draft {
            Ok(Some(draft)) => self.write(child, draft),
            Ok(None) => {}
            Err(_) => return,
        }
        self.nodes[at].paid.push(debt);
    }

    pub(super) fn tell_paid(&self, at: usize, head: &Snapshot) -> Option<Draft> {
        let node = &self.nodes[at];
        act::paid_lent(head, &node.id, &node.paid).ok().flatten()
    }

    /// Whoever pays what an open parent owes brings each open child what it is lent.
    pub(super) fn check_debts(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(head) = &node.head else { continue };
            let debts = head.debts(&node.id);
            for child in self.children(at) {
                let (Some(loan), Some(last)) = (self.loan(child), self.nodes[child].head.clone()) else {
                    continue;
                };
                if last.status.is_terminal() {
                    continue;
                }
                let of_child = debts.iter().filter(|debt| debt.child == self.nodes[child].id);
                let topped = of_child.fold(last, |last, debt| match act::pay_lent(&last, debt, "more") {
                    Ok(Some(draft)) => draft.snapshot,
                    Ok(None) => last,
                    Err(refused) => panic!("{at} owes what cannot be paid: {refused}"),
                });
                let allotted = topped.budget.expect("a budget").allotted();
                let got = number(allotted.get(MeterName::Tokens));
                assert_eq!(got, loan, "B5: {at} forgets what it owes {child}");
            }
        }
    }
}

/// Two children with 20 each, both at work.
fn called() -> Vec<(usize, Op)> {
    vec![(0, Op::Call(2, Some(20), false)), (1, Op::Submit), (2, Op::Submit)]
}

fn with(ops: &[(usize, Op)]) -> World {
    let mut all = called();
    all.extend_from_slice(ops);
    World::walk(&all)
}

fn allotted(world: &World, at: usize) -> i128 {
    world.numbers(at).expect("a budget")[0]
}

/// The second child has taken all that was left, so its parent is topped up first.
#[test]
fn a_child_is_lent_more_by_three_records_and_whoever_writes_them_may_die_between() {
    let lent = [(0, Op::TopUp(30, false)), (1, Op::Lend(10, false))];
    let world = with(&lent);
    assert_eq!((allotted(&world, 1), world.numbers(0).expect("a root")[4]), (20, 70));
    for again in [false, true] {
        let mut ops = lent.to_vec();
        // The request comes again, what is owed is paid twice, and the parent hears of it twice.
        if again {
            ops.extend([(1, Op::Lend(10, true)), (0, Op::PayDebt(true))]);
        }
        ops.extend([(0, Op::PayDebt(false)), (0, Op::TellPaid), (1, Op::Lend(10, true))]);
        ops.extend([(0, Op::TellPaid), (0, Op::PayDebt(true))]);
        let world = with(&ops);
        assert_eq!(allotted(&world, 1), 30, "{again}");
        let head = world.nodes[0].head.as_ref().expect("a head");
        assert!(!head.owes_top_ups(), "{again}");
    }
}

#[test]
fn an_end_before_the_child_has_it_settles_all_that_it_was_lent() {
    let world = with(&[
        (0, Op::TopUp(30, false)),
        (1, Op::Lend(10, false)),
        (1, Op::Hold(15)),
        (1, Op::Pay),
        (1, Op::Spend(0)),
        (1, Op::Complete),
        (0, Op::Ends(false)),
        (0, Op::PayDebt(true)),
    ]);
    let [allotted, _, spent, _, lent] = world.numbers(0).expect("a root");
    assert_eq!((allotted - spent - lent, spent), (35, 15));
    assert!(!world.nodes[0].head.as_ref().expect("a head").owes_top_ups());
}

#[test]
fn a_parent_that_closes_in_between_has_spent_what_it_lent() {
    let world = with(&[
        (0, Op::TopUp(30, false)),
        (1, Op::Lend(10, false)),
        (0, Op::Cancel),
        (0, Op::PayDebt(false)),
        (1, Op::Lend(5, false)),
    ]);
    let [_, _, spent, _, lent] = world.numbers(0).expect("a root");
    assert_eq!((spent, lent, allotted(&world, 1)), (70, 0, 20));
}

/// A payer that wakes up after a child has forgotten that it was paid by somebody else.
#[test]
fn a_debt_that_is_paid_late_is_paid_once() {
    let mut ops = vec![(0, Op::TopUp(100, false))];
    for _ in 0..70 {
        ops.extend([(1, Op::Lend(1, false)), (0, Op::PayDebt(false)), (0, Op::TellPaid)]);
    }
    ops.push((0, Op::PayDebt(true)));
    assert_eq!(allotted(&with(&ops), 1), 90);
}

/// 64 are owed at most, and what is beyond them changes nothing.
#[test]
fn no_more_than_64_are_owed_at_a_time() {
    let mut ops = vec![(0, Op::TopUp(100, false))];
    ops.extend((0..70).map(|_| (1, Op::Lend(1, false))));
    let world = with(&ops);
    assert_eq!(world.numbers(0).expect("a root")[4], 60 + 64);
}
