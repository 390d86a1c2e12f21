//! Schedules: work that is submitted again and again, and the one intent of each of its firings.
//!
//! Everything here is pure. When an expression fires is worked out by the controllers, which know the time zones.

mod document;
mod firing;

pub use document::{Fired, Held, Missed, Overlap, Paused, Schedule, Skipped};
pub use firing::{Firing, Why};
