//! The numbers of a budget, and how each thing that happens changes them.
//!
//! Of each meter that is bounded: `available = allotted + overrun - spent - held - lent`, and never less than nothing. A meter
//! that is absent bounds nothing, and nothing is counted of it.

use crate::amounts::{Amount, Amounts, BUDGETS_SINCE, BadAmount, MeterName, OnExhaustedBudget, Spend, TopUp};
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::intent::budget::refused::{BudgetRefused, TopUpRefused};
use crate::intent::budget::requests;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::message::envelope::Envelope;
use crate::message::parts::{Budget, Meter};
use crate::message::text::BadText;

/// The numbers of one meter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) allotted: Amount,
    pub(super) spent: Amount,
    pub(super) held: Amount,
    pub(super) lent: Amount,
    pub(super) overrun: Amount,
}

impl Numbers {
    pub(super) fn available(&self) -> Amount {
        let all = self.allotted.plus(self.overrun);
        all.less(self.spent).less(self.held).less(self.lent)
    }

    /// Takes from what is available; what is not there is an overrun.
    fn take(&mut self, amount: Amount) {
        self.overrun = self.overrun.plus(amount.less(self.available()));
        self.spent = self.spent.plus(amount);
    }
}

impl Meter {
    /// The numbers of a meter that bounds something: whose allotment is an amount.
    pub(super) fn numbers(&self) -> Option<Numbers> {
        let read = |field: &Option<Json>| field.as_ref().and_then(|json| Amount::of_json(json).ok());
        Some(Numbers {
            allotted: read(&self.allotted)?,
            spent: read(&self.spent).unwrap_or_default(),
            held: read(&self.held).unwrap_or_default(),
            lent: read(&self.lent).unwrap_or_default(),
            overrun: read(&self.overrun).unwrap_or_default(),
        })
    }

    fn write(&mut self, numbers: Numbers) {
        let unless_zero = |amount: Amount| (!amount.is_zero()).then(|| amount.to_json());
        self.allotted = Some(numbers.allotted.to_json());
        self.spent = unless_zero(numbers.spent);
        self.held = unless_zero(numbers.held);
        self.lent = unless_zero(numbers.lent);
        self.overrun = unless_zero(numbers.overrun);
    }
}

impl Budget {
    /// A budget of these amounts.
    pub fn of(allotted: &Amounts) -> Self {
        let mut budget = Self {
            counted: true,
            ..Self::default()
        };
        for (meter, allotted) in allotted.iter() {
            let numbers = Numbers {
                allotted,
                ..Numbers::default()
            };
            budget.field_mut(meter).get_or_insert_default().write(numbers);
        }
        budget
    }

    fn field(&self, meter: MeterName) -> &Option<Meter> {
        match meter {
            MeterName::Tokens => &self.tokens,
            MeterName::Cost => &self.cost,
            MeterName::Time => &self.time,
        }
    }

    fn field_mut(&mut self, meter: MeterName) -> &mut Option<Meter> {
        match meter {
            MeterName::Tokens => &mut self.tokens,
            MeterName::Cost => &mut self.cost,
            MeterName::Time => &mut self.time,
        }
    }

    pub(super) fn numbers(&self, meter: MeterName) -> Option<Numbers> {
        self.field(meter).as_ref()?.numbers()
    }

    pub(super) fn change(&mut self, meter: MeterName, change: impl FnOnce(&mut Numbers)) {
        if let Some(meter) = self.field_mut(meter)
            && let Some(before) = meter.numbers()
        {
            let mut numbers = before;
            change(&mut numbers);
            meter.write(numbers);
            self.overran |= numbers.overrun > before.overrun;
        }
    }

    fn all(&self, amount: impl Fn(Numbers) -> Amount) -> Amounts {
        let mut all = Amounts::NONE;
        for meter in MeterName::ALL {
            if let Some(numbers) = self.numbers(meter) {
                all.set(meter, amount(numbers));
            }
        }
        all
    }

