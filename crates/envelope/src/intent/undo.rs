//! Undo: what takes back a step or a hop, in which order, and how far an intent is with that.
//!
//! Each undo is a child of its own, one after the other. The snapshot holds only how many there are and how many are done, so
//! that the head alone tells what comes next; whose they are stands in the record that fixed the plan, and what each is asked
//! in the record that named it.

use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::names::AgentName;
use crate::base::wire::{Extra, wire_object};
use crate::intent::children::{ChildSet, ChildrenDone, JoinRule};
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::record::Record;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;

/// The most undos that the steps and hops of one intent may name.
pub const MOST_UNDOS: u32 = 1_000;

/// What the names of the waits for undos begin with. No handler can ask for a wait of such a name.
const UNDO: &str = "undo#";

wire_object! {
    /// What takes back a step or a hop: work for an agent.
    pub struct Undo {
        /// The agent that takes it back.
        req agent: AgentName,
        /// The kind of work.
        opt kind: String,
        /// The work.
        def payload: Json,
        /// `base64` when the payload is a string of base64.
        opt payload_encoding: String,
    }
}

wire_object! {
    /// An undo of a plan: what it takes back.
    pub struct PlannedUndo {
        /// The hop.
        req hop: u32,
        /// The step; absent for the hop itself.
        opt step: String,
        /// The agent that takes it back.
        req agent: AgentName,
    }
}

wire_object! {
    /// What an intent can take back, and how far it is with that.
    #[derive(Default)]
    pub struct Undoing {
        /// How many steps and hops have named their undo.
        def named: u32,
        /// Why they are undone, once that has begun.
        opt error: ErrorInfo,
        /// Whether the intent fails with the code of that error when all is undone; else it is cancelled.
        def fails: bool,
        /// How many undos the plan has, once it is fixed.
        opt planned: u32,
        /// How many of them are done, the latest step or hop first.
        def done: u32,
        /// How often somebody put the intent back after an undo had failed.
        def again: u32,
    }
}

impl Undo {
    /// Takes something back with this payload.
    pub fn new(agent: AgentName, payload: Json) -> Self {
        Self {
            agent,
            kind: None,
            payload,
            payload_encoding: None,
            extra: Extra::new(),
        }
    }
}

impl PlannedUndo {
    /// What it takes back, in words.
    pub fn what(&self) -> String {
        match &self.step {
            Some(step) => format!("step \"{step}\" of hop {}", self.hop),
            None => format!("hop {}", self.hop),
        }
    }
}

impl Undoing {
    /// The children that the next undo of the plan is: one, that nobody but the undoing waits for.
    pub(crate) fn next_set(&self, hop: u32) -> ChildSet {
        let number = self.done.saturating_add(1);
        let name = match self.again {
            0 => format!("{UNDO}{number}"),
            again => format!("{UNDO}{number}.{again}"),
        };
        ChildSet {
            hop,
            name,
            count: 1,
            join: JoinRule::Collect,
            need: None,
            // A controller that knows nothing of undos leaves such children alone.
            detach: true,
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

impl ChildSet {
    /// Whether it is an undo.
    pub fn is_undo(&self) -> bool {
        self.name.starts_with(UNDO)
    }
}

impl ChildrenDone {
    /// Whether these are the ends of an undo.
    pub fn is_undo(&self) -> bool {
        self.name.starts_with(UNDO)
    }
}

impl Snapshot {
    /// Whether something may have to be undone should the intent end now: a step or a hop has named its undo, or a child is
    /// open that may have.
    pub fn has_to_undo(&self) -> bool {
        let is_named = self.undo.as_ref().is_some_and(|undo| undo.named > 0);
        is_named || self.children.iter().any(|set| !set.detach && !set.is_complete())
    }

    /// Whether it has begun to undo what it did: it ends by that, whatever happens in between.
    pub fn is_undoing(&self) -> bool {
        self.undo.as_ref().is_some_and(|undo| undo.error.is_some())
    }

    pub(crate) fn count_undo(&mut self) {
        let undo = self.undo.get_or_insert_default();
        undo.named = undo.named.saturating_add(1);
    }

    /// Opens the next undo of the plan; nothing when all are done.
    pub(crate) fn open_undo(&mut self) {
        self.children.retain(|set| !set.is_undo());
        let Some(undo) = &self.undo else { return };
        if undo.done < undo.planned.unwrap_or_default() {
            self.children.push(undo.next_set(self.hop));
        }
    }
}

/// The undos of an intent, the latest first, each with what it takes back: of its records, oldest first.
pub fn undos<'r>(history: impl IntoIterator<Item = &'r Record>) -> Vec<(PlannedUndo, &'r Undo)> {
    let mut found = Vec::new();
    let mut hop = 0;
    for record in history {
        let step = record.step.as_ref();
        let named = if record.event == Event::HandedOff {
            // The record has the hop that begins.
            record.undo.as_deref().map(|undo| (None, undo))
        } else {
            step.and_then(|step| Some((Some(step.name.clone()), step.undo.as_deref()?)))
        };
        if let Some((step, undo)) = named {
            let of = if step.is_some() { record.snapshot.hop } else { hop };
            let planned = PlannedUndo {
                hop: of,
                step,
                agent: undo.agent.clone(),
                extra: Extra::new(),
            };
            found.push((planned, undo));
        }
        hop = record.snapshot.hop;
    }
    if !Mutant::P10OldestFirst.is_on() {
        found.reverse();
    }
    found
}

/// What comes next of an intent that is undone.
#[derive(Debug, Clone, PartialEq)]
pub enum NextUndo {
    /// Its children are closed: some of them are open.
    Children,
    /// The plan is fixed.
    Plan,
    /// The undo with this place in the plan, from 0, is the child of this set.
    Undo(u32, ChildSet),
    /// The undo with this place in the plan has failed.
    Failed(u32, ChildSet),
    /// It ends: all is undone.
    End,
}

/// What comes next of an intent that is undone; `None` for one that is not. A function of the head alone: any leader may ask it
/// at any time.
pub fn next_undo(head: &Snapshot) -> Option<NextUndo> {
    let undo = head.undo.as_deref().cloned().unwrap_or_default();
    if head.status != Status::Compensating {
        return None;
    }
    if head
        .children
        .iter()
        .any(|set| !(set.is_undo() || set.detach || set.is_complete()))
    {
        return Some(NextUndo::Children);
    }
    let Some(planned) = undo.planned else {
        return Some(NextUndo::Plan);
    };
    if undo.done >= planned {
        return Some(NextUndo::End);
    }
    // An older writer may have dropped the set: what it was follows from the counts.
    let own = undo.next_set(head.hop);
    let set = head.children.iter().find(|set| set.name == own.name);
    Some(match set {
        Some(set) if set.is_complete() => NextUndo::Failed(undo.done, set.clone()),
        Some(set) => NextUndo::Undo(undo.done, set.clone()),
        None => NextUndo::Undo(undo.done, own),
    })
}
