//! The story of `baton demo`: agents hand work to each other, one is killed in the middle, and the ledger shows that the
//! work was carried on exactly where it stopped.
//!
//! A crate of its own, because it is neither part of the product's data path nor mere output: it starts processes, kills
//! one at a chosen moment, and judges the outcome.

mod agents;
mod check;
mod error;
mod story;

pub use agents::{ROLES, run_agent};
pub use check::{Verdict, judge};
pub use error::DemoError;
pub use story::{Plan, Told, tell};
