//! The parts of an envelope that agents read and write for each other.

use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;

wire_object! {
    /// The task context: what is wanted, where it stands, and what is asked of the receiver.
    #[derive(Default)]
    pub struct Task {
        /// The goal of the whole intent.
        opt goal: String,
        /// Where the work stands now.
        opt state: String,
        /// What the receiver is asked to do.
        opt ask: String,
    }
}

wire_object! {
    /// A reference to something remembered elsewhere; the receiver fetches it when it wants it.
    pub struct MemoryRef {
        /// The key under which it is kept.
        req key: String,
        /// The revision that was meant.
        opt revision: u64,
        /// The SHA-256 of the content, in hex.
        opt hash: String,
        /// `pinned` (default: exactly this revision) or `latest`.
        opt policy: String,
    }
}

wire_object! {
    /// What one agent did on the way, and why.
    pub struct HistoryEntry {
        /// Who.
        req agent: AgentName,
        /// In which version.
        opt version: AgentVersion,
        /// At which hop.
        opt hop: u32,
        /// When the hop was committed.
        opt at: Timestamp,
        /// What it did.
        opt did: String,
        /// What it decided.
        opt decided: String,
        /// Why.
        opt why: String,
        /// References to the evidence.
        def refs: Vec<String>,
    }
}

wire_object! {
    /// What the sender expects back.
    #[derive(Default)]
    pub struct Expects {
        /// The format, a media type or a schema name.
        opt format: String,
        /// The length, in the unit that the text names.
        opt length: String,
        /// The quality that is asked for.
        opt quality: String,
    }
}

wire_object! {
    /// One budgeted quantity.
    #[derive(Default)]
    pub struct Meter {
        /// How much may be spent.
        opt allotted: Json,
        /// How much was spent so far.
        opt spent: Json,
    }
}

wire_object! {
    /// The budget of an intent.
    #[derive(Default)]
    pub struct Budget {
        /// Tokens of a language model.
        opt tokens: Meter,
        /// Cost, in the currency unit that the mesh agreed on.
        opt cost: Meter,
        /// Time, in seconds.
        opt time: Meter,
    }
}
