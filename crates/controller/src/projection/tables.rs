//! The tables: what a record changes in each, and what each can be asked. Nothing here knows of the server, or of the
//! task that follows the ledger.

pub(super) mod archive;
pub(super) mod breaker;
pub(super) mod evidence;
pub(super) mod intents;
pub(super) mod latency;