    /// What was allotted of each meter that is bounded.
    pub fn allotted(&self) -> Amounts {
        self.all(|numbers| numbers.allotted)
    }

    /// What is spent.
    pub fn spent(&self) -> Amounts {
        self.all(|numbers| numbers.spent)
    }

    /// What is reserved.
    pub fn held(&self) -> Amounts {
        self.all(|numbers| numbers.held)
    }

    /// What children have.
    pub fn lent(&self) -> Amounts {
        self.all(|numbers| numbers.lent)
    }

    /// What was spent beyond what was held or lent for it.
    pub fn overrun(&self) -> Amounts {
        self.all(|numbers| numbers.overrun)
    }

    /// What may still be held or lent.
    pub fn available(&self) -> Amounts {
        self.all(|numbers| numbers.available())
    }

    /// Whether any meter is bounded: else nothing is counted.
    pub fn is_bounded(&self) -> bool {
        MeterName::ALL.into_iter().any(|meter| self.numbers(meter).is_some())
    }

    /// How many tokens are not lent.
    pub(super) fn kept(&self, meter: MeterName) -> Amount {
        match (meter, &self.keep) {
            (MeterName::Tokens, Some(keep)) => Amount::of_json(keep).unwrap_or_default(),
            (_, _) => Amount::ZERO,
        }
    }

    /// Without what only a snapshot has, but for the numbers of its meters.
    fn without_state(&self) -> Self {
        Self {
            epoch: None,
            need: None,
            overran: false,
            topped: None,
            ..self.clone()
        }
    }

    /// What the snapshot of `submitted` has of the budget that an envelope states; `None` where that is not counted.
    pub(crate) fn opened(&self) -> Option<Box<Self>> {
        if !self.counted {
            return None;
        }
        let mut budget = self.without_state();
        for meter in MeterName::ALL {
            let Some(numbers) = self.numbers(meter) else {
                *budget.field_mut(meter) = None;
                continue;
            };
            let missing = numbers.spent.less(numbers.allotted.plus(numbers.overrun));
            budget.change(meter, |now| {
                now.held = Amount::ZERO;
                now.lent = Amount::ZERO;
                now.overrun = now.overrun.plus(missing);
            });
        }
        budget.is_bounded().then(|| Box::new(budget))
    }

    /// What an envelope shows of it.
    pub(crate) fn shown(&self) -> Self {
        let mut shown = self.without_state();
        for meter in MeterName::ALL {
            shown.change(meter, |numbers| {
                numbers.held = Amount::ZERO;
                numbers.lent = Amount::ZERO;
            });
        }
        shown
    }

    /// Whether a hold of these amounts fits.
    ///
    /// # Errors
    /// What is needed and what there is.
    pub fn may_hold(&self, what: &str, amounts: &Amounts) -> Result<(), Box<BudgetRefused>> {
        let is_over = self.overran || !amounts.fit(&self.available());
        match is_over && !Mutant::B2HoldsBeyond.is_on() {
            true => Err(self.refused(what, amounts.clone())),
            false => Ok(()),
        }
    }

    pub(super) fn refused(&self, what: &str, need: Amounts) -> Box<BudgetRefused> {
        let overrun = self.overrun();
        let overrun = overrun.iter().filter(|(_, amount)| self.overran && !amount.is_zero());
        Box::new(BudgetRefused {
            what: what.to_owned(),
            need,
            available: self.available(),
            overrun: overrun.collect(),
        })
    }

    /// Reserves for the holder of an epoch.
    ///
    /// # Errors
    /// As [`Budget::may_hold`]; then nothing is changed.
    pub(crate) fn hold(&mut self, what: &str, amounts: &Amounts, epoch: u64) -> Result<(), Box<BudgetRefused>> {
        self.may_hold(what, amounts)?;
        for (meter, amount) in amounts.iter() {
            self.change(meter, |numbers| numbers.held = numbers.held.plus(amount));
        }
        self.epoch = Some(epoch);
        Ok(())
    }

