//! What the runtime says of a call with three children, asked once.

use baton_envelope::{
    AgentName, Author, Child, ChildEnd, Children, ChildrenDone, Extra, JoinRule, Json, RecordId, Role, Snapshot, Stamp,
    WaitSpec, act, owes_resume,
};

use super::kin::CHILDREN;
use crate::actions::Actor;
use crate::records::{Pen, agent, at, first, intent, version};

/// The name of the call.
const CALL: &str = "ask";

/// The answers.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Whether a parent goes on, by how many ends are recorded and how many of these have completed.
    decided: [[bool; CHILDREN + 1]; CHILDREN + 1],
    /// Whether the children of a parent that waits, that goes on, and that has ended are to be closed.
    pub(super) closes_of_waiting: bool,
    pub(super) closes_of_going_on: bool,
    pub(super) closes_of_ended: bool,
}

impl Rules {
    pub(super) fn of(join: &JoinRule) -> Self {
        let waits = waiting(join);
        let mut decided = [[false; CHILDREN + 1]; CHILDREN + 1];
        for (ended, row) in decided.iter_mut().enumerate() {
            for (completed, is_decided) in row.iter_mut().enumerate().take(ended + 1) {
                *is_decided = owes_resume(&with_ends(&waits, ended, completed));
            }
        }
        let is_over = |parent: &Snapshot| waits.children.iter().any(|set| set.is_over(parent));
        let cancelled = act::cancel(&waits, "enough").map_or_else(|_| waits.clone(), |draft| sealed(draft, 3));
        let goes_on = Snapshot {
            waits: Vec::new(),
            ..waits.clone()
        };
        Self {
            decided,
            closes_of_waiting: is_over(&waits),
            closes_of_going_on: is_over(&goes_on),
            closes_of_ended: is_over(&cancelled),
        }
    }

    /// Whether so many recorded ends, of which so many have completed, let a parent go on.
    pub(super) fn is_decided(&self, ended: usize, completed: usize) -> bool {
        let row = self.decided.get(ended);
        row.and_then(|row| row.get(completed)).copied().unwrap_or_default()
    }
}

/// A parent that waits for its children.
fn waiting(join: &JoinRule) -> Snapshot {
    let envelope = first(0, &Pen::new(Actor::Operator), None);
    let submitted = sealed(act::submit(at(0), version(0), envelope), 1);
    let to: AgentName = agent(0);
    let children = (0..CHILDREN).map(|_| Child {
        to: Some(to.clone()),
        ..Child::new(Json::null())
    });
    let call = WaitSpec::for_children(CALL, Children::new(children.collect(), join.clone()));
    match act::suspend(&submitted, &[call]) {
        Ok(draft) => sealed(draft, 2),
        Err(_) => submitted,
    }
}

fn with_ends(waits: &Snapshot, ended: usize, completed: usize) -> Snapshot {
    let ends = (0_u32..).take(ended).zip(0..);
    let ends = ends.map(|(index, number)| ChildEnd {
        index,
        id: None,
        state: if number < completed { "completed" } else { "failed" }.to_owned(),
        code: None,
        seq: 1,
        spent: None,
        overrun: None,
        extra: Extra::new(),
    });
    let done = ChildrenDone {
        hop: waits.hop,
        name: CALL.to_owned(),
        ends: ends.collect(),
        extra: Extra::new(),
    };
    match act::child_done(waits, &[done]) {
        Ok(Some(draft)) => sealed(draft, 3),
        Ok(None) | Err(_) => waits.clone(),
    }
}

/// The snapshot of the record of a draft.
fn sealed(draft: baton_envelope::Draft, seq: u64) -> Snapshot {
    let place = u8::try_from(seq).unwrap_or(u8::MAX);
    let stamp = Stamp {
        id: RecordId::generate(at(0), [9, place, 0, 0, 0, 0, 0, 0, 0, 0]),
        at: at(0),
        by: Author::of(Role::Controller, "leader"),
    };
    draft
        .seal(intent(0), seq.saturating_sub(1), stamp)
        .snapshot
        .seen_at(seq)
}
