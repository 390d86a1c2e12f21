//! The fault runner: a mesh of real processes under a mixed load and a seeded schedule of faults. At the end
//! `baton-checker`, which shares no code with the runtime, judges the evidence.
//!
//! A tool, not a product: nothing depends on it. `docs/reliability.md` says how to use it.

pub mod accidents;
pub mod apply;
mod asking;
pub mod control;
pub mod finish;
pub mod hostile;
pub mod journal;
pub mod load;
pub mod loss;
pub mod many;
pub mod nodes;
pub mod operations;
pub mod patterns;
pub mod power;
pub mod run;
pub mod schedule;
pub mod stage;
pub mod work;
pub mod worker;
