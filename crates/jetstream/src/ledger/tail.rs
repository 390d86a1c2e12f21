//! Following the ledger: every record, in order, from a given place on.
//!
//! The client's own ordered consumer stays silent for 15 seconds after a restart of the server, so this is our own: an
//! ephemeral consumer without state, discarded when it is doubtful and replaced by one that starts after the last
//! record. The stream's sequence alone tells what was delivered, so nothing is skipped and nothing comes twice.

mod audit;
mod mark;
mod records;
mod source;
mod stream;

pub(crate) use mark::Followable;
pub use mark::LedgerMark;
pub use records::{LedgerBatch, LedgerTail, VoidRecord};
pub(crate) use stream::{Followed, Tail};
