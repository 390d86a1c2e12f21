//! Spending of the budget of an intent: a step that reserves before it calls, and accounts for what the call took.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use baton_envelope::budget::{self, Amount, MeterName, Spend};
use baton_envelope::{Budget, Json, StepEntry, codes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::hop::{Hop, Journal, lost};

/// How much of each meter: what a call may take at most, or what it took.
///
/// ```
/// # use baton_agent::Amounts;
/// let most = Amounts::tokens(1_200).cost("0.02");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Amounts {
    amounts: budget::Amounts,
    /// A text that is no amount, if one was given.
    bad: Option<String>,
}

/// What a call may take: pass its amounts to the model as the limit of its output.
#[derive(Debug, Clone)]
pub struct Permit {
    held: budget::Amounts,
    spent: Arc<Mutex<Option<Amounts>>>,
}

impl Amounts {
    /// Tokens of a language model.
    pub fn tokens(tokens: u64) -> Self {
        Self::default().and(MeterName::Tokens, Amount::whole(tokens))
    }

    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And this cost, as a decimal such as `0.02`. One that is none is refused before the call.
    #[must_use]
    pub fn cost(mut self, cost: &str) -> Self {
        match cost.parse() {
            Ok(cost) => self.and(MeterName::Cost, cost),
            Err(error) => {
                self.bad = Some(format!("the cost: {error}"));
                self
            }
        }
    }

    /// And so many seconds.
    #[must_use]
    pub fn seconds(self, seconds: u64) -> Self {
        self.and(MeterName::Time, Amount::whole(seconds))
    }

    pub(crate) fn and(mut self, meter: MeterName, amount: Amount) -> Self {
        self.amounts.set(meter, amount);
        self
    }

    /// The amounts; nothing where what was given is none.
    pub(crate) fn or_nothing(self) -> budget::Amounts {
        match self.bad {
            Some(_) => self.amounts.with(MeterName::Cost, Amount::ZERO),
            None => self.amounts,
        }
    }

    /// The amounts, where all that was given is one.
    pub(crate) fn read(self) -> Result<budget::Amounts, Fault> {
        match self.bad {
            Some(bad) => Err(Fault::terminal(codes::BAD_AMOUNT, bad)),
            None => Ok(self.amounts),
        }
    }
}

impl Permit {
    /// How many tokens the call may take, where that is bounded.
    pub fn tokens(&self) -> Option<Amount> {
        self.held.tokens
    }

    /// What the call may cost, where that is bounded.
    pub fn cost(&self) -> Option<Amount> {
        self.held.cost
    }

    /// Says what the call took. Without this all that was reserved counts as spent; so does the whole of each meter that it does
    /// not name. What is more than was reserved is an overrun: nothing more is reserved then, until somebody tops up the budget.
    pub fn spent(&self, amounts: Amounts) {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = Some(amounts);
    }

    fn told(&self) -> Option<Amounts> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Hop {
    /// Runs an effect once that spends of the budget of the intent: as [`Hop::step`], but what it may take at most is reserved
    /// before it is called, by a record of the ledger, and what it took stands in the record of its result.
    ///
    /// Where the budget does not suffice nothing is called: the fault says so ([`Fault::budget_refused`]), and passed on with `?`
    /// it parks the intent until somebody tops it up, or lets it fail, as the budget says. A crash between the call and the record
    /// counts all that was reserved as spent. An intent without a budget spends without a bound, and no record more is written.
    ///
    /// # Errors
    /// The effect's own error, whose reservation counts as spent; that the budget does not suffice; and as [`Hop::step`].
    pub async fn spend<T, E, F, Fut>(&mut self, name: &str, most: Amounts, effect: F) -> Result<T, Fault>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Fault>,
        F: FnOnce(Permit) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let held = most.read()?;
        let permit = Permit {
            held: held.clone(),
            spent: Arc::default(),
        };
        let is_bounded = match &self.journal {
            Journal::Ledger(claim) => claim.lock().await.has_budget(),
            Journal::Sandbox(_) => false,
        };
        if !is_bounded || self.steps.contains_key(name) {
            return self.step(name, || effect(permit)).await;
        }
        self.may_record(name)?;
        let Journal::Ledger(claim) = &self.journal else {
            return Err(Fault::fenced());
        };
        let claim = Arc::clone(claim);
        let reserved = claim.lock().await.hold(name, &held).await.map_err(lost)?;
        reserved.map_err(Fault::exhausted)?;
        let value = effect(permit.clone()).await.map_err(Into::into)?;
        let result = Json::of(&value)
            .map_err(|error| Fault::terminal(codes::NOT_JSON, format!("the result of step \"{name}\": {error}")))?;
        let took = match permit.told() {
            Some(told) => told.read()?,
            None => held.clone(),
        };
        let entry = StepEntry::new(name, result.clone());
        let spend = Spend::of_step(name, held, took);
        claim.lock().await.spend(&entry, &spend).await.map_err(lost)?;
        self.steps.insert(name.to_owned(), result);
        Ok(value)
    }

    /// Counts what was spent without having been reserved, after the fact: what is more than there was is an overrun. An intent
    /// without a budget counts nothing.
    ///
    /// # Errors
    /// When another holder has taken the hop, or the ledger cannot be written.
    pub async fn has_spent(&mut self, amounts: Amounts) -> Result<(), Fault> {
        let amounts = amounts.read()?;
        let Journal::Ledger(claim) = &self.journal else {
            return Ok(());
        };
        if !claim.lock().await.has_budget() {
            return Ok(());
        }
        self.visible().await?;
        let mut claim = claim.lock().await;
        claim.has_spent(&Spend::of(amounts)).await.map_err(lost)
    }

    /// What the intent may spend and what it has spent; `None` where nothing bounds it, and in a replay.
    pub async fn budget(&self) -> Option<Budget> {
        match &self.journal {
            Journal::Ledger(claim) => claim.lock().await.snapshot.budget.as_deref().cloned(),
            Journal::Sandbox(_) => None,
        }
    }
}
