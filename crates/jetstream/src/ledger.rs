//! The ledger: reading an intent, advancing it by one record, paying what it owes, and following every record.

mod advance;
mod contained;
mod effects;
mod encode;
mod events;
mod heads;
mod read;
mod tail;
mod together;
mod unreadable;
mod write;

pub use advance::{AdvanceError, Advanced, Committed, Decision, HeadRef, Known};
pub use encode::EncodedRecord;
pub use events::{Events, LiveRecord};
pub(crate) use heads::HeadParts;
pub use read::Head;
pub(crate) use tail::{Followable, Followed, Tail};
pub use tail::{LedgerBatch, LedgerMark, LedgerTail, VoidRecord};
pub(crate) use unreadable::{INTENT, SUBJECT, nothing_to_repair, removed, subject_of_key};
