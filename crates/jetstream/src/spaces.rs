//! Spaces: memories that outlive every tree, read from their stream and written there by compare-and-set.
//!
//! The number of a revision is the sequence of its message. A writer names the revision that it goes over, and the server
//! refuses it where another came first.

mod read;
mod tail;
mod write;

use baton_envelope::context::{MemoryKey, SpaceMemory};
use serde::{Deserialize, Serialize};

pub use tail::{SpaceBatch, SpaceId, SpaceRevision, SpaceTail, SpacesLeft};

/// A memory of a space as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMemory {
    /// Its number, by which it is written over.
    pub revision: u64,
    /// What it says.
    pub record: SpaceMemory,
}

/// What was read of a space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpaceList {
    /// The newest revision of each memory, without its content and in the order of the ids; or the revisions of one, with their
    /// contents and the oldest first. Those with which a memory was forgotten are among them.
    pub memories: Vec<KeptMemory>,
    /// What stands there and cannot be read.
    pub unreadable: Vec<UnreadableMemory>,
}

/// Something that stands in a space, and is no memory that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableMemory {
    /// The last token of its subject.
    pub id: String,
    /// Its number.
    pub revision: u64,
    /// What is wrong with it.
    pub problem: String,
}

impl KeptMemory {
    /// Its id.
    pub const fn id(&self) -> &MemoryKey {
        &self.record.id
    }
}
