//! The state of an intent after a record.

use std::collections::BTreeMap;

use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion, ChannelName};
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::intent::by_hand::ByHand;
use crate::intent::children::ChildSet;
use crate::intent::error_info::ErrorInfo;
use crate::intent::in_order::InOrder;
use crate::intent::origin::Origin;
use crate::intent::status::Status;
use crate::intent::undo::Undoing;
use crate::intent::waits::{OpenWait, UnreadSignal};
use crate::message::envelope::{MaxHops, Priority};
use crate::message::object::ObjectRef;
use crate::message::parts::Budget;
use crate::people::Seat;
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
        /// The open waits; those of other hops count for nothing.
        def waits: Vec<OpenWait>,
        /// The signals that no wait has taken, oldest first.
        def signals: Vec<UnreadSignal>,
        /// Short hashes of the ids of the last messages that were signals, oldest first.
        opt told: String,
        /// The hop of another intent that this one began from, if it is one that was restarted.
        opt restarted_from: Box<Origin>,
        /// Where a person or a script does this hop in place of workers: no ticket belongs to it.
        opt manual: Box<ByHand>,
        /// How long this hop's work may wait to be taken, in milliseconds, where the intent says so.
        opt accept_within_ms: u64,
        /// The turn that this hop waits for, or has had; that of another hop counts for nothing.
        opt order: Box<InOrder>,
        /// The children of this intent that somebody may still have to hear of.
        def children: Vec<ChildSet>,
        /// The channel, where the intent is a message of one.
        opt channel: ChannelName,
        /// What this intent can take back, and how far it is with that.
        opt undo: Box<Undoing>,
        /// The object that is the result, where it is too large for a message; then `result` is absent.
        opt result_ref: Box<ObjectRef>,
        /// What its tree remembers, as the hop that completed it, or sent the message that it is, has left it.
        opt context: Json,
        /// What the intent may spend, and what became of it.
        opt budget: Box<Budget>,
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
            waits: Vec::new(),
            signals: Vec::new(),
            told: None,
            restarted_from: None,
            manual: None,
            accept_within_ms: None,
            order: None,
            children: Vec::new(),
            channel: None,
            undo: None,
            result_ref: None,
            context: None,
            budget: None,
            extra: Extra::new(),
        }
    }

    /// The snapshot for the next writer, read from the record at `seq`.
    #[must_use]
    pub fn seen_at(mut self, seq: u64) -> Self {
        if self.envelope_seq.is_none() {
            self.envelope_seq = Some(seq);
        }
        self.place_waits(seq, |_| true, |_| true);
        self.place_votes(seq, |_| true);
        self.take_place(seq);
        self.place_children(seq, |_| true);
        self
    }

    /// Notes where the children stand whose call the record at `seq` has opened, of those that are meant.
    pub(crate) fn place_children(&mut self, seq: u64, set: impl Fn(&ChildSet) -> bool) {
        for of_call in self
            .children
            .iter_mut()
            .filter(|of_call| of_call.seq.is_none() && set(of_call))
        {
            of_call.seq = Some(seq);
        }
    }

    /// Notes where the waits and signals stand that the record at `seq` has opened, of those that are meant.
    pub(crate) fn place_waits(
        &mut self,
        seq: u64,
        wait: impl Fn(&OpenWait) -> bool,
        signal: impl Fn(&UnreadSignal) -> bool,
    ) {
        for open in self.waits.iter_mut().filter(|open| open.seq.is_none() && wait(open)) {
            open.seq = Some(seq);
        }
        for unread in self
            .signals
            .iter_mut()
            .filter(|unread| unread.seq.is_none() && signal(unread))
        {
            unread.seq = Some(seq);
        }
    }

    /// Notes where the votes stand that the record at `seq` holds, of those that are meant.
    pub(crate) fn place_votes(&mut self, seq: u64, vote: impl Fn(&Seat) -> bool) {
        for ballot in self.waits.iter_mut().filter_map(|wait| wait.ballot.as_mut()) {
            ballot.place(seq, &vote);
        }
    }

    /// Names the records that this points at by the sequences that they have now. Another intake numbers its messages anew, so
    /// what people said before counts as said before anything that they say there.
    pub(crate) fn move_places(&mut self, place: impl Fn(u64) -> Option<u64>) {
        self.envelope_seq = self.envelope_seq.and_then(&place);
        for seq in self.waits.iter_mut().map(|wait| &mut wait.seq) {
            *seq = seq.and_then(&place);
        }
        for seq in self.signals.iter_mut().map(|signal| &mut signal.seq) {
            *seq = seq.and_then(&place);
        }
        for seq in self.children.iter_mut().map(|of_call| &mut of_call.seq) {
            *seq = seq.and_then(&place);
        }
        for ballot in self.waits.iter_mut().filter_map(|wait| wait.ballot.as_mut()) {
            ballot.move_places(&place);
        }
    }
}
