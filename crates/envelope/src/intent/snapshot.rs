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
    /// Everything about the intent that the next writer must know. One read of the last record gives the current state.
    pub struct Snapshot {
        /// The status of the intent.
        req status: Status,
        /// The agent that has the intent, or had it last; absent when no agent ever had a turn.
        opt agent: AgentName,
        /// The version of that agent.
        opt version: AgentVersion,
        /// The hop, from 1; 0 when no agent ever had a turn.
        def hop: u32,
        /// The limit on hops.
        def max_hops: MaxHops,
        /// The attempt at this hop, from 1.
        def attempt: u32,
        /// The fencing number of the holder. It grows with each hop and with each takeover.
        def epoch: u64,
        /// The epoch that began when a holder gave the hop back, by `released` or `retry_scheduled`. While that epoch
        /// is current, the next delivery signals no death, and the ticket waits in the stream, delayed or ready.
        opt given_back: u64,
        /// The instance that holds the hop, if it has said so.
        opt holder: String,
        /// The envelope of this hop.
        opt envelope: EnvelopeId,
        /// The ledger sequence of the record that holds that envelope; absent in that record itself.
        opt envelope_seq: u64,
        /// The priority.
        def priority: Priority,
        /// The kind of work.
        opt kind: String,
        /// The root of the tree, if that is another intent.
        opt root: IntentId,
        /// The parent, for a child.
        opt parent: IntentId,
        /// When the intent was submitted.
        req submitted_at: Timestamp,
        /// When this record was written.
        req updated_at: Timestamp,
        /// When the intent must be done.
        opt deadline: Timestamp,
        /// The earliest time of the next attempt, or the end of a wait.
        opt wake_at: Timestamp,
        /// The agents and versions that had a turn, the latest last.
        def path: Vec<PathEntry>,
        /// The versions that this intent is pinned to, by agent.
        def pins: BTreeMap<AgentName, AgentVersion>,
        /// The subject to publish the result on.
        opt reply_to: String,
        /// The result, once completed.
        opt result: Json,
        /// `base64` when the result is a string of base64 because what the agent gave back was not text.
        opt result_encoding: String,
        /// The last error.
        opt error: ErrorInfo,
        /// How long this hop's work may wait to be taken, in milliseconds, where the intent says so.
        opt accept_within_ms: u64,
    }
}

impl Snapshot {
    /// A state in which only the status is known.
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
            result_encoding: None,
            error: None,
            accept_within_ms: None,
            extra: Extra::new(),
        }
    }

    /// The snapshot for the next writer, read from the record at `seq`.
    #[must_use]
    pub fn seen_at(mut self, seq: u64) -> Self {
        if self.envelope_seq.is_none() {
            self.envelope_seq = Some(seq);
        }
        self
    }
}