    /// Counts what was spent. What is more than was held for it is an overrun; so is, where nothing was held, what is not
    /// available.
    pub(crate) fn spend(&mut self, spend: &Spend) {
        for (meter, amount) in spend.amounts.iter() {
            let held = spend.held.as_ref().and_then(|held| held.of(meter));
            self.change(meter, |numbers| match held {
                Some(held) => {
                    numbers.held = numbers.held.less(held);
                    numbers.spent = numbers.spent.plus(amount);
                    numbers.overrun = numbers.overrun.plus(amount.less(held));
                }
                None => numbers.take(amount),
            });
        }
        // What was held of a meter that the spend does not name is all spent.
        let unnamed = spend.held.iter().flat_map(|held| held.iter());
        for (meter, held) in unnamed.filter(|(meter, _)| spend.amounts.of(*meter).is_none()) {
            self.change(meter, |numbers| {
                numbers.held = numbers.held.less(held);
                numbers.spent = numbers.spent.plus(held);
            });
        }
    }

    /// Counts how long an attempt ran.
    pub(crate) fn run_for(&mut self, took_ms: u64) {
        self.change(MeterName::Time, |numbers| numbers.take(Amount::of_millis(took_ms)));
    }

    /// What is held counts as spent: its holder may have called, and nobody will say. Returns what that is.
    fn assume(&mut self) -> Option<Amounts> {
        let held = self.held();
        for (meter, amount) in held.iter() {
            self.change(meter, |numbers| {
                numbers.held = Amount::ZERO;
                if !Mutant::B4HoldForgotten.is_on() {
                    numbers.spent = numbers.spent.plus(amount);
                }
            });
        }
        self.epoch = None;
        held.unless_zero()
    }

    /// Takes back what a child had, and counts what it spent.
    pub(super) fn settle(&mut self, share: &Amounts, spent: &Amounts, overrun: &Amounts) {
        for (meter, lent) in share.iter() {
            let (spent, overrun) = (spent.get(meter), overrun.get(meter));
            let overrun = match Mutant::B1OverrunLost.is_on() {
                true => Amount::ZERO,
                false => overrun.plus(spent.less(lent.plus(overrun))),
            };
            self.change(meter, |numbers| {
                numbers.lent = numbers.lent.less(lent);
                numbers.spent = numbers.spent.plus(spent);
                numbers.overrun = numbers.overrun.plus(overrun);
            });
        }
    }

    /// What nobody can settle any more counts as spent: `lent` is what children still have that the snapshot tells of.
    fn close_loans(&mut self, lent: &Amounts) {
        for meter in MeterName::ALL {
            self.change(meter, |numbers| {
                let lost = numbers.lent.less(lent.get(meter));
                numbers.lent = numbers.lent.less(lost);
                numbers.spent = numbers.spent.plus(lost);
            });
        }
    }

    /// Whether a top-up is known.
    pub(crate) fn is_topped(&self, id: &str) -> bool {
        requests::knows(self.topped.as_deref(), id)
    }

    /// Allots more. From then on holds fit again, if more was spent than had been held.
    ///
    /// # Errors
    /// When there is nothing to add, or a meter that does not bound anything. Then nothing is changed.
    pub(crate) fn top_up(&mut self, top_up: &TopUp) -> Result<(), TopUpRefused> {
        if top_up.amounts.are_zero() {
            return Err(TopUpRefused::Nothing);
        }
        for (meter, amount) in top_up.amounts.iter() {
            let numbers = self.numbers(meter).ok_or(TopUpRefused::NotBounded(meter))?;
            let sum = numbers.allotted.checked_plus(amount);
            sum.ok_or(TopUpRefused::TooMuch(meter))?;
        }
        for (meter, amount) in top_up.amounts.iter() {
            self.change(meter, |numbers| numbers.allotted = numbers.allotted.plus(amount));
        }
        self.overran = false;
        requests::remember(&mut self.topped, &top_up.id);
        Ok(())
    }
}

