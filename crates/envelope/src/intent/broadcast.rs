//! A broadcast: one message of a channel, of which each receiver gets a copy.
//!
//! A message that comes from outside becomes an intent that no agent has, the root. A hop may end with one, too: then its intent
//! is the message. One record fixes who receives and what; each copy is a child, with its own retries and its own end. When all
//! copies have ended the intent is complete, and its result says who failed.

use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::names::{AgentName, ChannelName};
use crate::base::wire::wire_object;
use crate::intent::child::{KEEP_TIME, place_in_call};
use crate::intent::children::{Child, ChildEnd, ChildSet, Children, JoinRule, opened_calls};
use crate::intent::record::Record;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::message::envelope::Envelope;
use crate::version::pinning::Pinning;

/// The name of the wait for the receivers of a message.
pub const RECEIVERS: &str = "receivers";

/// How many copies that did not complete the result of a message names.
const MOST_NAMED: usize = 1_000;

wire_object! {
    /// What each receiver gets, in the record that fixes them.
    pub struct Broadcast {
        /// The channel.
        req channel: ChannelName,
        /// Whether the message named its receivers; else they are those that subscribed to the channel.
        def named: bool,
        /// The kind of work.
        opt kind: String,
        /// The work of each receiver.
        def payload: Json,
        /// `base64` when the payload is a string of base64.
        opt payload_encoding: String,
        /// How each copy chooses versions.
        opt pinning: Pinning,
        /// The trace context.
        opt traceparent: String,
        /// Who sent it, where that is known.
        opt from: String,
    }
}

impl Broadcast {
    /// What an envelope says, to the receivers of a channel.
    pub fn of(channel: ChannelName, named: bool, envelope: &Envelope) -> Self {
        Self {
            channel,
            named,
            kind: envelope.kind.clone(),
            payload: envelope.payload.clone(),
            payload_encoding: envelope.payload_encoding.clone(),
            pinning: envelope.pinning.clone(),
            traceparent: envelope.traceparent.clone(),
            from: envelope.from.clone(),
            extra: crate::base::wire::Extra::new(),
        }
    }

    /// The envelope of the copy of a root at a place, which is hop 1 of an intent of its own. `root` is the snapshot of the first
    /// record, and `copies` are what it asks for.
    pub fn copy(
        &self,
        (of, root): (&IntentId, &Snapshot),
        copies: &Children,
        (index, to): (u32, &AgentName),
        id: EnvelopeId,
    ) -> Envelope {
        let intent = IntentId::of_child(of, root.hop, RECEIVERS, index);
        let mut envelope = Envelope::first(id, intent, to.clone(), self.payload.clone());
        envelope.payload_encoding.clone_from(&self.payload_encoding);
        envelope.root = Some(of.clone());
        envelope.parent = Some(of.clone());
        envelope.kind.clone_from(&self.kind);
        envelope.from.clone_from(&self.from);
        envelope.max_hops = root.max_hops;
        envelope.priority = root.priority;
        envelope.deadline = root.deadline.map(|at| at.minus(KEEP_TIME));
        envelope.pinning.clone_from(&self.pinning);
        envelope.traceparent.clone_from(&self.traceparent);
        envelope.join = place_in_call((root.hop, RECEIVERS), index, copies.result_refs);
        envelope
    }

    /// The child of a hop that gets this copy.
    pub fn child_of_hop(&self, receiver: &Child) -> Child {
        Child {
            kind: self.kind.clone(),
            payload: self.payload.clone(),
            payload_encoding: self.payload_encoding.clone(),
            ..receiver.clone()
        }
    }

    /// The first field in which another message is other work; `None` for the same. `there` and `here` are the receivers.
    pub fn differing_field(&self, there: &[&AgentName], new: &Self, here: &[AgentName]) -> Option<&'static str> {
        let is_for_same = match (self.named, new.named) {
            (true, true) => there.iter().copied().eq(here),
            // Whoever subscribed meanwhile: the first record has fixed them.
            (false, false) => true,
            (_, _) => false,
        };
        let fields = [
            ("channel", self.channel == new.channel),
            ("receivers", is_for_same),
            ("kind", self.kind == new.kind),
            ("payload_encoding", self.payload_encoding == new.payload_encoding),
            ("payload", self.payload.same_meaning(&new.payload)),
        ];
        fields.into_iter().find_map(|(field, same)| (!same).then_some(field))
    }
}

impl Record {
    /// The receivers that this record fixes, in their order.
    pub fn receivers(&self) -> Vec<&AgentName> {
        let of_message = opened_calls(&self.waits).filter(|(name, _)| self.broadcast.is_some() && *name == RECEIVERS);
        let agents = of_message.flat_map(|(_, all)| all.children.iter().filter_map(|child| all.agent_of(child)));
        agents.collect()
    }
}

impl Snapshot {
    /// The receivers of the message that the intent is, while it waits for them.
    pub fn awaited_receivers(&self) -> Option<&ChildSet> {
        let of_message = |set: &&ChildSet| set.name == RECEIVERS && set.is_awaited(self);
        self.channel.as_ref()?;
        self.children.iter().find(of_message)
    }
}

/// The children of a message: one for each receiver.
pub(crate) fn copies(mut receivers: Vec<AgentName>) -> Children {
    if Mutant::P9OneForgotten.is_on() {
        receivers.pop();
    }
    let copy = |to| Child {
        to: Some(to),
        ..Child::new(Json::null())
    };
    Children {
        // What a copy comes to is in its own record: no hop goes on with it.
        result_refs: true,
        ..Children::new(receivers.into_iter().map(copy).collect(), JoinRule::Collect)
    }
}

/// What a message came to: its intent, how many receivers completed, and who did not. `opener` is the record that has fixed them.
pub fn broadcast_result(opener: &Record, ends: &[ChildEnd]) -> Json {
    #[derive(serde::Serialize)]
    struct Told<'r> {
        intent: &'r IntentId,
        channel: Option<&'r ChannelName>,
        receivers: usize,
        completed: usize,
        not_completed: Vec<Missed<'r>>,
    }
    #[derive(serde::Serialize)]
    struct Missed<'r> {
        agent: Option<&'r AgentName>,
        intent: IntentId,
        state: &'r str,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'r str>,
    }
    let receivers = opener.receivers();
    let is_done = |end: &&ChildEnd| end.state == Status::Completed.name();
    let failed = ends.iter().filter(|end| !is_done(end)).map(|end| Missed {
        agent: receivers.get(end.index as usize).copied(),
        intent: IntentId::of_child(&opener.intent, opener.snapshot.hop, RECEIVERS, end.index),
        state: &end.state,
        code: end.code.as_deref(),
    });
    let told = Told {
        intent: &opener.intent,
        channel: opener.broadcast.as_ref().map(|broadcast| &broadcast.channel),
        receivers: receivers.len(),
        completed: ends.iter().filter(is_done).count(),
        not_completed: failed.take(MOST_NAMED).collect(),
    };
    Json::of(&told).unwrap_or_else(|_| Json::null())
}
