//! Amounts of what an intent may spend, and what records say of them.

mod amount;
mod entries;
mod meters;

pub use amount::{Amount, BadAmount};
pub use entries::{Hold, OnExhaustedBudget, OwedTopUp, Share, Spend, TopUp};
pub(crate) use meters::told;
pub use meters::{Amounts, MeterName};

use crate::base::protocol::Protocol;

/// The first minor whose workers hold before they spend.
pub const BUDGETS_SINCE: Protocol = Protocol::new(1, 7, 0);
/// The most children of one call that are lent different shares, in runs of equal ones: the snapshot has all of them.
pub const MOST_SHARES: usize = 256;
/// The most top-ups that a parent may owe its children at a time.
pub const MOST_OWED: usize = 64;
