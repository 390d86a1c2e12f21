//! What may be in a view: each memory of the chain, in its newest revision.

use super::memory::Memory;
use crate::base::ids::IntentId;

/// Where in the tree something was remembered. The order is that of the chain; branches that ran beside each other follow
/// each other by the ids of their intents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// How many links the chain has up to there, by its longest way.
    pub depth: u32,
    /// The intent.
    pub intent: IntentId,
    /// The hop.
    pub hop: u32,
    /// The place in the link, from 0.
    pub index: u32,
}

/// Why a memory can be in no view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Out {
    /// A later memory takes its place.
    Superseded,
    /// Somebody had it forgotten.
    Forgotten,
}

/// A memory that may be in a view.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The memory.
    pub memory: Memory,
    /// Where it was remembered.
    pub position: Position,
    /// Who remembered it, as `agent@version` or a name that the client chose.
    pub by: String,
    /// Why it can be in no view, if so.
    pub out: Option<Out>,
}
