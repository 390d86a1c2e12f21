//! Spending of the budget of an intent: a step that reserves before it calls, and accounts for what the call took.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use baton_envelope::budget::{self, Amount, MeterName, Spend};
use baton_envelope::{Budget, Json, StepEntry, codes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caps::{Caps, Granted};
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
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Hop {
    /// Runs an effect once that spends of the budget of the intent: as [`Hop::step`], but what it may take at most is reserved
    /// before it is called, by a record of the ledger, and what it took stands in the record of its result. Where the agent has a
    /// cap, a controller grants the call before that.
    ///
    /// Where the budget does not suffice nothing is called: the fault says so ([`Fault::budget_refused`]), and passed on with `?`
    /// it parks the intent until somebody tops it up, or lets it fail, as the budget says. A crash between the call and the record
    /// counts all that was reserved as spent. An intent without a budget spends without a bound, and no record more is written.
    /// Where nothing is left of the cap of the agent ([`Fault::cap_refused`]) the fault parks the intent until there is.
    ///
    /// # Errors
    /// The effect's own error, whose reservation counts as spent; that the budget does not suffice, or the cap has no room; that
    /// no controller grants anything; and as [`Hop::step`].
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
        if self.steps.contains_key(name) || self.is_replay() {
            return self.step(name, || effect(permit)).await;
        }
        let granted = match self.capped().await? {
            Some(caps) => Some((Arc::clone(&caps), self.granted(&caps, name, &held).await?)),
            None => None,
        };
        let is_called = AtomicBool::new(false);
        let told = permit.clone();
        let calling = |permit| {
            is_called.store(true, Ordering::Relaxed);
            effect(permit)
        };
        let done = match self.has_budget().await {
            true => self.spend_reserved(name, held.clone(), permit, calling).await,
            false => self.step(name, || calling(permit)).await,
        };
        if let Some((caps, granted)) = granted {
            // What cannot be read counts whole.
            let took = match (is_called.into_inner(), told.told()) {
                (false, _) => Some(nothing_of(&held)),
                (true, told) => told.and_then(|told| told.read().ok()),
            };
            if let (Journal::Ledger(claim), Some(took)) = (&self.journal, &took)
                && !self.has_budget().await
            {
                claim.lock().await.spent.add(took);
            }
            caps.settle(granted, took).await;
        }
        done
    }

    /// Whether anything bounds what the intent spends.
    async fn has_budget(&self) -> bool {
        match &self.journal {
            Journal::Ledger(claim) => claim.lock().await.has_budget(),
            Journal::Sandbox(_) => false,
        }
    }

    /// The cap of the agent, where it has one.
    async fn capped(&self) -> Result<Option<Arc<Caps>>, Fault> {
        let Some(caps) = &self.caps else { return Ok(None) };
        let is_capped = caps.is_capped().await.map_err(|error| Fault::unwritten(&error))?;
        Ok(is_capped.then(|| Arc::clone(caps)))
    }

    /// Has a call granted out of what is left of the day.
    async fn granted(&self, caps: &Caps, name: &str, held: &budget::Amounts) -> Result<Granted, Fault> {
        // What does not fit into the budget is not asked for.
        if let Journal::Ledger(claim) = &self.journal
            && let Some(budget) = claim.lock().await.snapshot.budget.as_deref()
        {
            budget
                .may_hold(&format!("step \"{name}\""), held)
                .map_err(Fault::exhausted)?;
        }
        let asked = caps.grant(name, (self.intent(), self.epoch), held).await;
        let asked = asked.map_err(|error| Fault::unwritten(&error))?;
        asked.map_err(Fault::capped)
    }

    /// Reserves, calls, and records the result with what it took.
    async fn spend_reserved<T, E, Fut>(
        &mut self,
        name: &str,
        held: budget::Amounts,
        permit: Permit,
        effect: impl FnOnce(Permit) -> Fut,
    ) -> Result<T, Fault>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Fault>,
        Fut: Future<Output = Result<T, E>>,
    {
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
        if claim.lock().await.has_budget() {
            self.visible().await?;
            let mut claim = claim.lock().await;
            claim.has_spent(&Spend::of(amounts.clone())).await.map_err(lost)?;
        }
        if let Some(caps) = self.capped().await? {
            if !self.has_budget().await {
                claim.lock().await.spent.add(&amounts);
            }
            caps.charge(amounts).await;
        }
        Ok(())
    }

    /// What the intent may spend and what it has spent; `None` where nothing bounds it, and in a replay.
    pub async fn budget(&self) -> Option<Budget> {
        match &self.journal {
            Journal::Ledger(claim) => claim.lock().await.snapshot.budget.as_deref().cloned(),
            Journal::Sandbox(_) => None,
        }
    }
}

/// Nothing of each meter that is named.
fn nothing_of(amounts: &budget::Amounts) -> budget::Amounts {
    let mut nothing = budget::Amounts::NONE;
    for (meter, _) in amounts.iter() {
        nothing.set(meter, Amount::ZERO);
    }
    nothing
}
