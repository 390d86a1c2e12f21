//! What a parent lends its children: each gets a share when it is asked, and what it leaves comes back with its end.
//!
//! The snapshot says what each child of a call has, in runs of equal shares, and whose ends are recorded. So the head alone tells
//! what is lent, and an end that is recorded twice settles once.

use crate::amounts::{Amount, Amounts, MeterName, Share};
use crate::base::ids::IntentId;
use crate::base::mutants::Mutant;
use crate::intent::budget::refused::BudgetRefused;
use crate::intent::children::{Child, ChildEnd, ChildSet, Children, opened_calls};
use crate::intent::snapshot::Snapshot;
use crate::intent::waits::WaitSpec;
use crate::message::parts::Budget;

impl ChildSet {
    /// What a child has been lent; `None` where it is bound by nothing.
    pub fn share_of(&self, index: u32) -> Option<&Amounts> {
        let mut first = 0_u32;
        for share in &self.shares {
            first = first.saturating_add(share.count);
            if index < first {
                return Some(&share.amounts);
            }
        }
        None
    }

    /// What the children have whose ends are not recorded.
    pub fn lent(&self) -> Amounts {
        let mut lent = Amounts::NONE;
        let mut ended = self.ended().into_iter();
        for share in &self.shares {
            let of_run = ended.by_ref().take(share.count as usize);
            let open = u32::try_from(of_run.filter(|ended| !ended).count()).unwrap_or(u32::MAX);
            for (meter, amount) in share.amounts.iter() {
                lent.set(meter, lent.get(meter).plus(amount.times(open)));
            }
        }
        lent
    }
}

impl ChildEnd {
    /// Says what the child has spent of its share, by its last record. What nobody can say counts as spent: of a child whose last
    /// record cannot be read, or that a version without budgets has run. One that never began has spent nothing.
    pub fn account(&mut self, set: &ChildSet, parent: &IntentId, last: Option<&Snapshot>) {
        let Some(share) = set.share_of(self.index) else { return };
        let (spent, overrun) = match last {
            None => (share.clone(), Amounts::NONE),
            // Other work under its id.
            Some(last) if last.parent.as_ref() != Some(parent) => (Amounts::NONE, Amounts::NONE),
            Some(Snapshot { budget: Some(last), .. }) => (last.spent(), last.overrun()),
            Some(last) if last.attempt == 0 => (Amounts::NONE, Amounts::NONE),
            Some(_) => (share.clone(), Amounts::NONE),
        };
        self.spent = spent.unless_zero().map(Box::new);
        self.overrun = overrun.unless_zero().map(Box::new);
    }
}

impl Children {
    /// How many runs of equal shares the children name.
    pub(crate) fn runs(&self) -> usize {
        let mut runs = 0;
        let mut last: Option<Option<&Amounts>> = None;
        for child in &self.children {
            let named = child.budget.as_deref();
            if last != Some(named) {
                runs += 1;
                last = Some(named);
            }
        }
        runs
    }
}

impl Snapshot {
    /// What children have whose ends are not recorded.
    pub(crate) fn lent_to_children(&self) -> Amounts {
        let mut lent = Amounts::NONE;
        for set in &self.children {
            lent.add(&set.lent());
        }
        lent
    }

    /// The budget of a child of a call that the record of this snapshot has opened. What the parent has to account for and did
    /// not lend, a child has nothing of: its call was written by a version that knows no budgets.
    pub fn child_budget(&self, name: &str, index: u32) -> Option<Budget> {
        let set = self.children.iter().find(|set| set.hop == self.hop && set.name == name);
        let share = set.and_then(|set| set.share_of(index)).cloned().unwrap_or_default();
        let mut allotted = Amounts::NONE;
        for (meter, _) in self
            .budget
            .iter()
            .flat_map(|budget| budget.allotted().iter().collect::<Vec<_>>())
        {
            allotted.set(meter, Amount::ZERO);
        }
        for (meter, amount) in share.iter() {
            allotted.set(meter, amount);
        }
        let of_parent = self.budget.as_deref();
        let budget = Budget {
            on_exhausted: of_parent.map(|budget| budget.on_exhausted.clone()).unwrap_or_default(),
            ..Budget::of(&allotted)
        };
        budget.is_bounded().then_some(budget)
    }

