//! The envelope of a child.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::context::handed_down;
use crate::intent::children::{Child, Children, JoinRule, MOST_SPELT};
use crate::intent::snapshot::Snapshot;
use crate::intent::undo::Undo;
use crate::message::convert;
use crate::message::envelope::Envelope;
use crate::message::error::HopLimit;
use crate::version::policy::{OnExhausted, Policy};

/// How long before its parent's deadline that of a child ends, so that the parent can still tell of it.
pub const KEEP_TIME: Duration = Duration::from_secs(5);

/// How many bytes the first record of a child takes at most beside its envelope, the path and the pins.
const RECORD_ROOM: usize = 3 * 1024;
/// The fewest bytes of an end in the record that lets the parent go on: with the id of the child, and without.
const SPELT_END: usize = 85;
const SHORT_END: usize = 40;

/// What the envelope of a child is made of, beside that of its parent.
#[derive(Debug, Clone, Copy)]
pub struct NewChild<'c> {
    /// The id of the new envelope.
    pub id: EnvelopeId,
    /// The hop of the parent, and the name of the wait.
    pub call: (u32, &'c str),
    /// The place of the child in the call.
    pub index: u32,
    /// All of the call.
    pub children: &'c Children,
    /// The child.
    pub child: &'c Child,
    /// The agent that gets it.
    pub to: &'c AgentName,
    /// Who asks for it, as `agent@version`.
    pub from: &'c str,
    /// The versions that the parent is pinned to.
    pub pins: &'c BTreeMap<AgentName, AgentVersion>,
}

impl Envelope {
    /// The envelope of a child, one hop further. It takes over the constraints, the priority, the pins, the gates, the trace
    /// and the fields that this build does not know.
    ///
    /// # Errors
    /// When it would exceed `max_hops`.
    pub fn child(&self, new: NewChild<'_>) -> Result<Self, HopLimit> {
        let hop = self.next_hop(new.to)?;
        let (parent_hop, name) = new.call;
        let intent = IntentId::of_child(&self.intent, parent_hop, name, new.index);
        let mut envelope = Self::first(new.id, intent, new.to.clone(), new.child.payload.clone());
        envelope.payload_encoding.clone_from(&new.child.payload_encoding);
        envelope.root = Some(self.root().clone());
        envelope.parent = Some(self.intent.clone());
        envelope.kind = new.children.kind_of(new.child).map(str::to_owned);
        envelope.from = Some(new.from.to_owned());
        envelope.hop = hop;
        envelope.max_hops = self.max_hops;
        envelope.priority = new.child.priority.unwrap_or(self.priority);
        envelope.deadline = earlier(new.child.deadline, self.deadline.map(|at| at.minus(KEEP_TIME)));
        envelope.constraints.clone_from(&self.constraints);
        envelope.constraints_hash.clone_from(&self.constraints_hash);
        envelope.pins.clone_from(new.pins);
        envelope.pinning.clone_from(&self.pinning);
        envelope.gates.clone_from(&self.gates);
        envelope.traceparent.clone_from(&self.traceparent);
        envelope.join = place_in_call(new.call, new.index, new.children.result_refs);
        envelope.context = match &new.children.context {
            Some(context) => Some(context.clone()),
            None => handed_down(self),
        };
        envelope.extra.clone_from(&self.extra);
        convert::forget_payload(&mut envelope.extra);
        Ok(envelope)
    }
}

