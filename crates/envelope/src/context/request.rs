//! What a sender asks of a view.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

use super::memory::{Kind, MemoryKey};
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::wire_enum::wire_enum;

/// The tokens of a view where nobody says how many.
pub const BUDGET_DEFAULT: u64 = 4_000;
/// How many of the newest memories come before the rest.
pub const RECENT_DEFAULT: u32 = 20;

wire_enum! {
    /// How a view is made.
    pub enum Strategy {
        /// Everything in full, or an error.
        Full = "full",
        /// Pins in full, of everything else the summary; where that has no room, the oldest get shorter.
        Summary = "summary",
        /// As much in full as has room, by priority.
        Trim = "trim",
        /// Pins in full, of everything else one line; where that has no room, the oldest are left out.
        Lazy = "lazy",
    }
}

/// Counts tokens. Counts of different ids do not add up.
pub struct Counter<'a> {
    /// The vocabulary, as `name#revision`.
    pub id: &'a str,
    /// How many tokens a text is.
    pub count: &'a dyn Fn(&str) -> u64,
}

impl fmt::Debug for Counter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.id).finish()
    }
}

/// What a sender asks of a view, and what its receiver can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How it is made.
    pub strategy: Strategy,
    /// The most tokens that the receiver takes.
    pub budget: u64,
    /// How many thousandths of a token of the counter a token of the receiver is.
    pub factor: NonZeroU32,
    /// How many of the newest memories come before the rest.
    pub include_recent: u32,
    /// The memories that come first.
    pub named: BTreeSet<MemoryKey>,
    /// Kinds that stay out, but for pins.
    pub without: Vec<Kind>,
}

impl Request {
    /// A view of so many tokens, with the defaults for everything else.
    pub fn trim(budget: u64) -> Self {
        Self {
            strategy: Strategy::Trim,
            budget,
            factor: NonZeroU32::MIN.saturating_add(999),
            include_recent: RECENT_DEFAULT,
            named: BTreeSet::new(),
            without: Vec::new(),
        }
    }

    /// For a receiver whose tokens are others than those of the counter.
    #[must_use]
    pub fn for_factor(self, factor: NonZeroU32) -> Self {
        Self { factor, ..self }
    }

    /// The most tokens of the counter that the receiver takes.
    pub(super) fn room(&self) -> u64 {
        let budget = match Mutant::C9BudgetWraps.is_on() {
            true => self.budget % 65_536,
            false => self.budget,
        };
        let room = u128::from(budget) * 1_000 / u128::from(self.factor.get());
        u64::try_from(room).unwrap_or(u64::MAX)
    }

    /// So many tokens of the counter, as the receiver counts them, rounded up. At most the budget for what is at most
    /// [`Request::room`].
    pub(super) fn of_receiver(&self, count: u64) -> u64 {
        let product = u128::from(count) * u128::from(self.factor.get());
        u64::try_from(product.div_ceil(1_000)).unwrap_or(u64::MAX)
    }
}

/// The budget of a view: the least of what the handoff asks for, of `max_tokens` in the must-carry constraints where that
/// is a whole number, and of what the receiver takes; [`BUDGET_DEFAULT`] where none of them says anything.
pub fn view_budget(asked: Option<u64>, constraints: Option<&Json>, view_tokens: Option<u64>) -> u64 {
    let of_constraints = constraints
        .and_then(|constraints| constraints.read::<serde_json::Value>().ok())
        .and_then(|constraints| constraints.get("max_tokens")?.as_u64());
    [asked, of_constraints, view_tokens]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(BUDGET_DEFAULT)
}
