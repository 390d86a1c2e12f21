//! The life of an intent: its statuses and events, the ledger records, and what each record means to its next reader.

pub mod act;
pub(crate) mod by_hand;
pub(crate) mod child;
pub(crate) mod children;
pub(crate) mod containment;
pub(crate) mod decisions;
pub(crate) mod delivery;
pub(crate) mod draft;
pub(crate) mod effects;
pub(crate) mod error_info;
pub(crate) mod event;
pub(crate) mod fencing;
pub(crate) mod in_order;
pub(crate) mod origin;
pub(crate) mod probe;
pub(crate) mod record;
pub(crate) mod references;
pub(crate) mod signals;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod tagged;
pub(crate) mod turn;
pub(crate) mod unique;
pub(crate) mod wait_reason;
pub(crate) mod waits;
