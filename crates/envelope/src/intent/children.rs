//! Children: what a parent asks of other agents, which of them have ended, and whether it may go on.
//!
//! A call is a wait whose result comes from children. The record that opens it holds them; the snapshot holds only how many
//! they are and which have ended, so that the head alone tells whether the parent goes on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::amounts::{Amounts, MOST_SHARES, OwedTopUp, Share};
use crate::base::ids::IntentId;
use crate::base::json::Json;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::intent::waits::{OpenWait, WaitKind, WaitSpec};
use crate::message::envelope::Priority;

/// The most children of one call.
pub const MOST_CHILDREN: usize = 10_000;

/// The most ends in one record `child_done`.
pub const MOST_ENDS: usize = 256;

/// The most children of a call for which the record that lets the parent go on spells out the ids. Those of more follow from
/// [`IntentId::of_child`].
pub const MOST_SPELT: usize = 4_096;

wire_enum! {
    /// When a parent goes on.
    #[derive(Default)]
    pub enum JoinRule {
        /// When all children have ended, whatever they came to.
        #[default]
        Collect = "collect",
        /// When all children have completed, or the first of them has come to another end.
        All = "all",
        /// When the first child has completed, or none can any more.
        Any = "any",
        /// When so many children have completed, or that many cannot any more.
        Some = "some",
    }
}

wire_object! {
    /// A child, in the record that opens its call.
    pub struct Child {
        /// The agent that gets it; absent for the one of the call.
        opt to: AgentName,
        /// The kind of work; absent for the one of the call.
        opt kind: String,
        /// The work.
        def payload: Json,
        /// `base64` when the payload is a string of base64.
        opt payload_encoding: String,
        /// Its priority; absent for the one of the parent.
        opt priority: Priority,
        /// When it must be done; never later than its parent allows.
        opt deadline: Timestamp,
        /// What it is lent of the budget; of a meter that is absent, an even share of what is left.
        opt budget: Box<Amounts>,
    }
}

wire_object! {
    /// The children that a call asks for, and when the parent goes on.
    pub struct Children {
        /// The children, in their order.
        req children: Vec<Child>,
        /// The agent of those that name none.
        opt to: AgentName,
        /// The kind of those that name none.
        opt kind: String,
        /// When the parent goes on.
        def join: JoinRule,
        /// How many must complete, for `some`.
        opt need: u32,
        /// Whether children that are still open are left alone when the call or the parent ends. By default they are
        /// cancelled.
        def detach: bool,
        /// What each child begins with of what the tree remembers; absent for what the envelope of the parent says.
        opt context: Json,
        /// Whether the result of a child may be an object: whoever goes on with the hop reads it.
        def result_refs: bool,
    }
}

wire_object! {
    /// The children of a call, in the snapshot of their parent.
    pub struct ChildSet {
        /// The hop of the parent.
        req hop: u32,
        /// The name of the wait.
        req name: String,
        /// How many they are.
        req count: u32,
        /// When the parent goes on.
        def join: JoinRule,
        /// How many must complete, for `some`.
        opt need: u32,
        /// Whether those that are still open are left alone when the call or the parent ends.
        def detach: bool,
        /// The ledger sequence of the record that holds them; absent in that record itself.
        opt seq: u64,
        /// Which have ended: a bit for each child, the lowest of each byte first, in base64 without padding and without the
        /// zero bytes at the end.
        def ended: String,
        /// How many of those have completed.
        def completed: u32,
        /// What the children have been lent, in runs of equal shares, in their order.
        def shares: Vec<Share>,
        /// The top-ups that it owes children that it has lent more, oldest first.
        def owed: Vec<OwedTopUp>,
        /// Short hashes of the last requests to lend more, oldest first.
        opt topped: String,
    }
}

wire_object! {
    /// The end of a child.
    pub struct ChildEnd {
        /// Its place in the call, from 0.
        req index: u32,
        /// Its intent.
        opt id: IntentId,
        /// What it came to: the name of its last status.
        req state: String,
        /// The code of that status.
        opt code: String,
        /// The ledger sequence of its last record.
        req seq: u64,
        /// What it has spent, where it was lent something.
        opt spent: Box<Amounts>,
        /// What it has spent beyond what it had held, and its children beyond what they had been lent.
        opt overrun: Box<Amounts>,
    }
}

