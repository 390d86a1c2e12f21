//! A parent lends a child more. Its own record comes first: the larger share, and a `topped_up` that it owes the child from then
//! on. Then that of the child. Whoever dies between the two leaves the debt in the snapshot, and another pays it.

use crate::amounts::{Amount, Amounts, MOST_OWED, MOST_SHARES, OwedTopUp, Share, TopUp};
use crate::base::ids::IntentId;
use crate::intent::budget::refused::TopUpRefused;
use crate::intent::budget::requests;
use crate::intent::children::ChildSet;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::next;

/// A child that is lent more.
#[derive(Debug, Clone, Copy)]
pub struct Borrower<'a> {
    /// Its parent.
    pub parent: &'a IntentId,
    /// Its id.
    pub child: &'a IntentId,
    /// Its state, read a moment ago.
    pub snapshot: &'a Snapshot,
}

/// A `topped_up` that a parent owes a child.
#[derive(Debug, Clone, PartialEq)]
pub struct Debt {
    /// The child.
    pub child: IntentId,
    /// What it is owed.
    pub owed: OwedTopUp,
    /// All that it is lent, with what it is owed.
    pub share: Amounts,
}

impl ChildSet {
    /// The shares, with more for one child.
    fn raised(&self, index: u32, more: &Amounts) -> Result<Vec<Share>, TopUpRefused> {
        let mut runs: Vec<Share> = Vec::new();
        let mut push = |count: u32, amounts: &Amounts| match runs.last_mut() {
            _ if count == 0 => {}
            Some(run) if run.amounts == *amounts => run.count = run.count.saturating_add(count),
            Some(_) | None => runs.push(Share::new(count, amounts.clone())),
        };
        let mut first = 0_u32;
        for run in &self.shares {
            let end = first.saturating_add(run.count);
            if (first..end).contains(&index) {
                let mut raised = run.amounts.clone();
                raised.add(more);
                push(index - first, &run.amounts);
                push(1, &raised);
                push(end - index - 1, &run.amounts);
            } else {
                push(run.count, &run.amounts);
            }
            first = end;
        }
        match runs.len() > MOST_SHARES {
            true => Err(TopUpRefused::TooManyShares),
            false => Ok(runs),
        }
    }

    /// What it still owes. An older version records ends and leaves the debts as they are.
    fn debts(&self) -> impl Iterator<Item = &OwedTopUp> {
        let ended = match self.owed.is_empty() {
            true => Vec::new(),
            false => self.ended(),
        };
        let is_open = move |owed: &&OwedTopUp| ended.get(owed.index as usize) == Some(&false);
        self.owed.iter().filter(is_open)
    }
}

impl Borrower<'_> {
    /// What its parent remembers a request by.
    fn request(&self, id: &str) -> String {
        format!("{}\n{id}", self.child)
    }

    /// The place of its call among these, and its own in that.
    fn place(&self, sets: &[ChildSet]) -> Option<(usize, u32)> {
        sets.iter().enumerate().find_map(|(at, set)| {
            let call = IntentId::of_children(self.parent, set.hop, &set.name);
            let index = self.child.place_in(&call).filter(|index| *index < set.count)?;
            Some((at, index))
        })
    }
}

