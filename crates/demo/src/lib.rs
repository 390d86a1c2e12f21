//! The stories of `baton demo`. The first: agents hand work to each other, one is killed in the middle, and the ledger
//! shows that the work was carried on exactly where it stopped. The second: an agent is upgraded while it works.
//!
//! A crate of its own, because it is neither part of the product's data path nor mere output: it starts processes, kills
//! some at chosen moments, and judges the outcome.

mod agents;
mod check;
mod error;
mod stage;
mod story;
mod upgrade;

pub use agents::{Part, ROLES, run_agent};
pub use check::{Verdict, judge};
pub use error::DemoError;
pub use story::{Plan, Told, tell};
pub use upgrade::{Act, Upgrade, UpgradePlan, UpgradeStep, Upgraded, tell_upgrade};
