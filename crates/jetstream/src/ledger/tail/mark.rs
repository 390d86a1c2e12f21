//! Which stream is followed, and a place in it.

/// A place in the ledger; everything up to it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerMark {
    /// The sequence; 0 is the beginning.
    pub seq: u64,
    /// When the record there was stored, in nanoseconds since the Unix epoch; 0 if unknown. It reveals a ledger that
    /// lost its last records in a power cut and now has others in their place.
    pub stored: u64,
}

/// Which stream is followed.
#[derive(Debug, Clone)]
pub(crate) struct Followable {
    pub(crate) stream: String,
    /// All of its subjects.
    pub(crate) subjects: String,
    /// Whether to leave out the bodies.
    pub(crate) headers_only: bool,
}
