//! What holds after every record of a walk.

use baton_envelope::budget::MeterName;

use super::super::one::number;
use super::{ALLOTTED, World};

impl World {
    /// The share of a child that its parent still lends it.
    pub(super) fn loan(&self, at: usize) -> Option<i128> {
        let (parent, name, index, _) = self.nodes[at].of.as_ref()?;
        let parent = self.nodes[*parent]
            .head
            .as_ref()
            .filter(|parent| !parent.status.is_terminal())?;
        let set = parent.children.iter().find(|set| set.name == *name)?;
        let is_open = !set.ended()[*index as usize];
        let share = set.share_of(*index)?.get(MeterName::Tokens);
        is_open.then(|| number(share))
    }

    pub(super) fn is_recorded(&self, at: usize) -> bool {
        let Some((parent, name, index, _)) = &self.nodes[at].of else {
            return false;
        };
        let parent = self.nodes[*parent].head.as_ref();
        let set = parent.and_then(|parent| parent.children.iter().find(|set| set.name == *name));
        // A set whose ends are all recorded is gone.
        match set {
            Some(set) => set.ended()[*index as usize],
            None => parent.is_some_and(|parent| !parent.status.is_terminal()),
        }
    }

    pub(super) fn children(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let is_child = move |child: &usize| self.nodes[*child].of.as_ref().is_some_and(|(parent, ..)| *parent == at);
        (0..self.nodes.len()).filter(is_child)
    }

    pub(super) fn numbers(&self, at: usize) -> Option<[i128; 5]> {
        let budget = self.nodes[at].head.as_ref()?.budget.as_deref()?;
        let all = [
            budget.allotted(),
            budget.overrun(),
            budget.spent(),
            budget.held(),
            budget.lent(),
        ];
        Some(all.map(|amounts| number(amounts.get(MeterName::Tokens))))
    }

    /// Both sides of the equation, for an intent and its open loans: what came in, and where it is.
    fn sides(&self, at: usize) -> (i128, i128) {
        let Some([allotted, overrun, spent, held, lent]) = self.numbers(at) else {
            return (0, 0);
        };
        let available = allotted + overrun - spent - held - lent;
        let (mut came, mut is) = (allotted + overrun, spent + held + available);
        for child in self.children(at) {
            let Some(loan) = self.loan(child) else { continue };
            match self.numbers(child) {
                Some([allotted, ..]) => {
                    assert!(allotted <= loan, "B5: a child has no more than it is lent");
                    let (child_came, child_is) = self.sides(child);
                    came += child_came - allotted;
                    // What it is lent and has not got yet.
                    is += child_is + loan - allotted;
                }
                None => is += loan,
            }
        }
        (came, is)
    }

    /// What is spent or held of an intent, with what open loans account for, and overruns that nobody settles any more.
    fn accounted(&self, at: usize) -> i128 {
        let [_, _, spent, held, _] = self.numbers(at).unwrap_or_default();
        let of_children = self
            .children(at)
            .map(|child| match (self.loan(child), self.is_recorded(child)) {
                (Some(_), _) => self.accounted(child),
                (None, true) => self.unsettled(child),
                (None, false) => self.overruns(child),
            });
        spent + held + of_children.sum::<i128>()
    }

    fn overruns(&self, at: usize) -> i128 {
        let [_, overrun, ..] = self.numbers(at).unwrap_or_default();
        overrun + self.unsettled(at)
    }

    fn unsettled(&self, at: usize) -> i128 {
        let of_children = self.children(at).filter(|child| !self.is_recorded(*child));
        of_children.map(|child| self.overruns(child)).sum()
    }

    pub(super) fn check(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            let (Some(head), Some([allotted, overrun, spent, held, lent])) = (&node.head, self.numbers(at)) else {
                continue;
            };
            assert!(
                allotted + overrun >= spent + held + lent,
                "B2: {at} has less than nothing: {:?}",
                head.budget
            );
            let loans: i128 = head
                .children
                .iter()
                .map(|set| number(set.lent().get(MeterName::Tokens)))
                .sum();
            let is_open = !head.status.is_terminal();
            assert_eq!(
                lent,
                if is_open { loans } else { 0 },
                "B3: {at} has lent {:?}",
                head.budget
            );
            let epoch = head.budget.as_ref().and_then(|budget| budget.epoch);
            let is_held = head.status.is_workable() && epoch == Some(head.epoch);
            assert!(held == 0 || is_held, "B4: {at} holds for nobody: {:?}", head.budget);
        }
        self.check_debts();
        let (came, is) = self.sides(0);
        assert_eq!(came, is, "B1");
        let [allotted, ..] = self.numbers(0).expect("a root");
        assert_eq!(allotted, i128::from(ALLOTTED + self.topped), "B1: what was added");
        let (paid, accounted) = (i128::from(self.paid), self.accounted(0));
        assert!(paid <= accounted, "B4: {paid} paid, {accounted} accounted for");
        let most = i128::from(ALLOTTED + self.topped + self.over);
        assert!(paid <= most, "B5: {paid} paid of {most}");
    }
}
