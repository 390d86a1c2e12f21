//! Why something does not fit into a budget.

use std::fmt;

use crate::amounts::{Amount, Amounts, MeterName, told};
use crate::base::codes;
use crate::intent::error_info::ErrorInfo;

/// A hold, or what children are lent, that does not fit.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetRefused {
    /// What for, such as `step "plan"`.
    pub what: String,
    /// How much it needs of each meter.
    pub need: Amounts,
    /// How much there is of each meter that is bounded.
    pub available: Amounts,
    /// The meters of which more was spent than had been held; no hold fits before a top-up.
    pub overrun: Vec<(MeterName, Amount)>,
}

impl BudgetRefused {
    /// The error of a hop that ends by it.
    pub fn error(&self) -> ErrorInfo {
        ErrorInfo::new(codes::BUDGET, self.to_string())
    }
}

impl std::error::Error for BudgetRefused {}

impl fmt::Display for BudgetRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs {}, and ", self.what, self.need)?;
        if let Some((meter, over)) = self.overrun.first() {
            let over = told(*meter, *over);
            return write!(
                f,
                "{over} more than was held for it is spent already; fix: `baton budget top-up` the root of the intent"
            );
        }
        let is_short = |meter: &MeterName| {
            self.available
                .of(*meter)
                .is_some_and(|left| left < self.need.get(*meter))
        };
        let short: Vec<String> = MeterName::ALL
            .into_iter()
            .filter(is_short)
            .map(|meter| told(meter, self.available.get(meter)))
            .collect();
        let short = short.join(" and ");
        write!(
            f,
            "{short} are available; fix: `baton budget top-up` the root of the intent, or ask for less"
        )
    }
}

/// Why a budget is not topped up.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TopUpRefused {
    /// There is nothing to top up.
    #[error("the intent has no budget, so nothing bounds what it spends; fix: leave it as it is")]
    NoBudget,
    /// The meter is not bounded.
    #[error("the budget of the intent does not bound {}; fix: top up what `baton budget show` lists", .0.name())]
    NotBounded(MeterName),
    /// A child has what its parent lends it.
    #[error("the intent is a child and has what its parent lent it; fix: top up its root, {root}")]
    IsChild {
        /// The root of its tree.
        root: String,
    },
    /// Nothing is added.
    #[error("a top-up of nothing; fix: say how much of which meter")]
    Nothing,
    /// The sum could not be written.
    #[error("{} would have more than 18 digits; fix: add less", .0.name())]
    TooMuch(MeterName),
    /// The event may not follow.
    #[error(transparent)]
    Illegal(#[from] crate::intent::status::IllegalTransition),
}
