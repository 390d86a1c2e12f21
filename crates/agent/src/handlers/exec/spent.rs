//! The budget, as a program is told of it, and what a program says that it has spent.

use baton_envelope::Budget;
use baton_envelope::budget::{self, Amount, MeterName};
use serde::{Deserialize, Serialize};

use crate::spending::Amounts;

/// What a program is told of the budget.
#[derive(Debug, Serialize)]
pub(super) struct ToldSpend {
    available: budget::Amounts,
}

impl ToldSpend {
    pub(super) fn of(budget: &Budget) -> Self {
        let available = budget.available();
        Self { available }
    }
}

/// What a program has spent.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "for `spend` an object, such as {\"tokens\": 1200, \"cost\": \"0.02\"}"
)]
pub(super) struct AskedSpend {
    #[serde(default)]
    tokens: Option<Amount>,
    #[serde(default)]
    cost: Option<Amount>,
    #[serde(default)]
    time: Option<Amount>,
}

impl AskedSpend {
    pub(super) fn amounts(self) -> Amounts {
        let given = [
            (MeterName::Tokens, self.tokens),
            (MeterName::Cost, self.cost),
            (MeterName::Time, self.time),
        ];
        let named = given.into_iter().filter_map(|(meter, amount)| Some((meter, amount?)));
        named.fold(Amounts::new(), |amounts, (meter, amount)| amounts.and(meter, amount))
    }
}
