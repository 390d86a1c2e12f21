//! The ledger: guarded writes, the head and the history of an intent, and following every record.

mod encode;
mod events;
mod heads;
mod read;
mod tail;
mod write;

pub use encode::Sealed;
pub use events::{Events, LiveRecord};
pub use read::Head;
pub(crate) use tail::{Followable, Followed, Tail};
pub use tail::{LedgerBatch, LedgerMark, LedgerTail};
pub use write::Written;