/// The `join` of a child: its place in a call, and whether its result may be an object.
pub(crate) fn place_in_call((hop, name): (u32, &str), index: u32, result_refs: bool) -> Option<Json> {
    let more = if result_refs { r#","result_refs":true"# } else { "" };
    Json::parse(&format!(r#"{{"hop":{hop},"wait":"{name}","index":{index}{more}}}"#)).ok()
}

/// What `join` of an envelope says of results.
#[derive(serde::Deserialize)]
struct TakesRefs {
    #[serde(default)]
    result_refs: bool,
}

impl Envelope {
    /// Whether the result of the intent may be an object: whoever asked for a child must read it.
    pub fn may_end_by_ref(&self) -> bool {
        let is_taken = |join: &Json| join.read::<TakesRefs>().is_ok_and(|join| join.result_refs);
        self.parent.is_none() || self.join.as_ref().is_some_and(is_taken)
    }

    /// How many bytes the first record of the largest child of a call may take, with the place of that child. `at` is the snapshot
    /// of the hop. No child where none can be made.
    pub fn largest_child(&self, name: &str, children: &Children, at: &Snapshot) -> Option<(u32, usize)> {
        let size = |child: &Child| child.payload.get().len();
        let (index, child) = (0..).zip(&children.children).max_by_key(|(_, child)| size(child))?;
        let to = children.agent_of(child)?;
        let from = at.version.as_ref().map(|version| format!("{}@{version}", self.to));
        let envelope = self.child(NewChild {
            id: self.id,
            call: (at.hop, name),
            index,
            children,
            child,
            to,
            from: from.as_deref().unwrap_or_default(),
            pins: &at.pins,
        });
        let beside = bytes_of(&at.path) + bytes_of(&at.pins) + RECORD_ROOM;
        Some((index, bytes_of(&envelope.ok()?) + beside))
    }

    /// The fewest bytes of the record that lets the hop of this envelope go on after a call, where it waits for all of its children.
    pub fn least_when_joined(&self, children: &Children) -> Option<usize> {
        let is_for_all = matches!(children.join, JoinRule::Collect | JoinRule::All);
        let count = children.children.len();
        let end = if count <= MOST_SPELT { SPELT_END } else { SHORT_END };
        is_for_all.then(|| bytes_of(self) + count * end)
    }
}

fn bytes_of<T: serde::Serialize>(value: &T) -> usize {
    Json::of(value).map_or(0, |json| json.get().len())
}

/// What the envelope of an undo is made of, beside that of the intent that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct NewUndo<'u> {
    /// The id of the new envelope.
    pub id: EnvelopeId,
    /// The hop of the intent, and the name of the set of children.
    pub set: (u32, &'u str),
    /// What it is asked.
    pub undo: &'u Undo,
    /// Who asks for it.
    pub from: &'u str,
    /// The versions that the intent is pinned to.
    pub pins: &'u BTreeMap<AgentName, AgentVersion>,
}

impl Envelope {
    /// The envelope of an undo. It begins at hop 1, has no deadline, is bound by no budget, and ends as failed where its attempts
    /// are used up.
    pub fn undo(&self, new: NewUndo<'_>) -> Self {
        let (hop, name) = new.set;
        let intent = IntentId::of_child(&self.intent, hop, name, 0);
        let undo = new.undo;
        let mut envelope = Self::first(new.id, intent, undo.agent.clone(), undo.payload.clone());
        envelope.payload_encoding.clone_from(&undo.payload_encoding);
        envelope.kind.clone_from(&undo.kind);
        envelope.root = Some(self.root().clone());
        envelope.parent = Some(self.intent.clone());
        envelope.from = Some(new.from.to_owned());
        envelope.max_hops = self.max_hops;
        envelope.priority = self.priority;
        envelope.constraints.clone_from(&self.constraints);
        envelope.constraints_hash.clone_from(&self.constraints_hash);
        envelope.pins.clone_from(new.pins);
        envelope.pinning.clone_from(&self.pinning);
        envelope.traceparent.clone_from(&self.traceparent);
        envelope.policy = Some(Box::new(Policy {
            on_exhausted: Some(OnExhausted::Fail),
            ..Policy::default()
        }));
        envelope.join = place_in_call(new.set, 0, false);
        envelope.extra.clone_from(&self.extra);
        convert::forget_payload(&mut envelope.extra);
        envelope
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
