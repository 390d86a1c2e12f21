//! Checkpoints: what a controller has seen of the ledger and the archive, signed, so that a tail that is cut off is missed.

use serde::{Deserialize, Serialize};

use super::link::Link;
use crate::base::timestamp::Timestamp;

/// What one controller states about all that was stored since the checkpoint before. It is signed as a record is, and its
/// signature names the checkpoint before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The form: 1.
    pub checkpoint: u32,
    /// When it was made, by the controller's clock.
    pub at: Timestamp,
    /// The controller.
    pub by: String,
    /// The ledger.
    pub ledger: Span,
    /// The archive.
    pub archive: Span,
    /// What a controller takes out of the ledger behind this checkpoint, without a bundle that holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<RemovedMessage>,
}

/// A message of the ledger that is removed, as it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedMessage {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// Its link.
    pub link: Link,
}

/// A stretch of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// When the stream was created, as the server writes it: which stream it is.
    pub created: String,
    /// It begins after this sequence.
    pub after: u64,
    /// It ends with this sequence.
    pub through: u64,
    /// How many messages it holds.
    pub count: u64,
    /// One hash of all of them.
    pub root: Link,
}

/// Counts messages, and makes one hash of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningRoot {
    /// How many.
    pub count: u64,
    /// The hash.
    pub root: Link,
}

impl Checkpoint {
    /// The form that this build writes and reads.
    pub const FORM: u32 = 1;
}

impl RunningRoot {
    /// Of nothing.
    pub const fn new() -> Self {
        Self {
            count: 0,
            root: Link::zero(),
        }
    }

    /// Takes in the next message, in the order of sequences.
    pub fn add(&mut self, seq: u64, subject: &str, link: Link) {
        self.count = self.count.saturating_add(1);
        self.root = self.root.with(format!("{seq} {subject} {link}\n").as_bytes());
    }
}

impl Default for RunningRoot {
    fn default() -> Self {
        Self::new()
    }
}
