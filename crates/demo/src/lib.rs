//! The stories of `baton demo`. In the first, agents hand work to each other and one is killed in the middle; the
//! ledger shows that the work went on exactly where it stopped. In the second, an agent is upgraded while it works.
//!
//! This is a crate of its own because it is neither in the product's data path nor mere output: it starts processes,
//! kills some at chosen moments, and judges the outcome.

mod agents;
mod check;
mod error;
mod player;
mod stage;
mod story;
mod upgrade;

pub use agents::{Part, ROLES, run_agent};
pub use check::{Verdict, judge};
pub use error::DemoError;
pub use story::{Plan, Told, tell};
pub use upgrade::{Act, Upgrade, UpgradePlan, UpgradeStep, Upgraded, tell_upgrade};
