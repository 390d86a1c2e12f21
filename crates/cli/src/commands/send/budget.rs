//! What an intent may spend, on the command line and in headers.

use baton_envelope::budget::{Amount, MeterName, OnExhaustedBudget};
use baton_envelope::{Envelope, HEADER_BUDGET_COST, HEADER_BUDGET_EXHAUSTED, HEADER_BUDGET_TIME, HEADER_BUDGET_TOKENS};
use clap::{Args, ValueEnum};

/// The flags of a budget.
#[derive(Debug, Clone, Args)]
pub(crate) struct BudgetArgs {
    /// How many tokens the intent and its children may spend together.
    #[arg(long, value_name = "N")]
    budget_tokens: Option<Amount>,
    /// What the intent and its children may cost together, such as 1.25.
    #[arg(long, value_name = "AMOUNT")]
    budget_cost: Option<Amount>,
    /// How many seconds the attempts of the intent and its children may run, together.
    #[arg(long, value_name = "SECONDS")]
    budget_time: Option<Amount>,
    /// What becomes of a hop whose budget does not suffice [default: park].
    #[arg(long, value_enum, value_name = "WHAT")]
    on_exhausted_budget: Option<Exhausted>,
}

/// What becomes of a hop whose budget does not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Exhausted {
    /// The intent is parked, and goes on once there is enough.
    Park,
    /// The intent fails.
    Fail,
}

impl BudgetArgs {
    /// The headers of a raw intent that say the same; an empty value is none.
    pub(super) fn headers(&self) -> [(&'static str, String); 4] {
        let text = |amount: Option<Amount>| amount.map(|amount| amount.to_string()).unwrap_or_default();
        let exhausted = match self.on_exhausted_budget {
            None => "",
            Some(Exhausted::Park) => "park",
            Some(Exhausted::Fail) => "fail",
        };
        [
            (HEADER_BUDGET_TOKENS, text(self.budget_tokens)),
            (HEADER_BUDGET_COST, text(self.budget_cost)),
            (HEADER_BUDGET_TIME, text(self.budget_time)),
            (HEADER_BUDGET_EXHAUSTED, exhausted.to_owned()),
        ]
    }
}

/// The headers that say the budget of an envelope.
pub(super) fn headers_of(envelope: &Envelope) -> Vec<(&'static str, Option<String>)> {
    let Some(budget) = &envelope.budget else {
        return Vec::new();
    };
    let allotted = budget.allotted();
    let text = |meter: MeterName| allotted.of(meter).map(|amount| amount.to_string());
    let fails = budget.on_exhausted == OnExhaustedBudget::Fail;
    vec![
        (HEADER_BUDGET_TOKENS, text(MeterName::Tokens)),
        (HEADER_BUDGET_COST, text(MeterName::Cost)),
        (HEADER_BUDGET_TIME, text(MeterName::Time)),
        (HEADER_BUDGET_EXHAUSTED, fails.then(|| "fail".to_owned())),
    ]
}