impl Envelope {
    /// Has the ledger count the budget of new work, where whoever wrote the envelope knew that it would.
    #[must_use]
    pub fn with_counted_budget(mut self) -> Self {
        let is_known = self.protocol >= BUDGETS_SINCE;
        if let Some(budget) = self.budget.as_mut().filter(|budget| budget.is_bounded()) {
            budget.counted = is_known;
        }
        self
    }

    /// Whether its budget, if it has one, can be kept. One that was written before protocol 1.7 bound nobody: what cannot be
    /// read there is carried as it is.
    ///
    /// # Errors
    /// Names the field, its value and the fix.
    pub fn check_budget(&self) -> Result<(), BadText> {
        let Some(budget) = self.budget.as_ref().filter(|_| self.protocol >= BUDGETS_SINCE) else {
            return Ok(());
        };
        let bad = |value: String, problem: String, fix: &str| {
            Err(BadText {
                field: "budget",
                value,
                problem,
                fix: fix.to_owned(),
            })
        };
        let amount = |field: &'static str, json: &Option<Json>| match json.as_ref().map(Amount::of_json) {
            Some(Err(BadAmount { value, problem })) => {
                let fix = "give digits such as 1200 or 0.02, at most 18 before the point and 9 behind it";
                bad(value, format!("is no amount for `{field}`: {problem}"), fix).map(|()| None)
            }
            Some(Ok(amount)) => Ok(Some(amount)),
            None => Ok(None),
        };
        amount("keep", &budget.keep)?;
        if let OnExhaustedBudget::Unknown(name) = &budget.on_exhausted {
            let problem = "is neither park nor fail, in `on_exhausted`".to_owned();
            return bad(name.clone(), problem, "give park or fail, or leave it out");
        }
        for name in MeterName::ALL {
            let Some(meter) = budget.field(name) else { continue };
            let allotted = amount("allotted", &meter.allotted)?;
            let spent = amount("spent", &meter.spent)?.unwrap_or_default();
            let overrun = amount("overrun", &meter.overrun)?.unwrap_or_default();
            let Some(allotted) = allotted else {
                let problem = format!("is no allotment, in `allotted` of `{}`", name.name());
                return bad(String::new(), problem, "give `allotted`, or leave the meter out");
            };
            if spent > allotted.plus(overrun) {
                let problem = format!("is spent of `{}`, and {allotted} was allotted", name.name());
                return bad(spent.to_string(), problem, "allot at least what is spent");
            }
        }
        Ok(())
    }
}

impl Snapshot {
    /// Brings the budget into line with everything else of the state, before a record is written: what is held counts as spent
    /// once nobody holds the hop in that epoch, and what is lent once no child of it is waited for. Returns what was assumed.
    pub(crate) fn account(&mut self) -> Option<Box<Amounts>> {
        self.budget.as_ref()?;
        let is_held = self.status.is_workable() && self.budget.as_ref()?.epoch == Some(self.epoch);
        let lent = match self.status.is_terminal() {
            true => Amounts::NONE,
            false => self.lent_to_children(),
        };
        let is_parked_for_it = self.is_parked_for_budget();
        let budget = self.budget.as_mut()?;
        let assumed = (!is_held).then(|| budget.assume()).flatten();
        budget.close_loans(&lent);
        if !is_parked_for_it {
            budget.need = None;
        }
        assumed.map(Box::new)
    }

    fn is_parked_for_budget(&self) -> bool {
        matches!(&self.status, Status::Parked { code } if code == crate::base::codes::BUDGET)
    }

    /// Whether it is parked for want of budget, and there is as much as it needs.
    pub fn owes_redrive(&self) -> bool {
        let budget = self.budget.as_ref().filter(|_| self.is_parked_for_budget());
        budget.is_some_and(|budget| {
            let need = budget.need.as_deref();
            need.is_some_and(|need| budget.may_hold("", need).is_ok())
        })
    }
}
