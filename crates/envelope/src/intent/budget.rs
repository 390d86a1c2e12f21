//! Budgets: what an intent may spend, what it has spent, and what it has lent to its children.
//!
//! Nothing is ever spent that nobody allotted: a holder reserves before it calls ([`Budget::hold`](crate::Budget)), what it
//! reserved and did not account for counts as spent once another may hold the hop, and a child spends of what its parent lent it.
//! All of it is numbers of the snapshot, changed by the guarded records of the intent; nothing here keeps time or asks anybody.

mod account;
mod lending;
mod more;
mod refused;
mod requests;

pub use more::{Borrower, Debt};
pub use refused::{BudgetRefused, TopUpRefused};

pub(crate) use lending::lend;
