//! The state of an intent after a record.

use std::collections::BTreeMap;

use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::intent::error_info::ErrorInfo;
use crate::intent::status::Status;
use crate::message::envelope::{MaxHops, Priority};
use crate::version::path::PathEntry;

wire_object! {
    /// Everything about the intent that the next writer must know, so that one read of the last record tells the
    /// present.
    pub struct Snapshot {
        /// Where it stands.
        req status: Status,
        /// The agent whose turn it is, or was last; absent when no agent ever had a turn.
        opt agent: AgentName,
        /// The version of that agent.
        opt version: AgentVersion,
        /// The hop, from 1; 0 when no agent ever had a turn.
        def hop: u32,
        /// The limit on hops.
        def max_hops: MaxHops,
        /// The attempt at this hop, from 1.
        def attempt: u32,
        /// The fencing number of the holder: grows with each hop and with each takeover.
        def epoch: u64,
        /// The epoch that began when the hop was given back, by `released` or `retry_scheduled`. While it is the present one,
        /// the next delivery is not the sign of a death, and its ticket is in the stream with a delay or to be taken again.
        opt given_back: u64,
        /// The instance that holds the hop, where it has said so.
        opt holder: String,
        /// The envelope of this hop.
        opt envelope: EnvelopeId,
        /// The ledger sequence of the record that holds that envelope; absent in that record itself.
        opt envelope_seq: u64,
        /// How urgent.
        def priority: Priority,
        /// The kind of work.
        opt kind: String,
        /// The root of the tree, when that is another intent.
        opt root: IntentId,
        /// The parent, for a child.
        opt parent: IntentId,
        /// When the intent was submitted.
        req submitted_at: Timestamp,
        /// When this record was written.
        req updated_at: Timestamp,
        /// When the intent must be done.
        opt deadline: Timestamp,
        /// Not before this time: the next attempt, or the end of a wait.
        opt wake_at: Timestamp,
        /// The agents and versions that had a turn, this one last.
        def path: Vec<PathEntry>,
        /// Agent versions that this intent is held to.
        def pins: BTreeMap<AgentName, AgentVersion>,
        /// A subject that is told the result.
        opt reply_to: String,
        /// The result, once completed.
        opt result: Json,
        /// The last error.
        opt error: ErrorInfo,
    }
}

impl Snapshot {
    /// The state of an intent of which nothing is known but where it stands.
    pub(crate) fn blank(status: Status, at: Timestamp) -> Self {
        Self {
            status,
            agent: None,
            version: None,
            hop: 0,
            max_hops: MaxHops::default(),
            attempt: 0,
            epoch: 0,
            given_back: None,
            holder: None,
            envelope: None,
            envelope_seq: None,
            priority: Priority::default(),
            kind: None,
            root: None,
            parent: None,
            submitted_at: at,
            updated_at: at,
            deadline: None,
            wake_at: None,
            path: Vec::new(),
            pins: BTreeMap::new(),
            reply_to: None,
            result: None,
            error: None,
            extra: Extra::new(),
        }
    }

    /// This snapshot as whoever writes next holds it, read from the record at `seq`.
    #[must_use]
    pub fn seen_at(mut self, seq: u64) -> Self {
        if self.envelope_seq.is_none() {
            self.envelope_seq = Some(seq);
        }
        self
    }
}