wire_object! {
    /// The ends of children of one call, in the record `child_done`.
    pub struct ChildrenDone {
        /// The hop of the parent.
        req hop: u32,
        /// The name of the wait.
        req name: String,
        /// The ends.
        req ends: Vec<ChildEnd>,
    }
}

impl IntentId {
    /// What the ids of the children of a call begin with. It follows from the parent, the hop and the name of the wait, so
    /// that whoever submits a child submits the same one.
    pub fn of_children(parent: &Self, hop: u32, name: &str) -> Self {
        Self::hash_of(&format!("children\n{parent}\n{hop}\n{name}"))
    }

    /// The id of a child: that of its call, and its place in the call.
    pub fn of_child(parent: &Self, hop: u32, name: &str, index: u32) -> Self {
        Self::of_children(parent, hop, name).at_place(index)
    }

    /// The place of a child in its call, if this is the id of one. `call` is what the ids of the call begin with.
    pub fn place_in(&self, call: &Self) -> Option<u32> {
        let place = self.as_str().strip_prefix(call.as_str())?.strip_prefix('-')?;
        place.parse().ok().filter(|index| call.at_place(*index) == *self)
    }
}

impl Child {
    /// A child with this payload, for the agent of its call.
    pub fn new(payload: Json) -> Self {
        Self {
            to: None,
            kind: None,
            payload,
            payload_encoding: None,
            priority: None,
            deadline: None,
            budget: None,
            extra: Extra::new(),
        }
    }
}

impl Children {
    /// These children, with a rule that lets the parent go on.
    pub fn new(children: Vec<Child>, join: JoinRule) -> Self {
        Self {
            children,
            to: None,
            kind: None,
            join,
            need: None,
            detach: false,
            context: None,
            result_refs: false,
            extra: Extra::new(),
        }
    }

    /// Why they cannot be asked for, in words.
    ///
    /// # Errors
    /// No child or too many, one without an agent, or a rule that no children can meet.
    pub fn check(&self) -> Result<(), String> {
        let count = self.children.len();
        if count == 0 {
            return Err("it has no children: name at least one".to_owned());
        }
        if count > MOST_CHILDREN {
            return Err(format!(
                "it has {count} children, and {MOST_CHILDREN} are the most: have children call the others"
            ));
        }
        if let Some(index) = self.children.iter().position(|child| self.agent_of(child).is_none()) {
            return Err(format!(
                "child {index} names no agent in `to`, and neither does the call"
            ));
        }
        let runs = self.runs();
        if runs > MOST_SHARES {
            return Err(format!(
                "its children name {runs} different budgets one after the other, and {MOST_SHARES} are the most: order them by their \
                 budgets"
            ));
        }
        match (&self.join, self.need) {
            (JoinRule::Some, None | Some(0)) => {
                Err("the join \"some\" needs `need`: say how many must complete, at least 1".to_owned())
            }
            (JoinRule::Some, Some(need)) if need as usize > count => Err(format!(
                "`need` is {need}, and it has only {count} children: give at most {count}"
            )),
            (JoinRule::Unknown(rule), _) => Err(format!("the join \"{rule}\" is none of collect, all, any, some")),
            (_, _) => Ok(()),
        }
    }

    /// The agent that gets a child.
    pub fn agent_of<'c>(&'c self, child: &'c Child) -> Option<&'c AgentName> {
        child.to.as_ref().or(self.to.as_ref())
    }

    /// The kind of work of a child.
    pub fn kind_of<'c>(&'c self, child: &'c Child) -> Option<&'c str> {
        child.kind.as_deref().or(self.kind.as_deref())
    }

    /// Says once what all children have in common.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let common = self.children.first().and_then(|first| self.agent_of(first)).cloned();
        if common.is_some()
            && self
                .children
                .iter()
                .all(|child| self.agent_of(child) == common.as_ref())
        {
            for child in &mut self.children {
                child.to = None;
            }
            self.to = common;
        }
        self
    }

    /// The entry of the snapshot for them.
    pub(crate) fn open(&self, hop: u32, name: &str) -> ChildSet {
        ChildSet {
            hop,
            name: name.to_owned(),
            count: u32::try_from(self.children.len()).unwrap_or(u32::MAX),
            join: self.join.clone(),
            need: self.need,
            detach: self.detach,
            seq: None,
            ended: String::new(),
            completed: 0,
            shares: Vec::new(),
            owed: Vec::new(),
            topped: None,
            extra: Extra::new(),
        }
    }
}

