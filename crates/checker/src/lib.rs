//! Judges what a mesh left behind: [`check`] takes the messages of its streams, the journal of a load and the traces of
//! its effects, and reports whether the invariants I1 to I14, P1 to P3, P5 to P7 and P9 held for every intent, and S1 and S2 in a mesh that signs.
//!
//! It shares no code with the runtime, on purpose: it depends on no other crate of Baton, and all it knows comes from
//! `docs/protocol.md`, so it does not repeat a mistake in the runtime's own functions. It must stay a pure function of
//! its evidence: it talks to no server, reads no clock and looks at nothing but its files.
//!
//! Where `trust.json` stands beside the evidence, the signatures of records and checkpoints are verified first ([`signed`]), and
//! void records decide nothing.
//!
//! The module of each invariant in [`checks`] states what the check sees and what it cannot see.

mod archive;
pub mod checks;
mod evidence;
mod history;
mod record;
pub mod signed;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub use evidence::{Effect, Evidence, EvidenceError, Journal, Message, Tried};
pub use history::{Context, History};
pub use record::{By, Envelope, Event, Record, Snapshot, Status};
pub use signed::{Grant, Trust};
pub use table::TRANSITIONS;
pub use verdict::{Counts, Verdict, Violation};

/// Judges the evidence.
#[must_use]
pub fn check(evidence: &Evidence) -> Verdict {
    verdict::judge(evidence)
}

/// When workers ended hops, in milliseconds since 1970 by the server's clock, in order: the progress of a mesh.
#[must_use]
pub fn progress(evidence: &Evidence) -> Vec<i64> {
    verdict::progress(evidence)
}
