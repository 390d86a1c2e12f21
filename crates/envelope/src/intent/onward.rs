//! Fan-out: a hop that asks others and does not come back.

use crate::base::json::Json;
use crate::base::names::AgentName;
use crate::base::wire::{Extra, wire_object};
use crate::intent::record::Record;
use crate::intent::waits::WaitSpec;
use crate::message::parts::HistoryEntry;

wire_object! {
    /// Where work goes when its children have ended, without the handler that asked for them.
    pub struct Onward {
        /// The agent that gets it; absent for whoever is next.
        opt to: AgentName,
        /// The kind of work, if it changes.
        opt kind: String,
        /// What the author did and decided, for the agents after it.
        opt history: HistoryEntry,
        /// What people read beside the handoff.
        opt note: String,
        /// What the attempt that asked has cost.
        opt cost: Json,
    }
}

impl Onward {
    /// To whoever is next.
    pub fn new() -> Self {
        Self {
            to: None,
            kind: None,
            history: None,
            note: None,
            cost: None,
            extra: Extra::new(),
        }
    }
}

impl Default for Onward {
    fn default() -> Self {
        Self::new()
    }
}

/// The fan-out that a hop is in, or has come out of: whoever gets its ticket goes on by it, in place of the handler.
pub fn recorded_fan_out<'r>(history: impl IntoIterator<Item = &'r Record>, hop: u32) -> Option<WaitSpec> {
    let of_hop = history.into_iter().filter(|record| record.snapshot.hop == hop);
    let waits = of_hop.flat_map(|record| record.waits.iter());
    waits.filter(|wait| wait.onward.is_some()).last().cloned()
}
