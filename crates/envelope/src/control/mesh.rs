//! Questions about the mesh as a whole: how many copies its streams and buckets keep.

use serde::{Deserialize, Serialize};

/// Shows how many copies the streams and buckets keep.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ShowCopies {}

/// Sets how many copies all streams and buckets keep, those of later agents included. Repeating it goes on where another was
/// cut off.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetReplicas {
    /// How many, from 1 to 5.
    pub replicas: u32,
    /// Who asks, such as `user@host`.
    pub by: String,
}

/// How many copies the streams and buckets keep.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CopiesView {
    /// How many they should keep: as many as the ledger.
    pub replicas: u32,
    /// Each stream and bucket, the ledger first.
    pub streams: Vec<StreamCopies>,
}

/// The copies of one stream or bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamCopies {
    /// Its name; that of a bucket begins with `KV_`.
    pub stream: String,
    /// How many copies its configuration says; 0 where it did not tell.
    pub copies: u32,
    /// How many of them are there, and have all that was stored.
    pub current: u32,
    /// Why the server does not give it as many as were asked for, or why it did not tell.
    pub problem: Option<String>,
}

impl CopiesView {
    /// How many streams and buckets have all copies that they should have.
    pub fn complete(&self) -> usize {
        let has_all = |one: &&StreamCopies| one.copies == self.replicas && one.current >= self.replicas;
        self.streams.iter().filter(has_all).count()
    }
}
