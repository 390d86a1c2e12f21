//! The tables: what a record changes in each, and the questions about each. Nothing here knows the server, or the task
//! that follows the ledger.

pub(super) mod archive;
pub(super) mod capped;
pub(super) mod children;
pub(super) mod counts;
pub(super) mod evidence;
pub(super) mod intents;
pub(super) mod latency;
pub(super) mod memories;
pub(super) mod odd;
pub(super) mod streaks;
pub(super) mod timers;
pub(super) mod trees;
pub(super) mod turns;