impl Snapshot {
    /// Lends a child more; `false` where this request is recorded.
    ///
    /// # Errors
    /// When it cannot have more, or there is not as much. Then nothing is changed.
    pub(crate) fn lend_more(&mut self, to: Borrower<'_>, top_up: &TopUp) -> Result<bool, TopUpRefused> {
        let parent = to.parent.clone();
        let Some((set, index)) = to
            .place(&self.children)
            .and_then(|(at, index)| Some((self.children.get(at)?, index)))
        else {
            return Err(match to.snapshot.status.is_terminal() {
                true => TopUpRefused::ChildEnded { parent },
                false => TopUpRefused::NotAwaited { parent },
            });
        };
        let request = to.request(&top_up.id);
        if requests::knows(set.topped.as_deref(), &request) {
            return Ok(false);
        }
        if to.snapshot.status.is_terminal() || set.ended().get(index as usize) != Some(&false) {
            return Err(TopUpRefused::ChildEnded { parent });
        }
        if set.detach {
            return Err(TopUpRefused::Detached { parent });
        }
        if !set.is_awaited(self) {
            return Err(TopUpRefused::NotAwaited { parent });
        }
        let is_own = to.snapshot.parent.as_ref() == Some(to.parent) && to.snapshot.budget.is_some();
        let Some(share) = set.share_of(index).filter(|_| is_own) else {
            return Err(TopUpRefused::NotLent { parent });
        };
        if top_up.amounts.are_zero() {
            return Err(TopUpRefused::Nothing);
        }
        for (meter, more) in top_up.amounts.iter() {
            let has = share.of(meter).ok_or(TopUpRefused::NotBounded(meter))?;
            has.checked_plus(more).ok_or(TopUpRefused::TooMuch(meter))?;
        }
        self.can_lend(&parent, &top_up.amounts)?;
        let owed: usize = self.children.iter().map(|set| set.debts().count()).sum();
        if owed >= MOST_OWED {
            return Err(TopUpRefused::TooManyOwed { parent });
        }
        let shares = set.raised(index, &top_up.amounts)?;
        let (hop, name) = (set.hop, set.name.clone());
        let mut sets = self.children.iter_mut();
        if let Some(set) = sets.find(|set| set.hop == hop && set.name == name) {
            set.shares = shares;
            set.owed
                .push(OwedTopUp::new(index, top_up.id.clone(), top_up.amounts.clone()));
            requests::remember(&mut set.topped, &request);
        }
        if let Some(budget) = &mut self.budget {
            for (meter, more) in top_up.amounts.iter() {
                budget.change(meter, |numbers| {
                    numbers.lent = numbers.lent.plus(faults::lent(more, numbers.available()));
                });
            }
        }
        Ok(true)
    }

    /// Whether it has as much left, without what it keeps. What does not bound it lends without end.
    fn can_lend(&self, parent: &IntentId, more: &Amounts) -> Result<(), TopUpRefused> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let available = budget.available();
        let (mut wanted, mut left) = (Amounts::NONE, Amounts::NONE);
        for (meter, more) in more.iter() {
            let Some(available) = available.of(meter) else { continue };
            let available = available.less(budget.kept(meter));
            if more > available && !faults::lends_all() {
                wanted.set(meter, more);
                left.set(meter, available);
            }
        }
        match wanted == Amounts::NONE {
            true => Ok(()),
            false => Err(TopUpRefused::ParentShort {
                parent: parent.clone(),
                wanted: Box::new(wanted),
                left: Box::new(left),
            }),
        }
    }

    /// Whether it owes top-ups to children that it has lent more.
    pub fn owes_top_ups(&self) -> bool {
        let owes = self.children.iter().any(|set| set.debts().next().is_some());
        owes && next(Some(&self.status), &Event::ToppedUp).is_ok()
    }

    /// The top-ups that it owes its children, in the order of each of them. `of` is its own id.
    pub fn debts(&self, of: &IntentId) -> Vec<Debt> {
        if !self.owes_top_ups() {
            return Vec::new();
        }
        let of_set = |set: &ChildSet| {
            let debt = |owed: &OwedTopUp| Debt {
                child: IntentId::of_child(of, set.hop, &set.name, owed.index),
                owed: owed.clone(),
                share: set.share_of(owed.index).cloned().unwrap_or_default(),
            };
            set.debts().map(debt).collect::<Vec<_>>()
        };
        self.children.iter().flat_map(of_set).collect()
    }

    /// Owes no more what is paid. `false` where it owes none of it.
    pub(crate) fn forget_paid(&mut self, of: &IntentId, paid: &[Debt]) -> bool {
        let mut has_changed = false;
        for set in self.children.iter_mut().filter(|set| !set.owed.is_empty()) {
            let (hop, name, before) = (set.hop, set.name.clone(), set.owed.len());
            let is_paid = |owed: &OwedTopUp| {
                let child = IntentId::of_child(of, hop, &name, owed.index);
                paid.iter().any(|debt| debt.child == child && debt.owed.id == owed.id)
            };
            set.owed.retain(|owed| !is_paid(owed));
            has_changed |= set.owed.len() < before;
        }
        has_changed
    }
}

/// Faults of test builds.
mod faults {
    use super::Amount;
    use crate::base::mutants::Mutant;

    /// B5: whether more is lent than there is.
    pub(super) fn lends_all() -> bool {
        Mutant::B5OwnAllowance.is_on()
    }

    /// B5: what counts as lent; the fault counts what there is.
    pub(super) fn lent(more: Amount, available: Amount) -> Amount {
        match Mutant::B5OwnAllowance.is_on() {
            true => more.min(available),
            false => more,
        }
    }
}