impl WaitSpec {
    /// A wait of this name for children.
    pub fn for_children(name: impl Into<String>, children: Children) -> Self {
        Self {
            children: Some(children.shortened()),
            ..Self::new(name, WaitKind::Children)
        }
    }
}

impl ChildSet {
    /// Which children have ended.
    fn bits(&self) -> Vec<u8> {
        STANDARD_NO_PAD.decode(&self.ended).unwrap_or_default()
    }

    /// Whether the end of a child is recorded, for each in its order.
    pub fn ended(&self) -> Vec<bool> {
        let bits = self.bits();
        (0..self.count).map(|index| is_set(&bits, index)).collect()
    }

    /// How many ends are recorded.
    pub fn ended_count(&self) -> u32 {
        self.bits().iter().map(|byte| byte.count_ones()).sum()
    }

    /// Whether all have ended.
    pub fn is_complete(&self) -> bool {
        self.ended_count() >= self.count
    }

    /// Whether the parent may go on, by the ends that are recorded.
    pub fn is_decided(&self) -> bool {
        let (ended, completed) = (self.ended_count(), self.completed);
        let failed = ended.saturating_sub(completed);
        let need = match self.join {
            // An unknown rule of a newer protocol: all ends are what any rule can wait for.
            JoinRule::Collect | JoinRule::Unknown(_) => return ended >= self.count,
            JoinRule::All => self.count,
            JoinRule::Any => 1,
            JoinRule::Some => self.need.unwrap_or(self.count),
        };
        completed >= need || self.count.saturating_sub(failed) < need
    }

    /// Whether the parent still waits for it.
    pub fn is_awaited(&self, parent: &Snapshot) -> bool {
        if self.is_undo() {
            return parent.status == Status::Compensating;
        }
        let is_own =
            |wait: &OpenWait| wait.kind == WaitKind::Children && wait.hop == self.hop && wait.name == self.name;
        !parent.status.is_terminal() && parent.hop == self.hop && parent.waits.iter().any(is_own)
    }

    /// Whether its children that are still open are to be cancelled: nobody waits for them, and nobody said to leave them.
    pub fn is_over(&self, parent: &Snapshot) -> bool {
        !self.detach && !self.is_awaited(parent)
    }

    /// Records ends, and returns those that were new.
    pub(crate) fn record(&mut self, ends: Vec<ChildEnd>) -> Vec<ChildEnd> {
        let mut bits = self.bits();
        let mut new = Vec::with_capacity(ends.len());
        for end in ends {
            if end.index >= self.count || is_set(&bits, end.index) {
                continue;
            }
            set(&mut bits, end.index);
            self.owed.retain(|owed| owed.index != end.index);
            if end.state == Status::Completed.name() {
                self.completed = self.completed.saturating_add(1);
            }
            new.push(end);
        }
        self.ended = STANDARD_NO_PAD.encode(&bits);
        new
    }
}

fn is_set(bits: &[u8], index: u32) -> bool {
    let byte = bits.get(index as usize / 8).copied().unwrap_or_default();
    byte & (1 << (index % 8)) != 0
}

fn set(bits: &mut Vec<u8>, index: u32) {
    let at = index as usize / 8;
    if bits.len() <= at {
        bits.resize(at + 1, 0);
    }
    if let Some(byte) = bits.get_mut(at) {
        *byte |= 1 << (index % 8);
    }
}

/// The children of a wait of the present hop.
pub(crate) fn children_of<'s>(snapshot: &'s Snapshot, wait: &OpenWait) -> Option<&'s ChildSet> {
    snapshot
        .children
        .iter()
        .find(|set| set.hop == wait.hop && set.name == wait.name)
}

/// Takes out of the snapshot what nobody needs to know any more: sets that are over and whose children have all ended, or are
/// left alone.
pub(crate) fn forget_over(snapshot: &mut Snapshot) {
    if snapshot.children.is_empty() {
        return;
    }
    let mut sets = std::mem::take(&mut snapshot.children);
    sets.retain(|set| set.is_awaited(snapshot) || !(set.detach || set.is_complete()));
    snapshot.children = sets;
}

/// The calls of a record that this record opens, with their children.
pub fn opened_calls(waits: &[WaitSpec]) -> impl Iterator<Item = (&str, &Children)> {
    waits
        .iter()
        .filter_map(|wait| Some((wait.name.as_str(), wait.children.as_ref()?)))
}
