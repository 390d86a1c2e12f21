//! Questions about what cannot be read: a list of it, and the repair of one.

use serde::{Deserialize, Serialize};

/// Lists everything of the mesh that cannot be read.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ListUnreadable {}

/// What cannot be read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UnreadableView {
    /// One entry for each key, in order.
    pub unreadable: Vec<Unreadable>,
}

/// Something that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unreadable {
    /// What it is, as a repair names it: `route/AGENT`, `declaration/AGENT.VERSION`, `leader`, `schedule/NAME`,
    /// `intent/ID` or `ledger/SUBJECT`.
    pub key: String,
    /// The sequence of the message, in the stream of the key.
    pub seq: u64,
    /// What is wrong with it.
    pub problem: String,
    /// What becomes of it meanwhile.
    pub meanwhile: String,
    /// Whether a newer version of the protocol may have written it: then the newer build can read it, and a repair takes
    /// `force`.
    #[serde(default)]
    pub newer: bool,
}

/// Repairs something that cannot be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repair {
    /// The key, as the list has it.
    pub key: String,
    /// Repairs also what a newer version of the protocol may have written.
    #[serde(default)]
    pub force: bool,
    /// Who asks.
    pub by: String,
}

/// What a repair did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RepairView {
    /// The key.
    pub key: String,
    /// What was done.
    pub done: String,
    /// The messages that were removed, the first of them where there are many.
    #[serde(default)]
    pub removed: Vec<Removed>,
}

/// A message that a repair removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its sequence.
    pub seq: u64,
    /// Its body in base64, cut where it is long.
    pub body_base64: String,
}
