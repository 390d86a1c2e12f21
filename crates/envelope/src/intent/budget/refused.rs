//! Why something does not fit into a budget.

use std::fmt;

use crate::amounts::{Amount, Amounts, MOST_OWED, MOST_SHARES, MeterName, told};
use crate::base::codes;
use crate::base::ids::IntentId;
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
                "{over} more than was held for it is spent already; fix: `baton budget top-up` it"
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
            "{short} are available; fix: `baton budget top-up` it, or ask for less"
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
    #[error("the intent is a child and has what its parent lent it; fix: have its parent, {parent}, lend it more")]
    IsChild {
        /// Its parent.
        parent: IntentId,
    },
    /// The child has ended.
    #[error("the child has ended and spends nothing any more; fix: top up its parent, {parent}, where that needs more")]
    ChildEnded {
        /// Its parent.
        parent: IntentId,
    },
    /// The parent has ended.
    #[error(
        "its parent, {parent}, has ended and lends nothing any more; fix: submit the work again with a larger budget"
    )]
    ParentClosed {
        /// The parent.
        parent: IntentId,
    },
    /// Nobody waits for the child.
    #[error(
        "its parent, {parent}, does not wait for it any more, and what it was lent is all that it gets; fix: submit the work \
         again with a larger budget"
    )]
    NotAwaited {
        /// The parent.
        parent: IntentId,
    },
    /// The child is detached.
    #[error(
        "it is a detached child: what it was lent counts as spent by its parent, {parent}; fix: submit the work again with a \
         larger budget"
    )]
    Detached {
        /// The parent.
        parent: IntentId,
    },
    /// The parent lends the child nothing.
    #[error("its parent, {parent}, lends it nothing; fix: name its budget in the call")]
    NotLent {
        /// The parent.
        parent: IntentId,
    },
    /// The parent does not have as much.
    #[error(
        "its parent, {parent}, would lend it {wanted}, and has {left} left to lend; fix: `baton budget top-up {parent}` first, \
         then this again"
    )]
    ParentShort {
        /// The parent.
        parent: IntentId,
        /// What is asked for, of the meters that do not suffice.
        wanted: Box<Amounts>,
        /// What it has of those, without what it keeps.
        left: Box<Amounts>,
    },
    /// The parent owes its children as much as it may.
    #[error(
        "its parent, {parent}, owes its children {MOST_OWED} top-ups already, which are the most; fix: wait until a controller \
         has paid them"
    )]
    TooManyOwed {
        /// The parent.
        parent: IntentId,
    },
    /// The shares of the call would not fit into the snapshot.
    #[error(
        "the children of its call would have more than {MOST_SHARES} different shares one after the other; fix: add to one \
         beside which a child has as much, or wait until children have ended"
    )]
    TooManyShares,
    /// The state of its parent from which this was to be paid is not the present one.
    #[error("what it was lent is more by now; fix: read its parent again")]
    Overtaken,
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