    /// Takes back what children were lent whose ends are new, and counts what they spent.
    pub(crate) fn settle(&mut self, set: &ChildSet, ends: &[ChildEnd]) {
        let Some(budget) = &mut self.budget else { return };
        let none = Amounts::NONE;
        for end in ends {
            let Some(share) = set.share_of(end.index) else { continue };
            let spent = end.spent.as_deref().unwrap_or(&none);
            let overrun = end.overrun.as_deref().unwrap_or(&none);
            budget.settle(share, spent, overrun);
        }
    }
}

/// Lends the children of new calls what they name; those that name nothing share what is left evenly, without what is kept.
///
/// # Errors
/// When that is more than there is. Then nothing is changed.
pub(crate) fn lend(snapshot: &mut Snapshot, waits: &[WaitSpec]) -> Result<(), Box<BudgetRefused>> {
    let calls: Vec<(&str, &Children)> = opened_calls(waits).collect();
    let all = || calls.iter().flat_map(|(_, call)| &call.children);
    if calls.is_empty() || snapshot.budget.is_none() && all().all(|child| child.budget.is_none()) {
        return Ok(());
    }
    let mut even = Amounts::NONE;
    let mut sums = Amounts::NONE;
    if let Some(budget) = &snapshot.budget {
        let available = budget.available();
        let mut need = Amounts::NONE;
        for (meter, available) in available.iter() {
            let named = all().filter_map(|child| child.budget.as_ref()?.of(meter));
            let named = named.fold(Amount::ZERO, Amount::plus);
            let keep = budget.kept(meter);
            let left = available.less(keep).less(named);
            if !named.is_zero() {
                need.set(meter, named.plus(keep));
            }
            let unnamed = all().filter(|child| child.budget.as_ref().is_none_or(|budget| budget.of(meter).is_none()));
            let unnamed = u32::try_from(unnamed.count()).unwrap_or(u32::MAX);
            if unnamed > 0 {
                let each = faults::each(meter, left, unnamed);
                even.set(meter, each);
            }
            let lent = named.plus(even.get(meter).times(unnamed));
            sums.set(meter, faults::sum(lent, available));
        }
        let fits = |(meter, need)| available.of(meter).is_none_or(|available| need <= available);
        if !need.iter().all(fits) {
            let names: Vec<String> = calls.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            return Err(budget.refused(&format!("the call {}", names.join(", ")), need));
        }
    }
    if let Some(budget) = &mut snapshot.budget {
        for (meter, sum) in sums.iter() {
            budget.change(meter, |numbers| numbers.lent = numbers.lent.plus(sum));
        }
    }
    for (name, call) in calls {
        let hop = snapshot.hop;
        let set = snapshot
            .children
            .iter_mut()
            .find(|set| set.hop == hop && set.name == name);
        if let Some(set) = set {
            set.shares = runs_of(&call.children, &even);
        }
    }
    Ok(())
}

fn runs_of(children: &[Child], even: &Amounts) -> Vec<Share> {
    let mut runs: Vec<Share> = Vec::new();
    for child in children {
        let mut amounts = even.clone();
        for (meter, named) in child.budget.iter().flat_map(|budget| budget.iter()) {
            amounts.set(meter, named);
        }
        match runs.last_mut().filter(|run| run.amounts == amounts) {
            Some(run) => run.count = run.count.saturating_add(1),
            None => runs.push(Share::new(1, amounts)),
        }
    }
    let is_bounded = runs.iter().any(|run| run.amounts != Amounts::NONE);
    if is_bounded { runs } else { Vec::new() }
}

/// Faults of test builds.
mod faults {
    use super::{Amount, MeterName, Mutant};

    /// B5: what each child gets that names nothing; the fault gives each of them all that is left.
    pub(super) fn each(meter: MeterName, left: Amount, count: u32) -> Amount {
        if Mutant::B5OwnAllowance.is_on() {
            return left;
        }
        match meter {
            MeterName::Tokens => left.divided_by(count).rounded_down(),
            MeterName::Cost => left.divided_by(count),
            // The attempt that asks runs a moment longer, and another one goes on.
            MeterName::Time => left.divided_by(count.saturating_add(1)),
        }
    }

    /// B5: what all of them get; the fault counts it once.
    pub(super) fn sum(lent: Amount, available: Amount) -> Amount {
        match Mutant::B5OwnAllowance.is_on() {
            true => lent.min(available),
            false => lent,
        }
    }
}
