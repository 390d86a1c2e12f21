//! The scenarios of `baton demo`. In `crash`, agents hand work to each other and one is killed in the middle; the ledger
//! shows that the work went on exactly where it stopped. In `upgrade`, an agent is upgraded while it works. In
//! `approval`, work waits for a person through the death of everything. In `fanout`, a question is split over five agents, and goes on
//! when three have answered. In `saga`, what was booked is taken back. In `context`, a decision of the first hop reaches the twelfth.
//!
//! This is a crate of its own because it is neither in the product's data path nor mere output: it starts processes,
//! kills some at chosen moments, and judges the outcome.

mod agents;
mod approval;
mod check;
mod context;
mod crash;
mod error;
mod fanout;
mod harness;
mod player;
mod saga;
mod upgrade;

pub use agents::{Part, ROLES, run_agent};
pub use approval::{ApprovalPlan, ApprovalReport, ApprovalVerdict, run_approval};
pub use check::{Verdict, judge};
pub use context::{ContextPlan, ContextReport, ContextVerdict, LastView, run_context};
pub use crash::{CrashPlan, CrashReport, run_crash};
pub use error::DemoError;
pub use fanout::{FanoutPlan, FanoutReport, FanoutVerdict, run_fanout};
pub use saga::{SagaPlan, SagaReport, SagaVerdict, run_saga};
pub use upgrade::{Decision, Upgrade, UpgradePlan, UpgradeReport, UpgradeStep, run_upgrade};
