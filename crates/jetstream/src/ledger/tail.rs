//! Following the ledger: every record, in order, from a place on, for as long as anyone cares to.
//!
//! The client's own ordered consumer is silent for a quarter of a minute after a restart of the server, so this one is
//! our own: an ephemeral consumer that keeps nothing, thrown away and made anew after the last record that came,
//! whenever anything about it is doubtful. What was delivered is known by the stream's sequence alone, so that nothing
//! is skipped and nothing comes twice.

mod audit;
mod mark;
mod records;
mod source;
mod stream;

pub(crate) use mark::Followable;
pub use mark::LedgerMark;
pub use records::{LedgerBatch, LedgerTail};
pub(crate) use stream::{Followed, Tail};
