//! The archive: writing bundles, reading them back by their sequence, following them, and purging what they hold.
//!
//! The stream has few subjects and does not know where the bundle of an intent is. Controllers keep an index.

mod bundles;
mod tail;

pub use tail::{ArchiveBatch, ArchiveNote, ArchiveTail};
