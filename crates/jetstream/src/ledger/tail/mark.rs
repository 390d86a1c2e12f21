//! Which stream is followed, and a place in it.

/// A place in the ledger up to which everything is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerMark {
    /// The sequence; 0 is the beginning.
    pub seq: u64,
    /// When the record there was stored, in nanoseconds since the Unix epoch; 0 where that is not known. By it a ledger
    /// that lost its last records in a power cut, and has others at their place now, is noticed.
    pub stored: u64,
}

/// Which stream is followed.
#[derive(Debug, Clone)]
pub(crate) struct Followable {
    pub(crate) stream: String,
    /// All of its subjects.
    pub(crate) subjects: String,
    /// Whether the bodies are left out.
    pub(crate) headers_only: bool,
}
