//! The archive: bundles written, read back by their sequence, and followed; and the purge of what they hold.
//!
//! Where the bundle of an intent stands is not known to the stream, which has few subjects. Controllers keep an index.

mod bundles;
mod tail;

pub use tail::{ArchiveBatch, ArchiveNote, ArchiveTail};
