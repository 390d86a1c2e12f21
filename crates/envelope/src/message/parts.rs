//! The parts of an envelope that agents read and write for each other.

use crate::amounts::{Amounts, OnExhaustedBudget};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;

wire_object! {
    /// The task context: what the sender wants, where the work stands, and what it asks of the receiver.
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
    /// A reference to something remembered elsewhere; the receiver fetches it if it needs it.
    pub struct MemoryRef {
        /// The key of the content.
        req key: String,
        /// The revision that the sender meant.
        opt revision: u64,
        /// The SHA-256 of the content, in hex.
        opt hash: String,
        /// `pinned` (default: exactly this revision) or `latest`.
        opt policy: String,
    }
}

wire_object! {
    /// What one agent did, and why.
    pub struct HistoryEntry {
        /// The agent.
        req agent: AgentName,
        /// Its version.
        opt version: AgentVersion,
        /// The hop.
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
        /// The required quality.
        opt quality: String,
        /// The JSON schema that the result must match.
        opt schema: Json,
        /// The fewest characters of the result.
        opt min_length: u64,
        /// The most characters of the result.
        opt max_length: u64,
        /// Whether the result is checked. Senders before 1.7 named a format that nobody checked.
        def checked: bool,
    }
}

wire_object! {
    /// One budgeted quantity.
    #[derive(Default)]
    pub struct Meter {
        /// The allowance.
        opt allotted: Json,
        /// What was spent so far.
        opt spent: Json,
        /// What a holder has reserved for calls that it has not accounted for.
        opt held: Json,
        /// What children have that have not ended.
        opt lent: Json,
        /// What was spent beyond what had been reserved or lent for it.
        opt overrun: Json,
    }
}

wire_object! {
    /// The budget of an intent.
    #[derive(Default)]
    pub struct Budget {
        /// Language model tokens.
        opt tokens: Meter,
        /// Cost, in the mesh's agreed currency unit.
        opt cost: Meter,
        /// Time, in seconds.
        opt time: Meter,
        /// How many tokens are never lent to children, so that the parent can still tell of them.
        opt keep: Json,
        /// What becomes of a hop whose budget does not suffice.
        def on_exhausted: OnExhaustedBudget,
        /// Whether the ledger counts it: what an envelope of before protocol 1.7 says bound nobody.
        def counted: bool,
        /// The epoch of what is held.
        opt epoch: u64,
        /// What the intent needs to go on, where it is parked for want of budget.
        opt need: Box<Amounts>,
        /// Whether more was spent than had been held, and nobody has topped up since: then nothing is held any more.
        def overran: bool,
        /// Short hashes of the ids of the last top-ups, oldest first.
        opt topped: String,
    }
}
