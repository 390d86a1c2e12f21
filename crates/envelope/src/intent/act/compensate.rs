//! Undoing what an intent did: it begins, the plan is fixed, one undo after the other is done, and it ends.

use crate::intent::children::{ChildEnd, ChildSet, ChildrenDone};
use crate::intent::draft::Draft;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::{IllegalTransition, Status};
use crate::intent::undo::{NextUndo, PlannedUndo, next_undo};

/// What an intent comes to when all it did is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterUndo {
    /// It fails, with the code of the error.
    Fails,
    /// It is cancelled.
    IsCancelled,
}

/// Begins to undo what the intent has done, because of an error. Nobody holds it from here on, and it waits for nothing that
/// its handler asked for.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn compensate(head: &Snapshot, error: ErrorInfo, then: AfterUndo) -> Result<Draft, IllegalTransition> {
    let draft = Draft::after(head, Event::Compensating)?;
    let mut draft = draft.without_holder().with_error(error.clone());
    let snapshot = &mut draft.snapshot;
    snapshot.waits.clear();
    let undo = snapshot.undo.get_or_insert_default();
    // One that was put back and ends again for another reason ends by the first.
    undo.error.get_or_insert(error);
    undo.fails = then == AfterUndo::Fails;
    Ok(draft)
}

/// Fixes what is undone, the latest first, and asks for the first of them.
///
/// # Errors
/// When the intent is not undone.
pub fn plan_undos(head: &Snapshot, plan: Vec<PlannedUndo>) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Progress)?;
    let undo = draft.snapshot.undo.get_or_insert_default();
    undo.planned = Some(u32::try_from(plan.len()).unwrap_or(u32::MAX));
    draft.snapshot.open_undo();
    draft.undos = plan;
    Ok(draft)
}

/// Records the end of the undo that is at work; `None` when it is not that one, or its end is recorded. One that has completed
/// makes room for the next.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn undone(head: &Snapshot, name: &str, end: ChildEnd) -> Result<Option<Draft>, IllegalTransition> {
    let mut draft = Draft::after(head, Event::ChildDone)?;
    let Some(NextUndo::Undo(_, mut set)) = next_undo(head) else {
        return Ok(None);
    };
    if set.name != name {
        return Ok(None);
    }
    let hop = set.hop;
    let ends = set.record(vec![end]);
    let is_undone = set.completed > 0;
    let snapshot = &mut draft.snapshot;
    snapshot.children.retain(|set| !set.is_undo());
    if is_undone {
        let undo = snapshot.undo.get_or_insert_default();
        undo.done = undo.done.saturating_add(1);
        snapshot.open_undo();
    } else {
        snapshot.children.push(set);
    }
    draft.children.push(ChildrenDone {
        hop,
        name: name.to_owned(),
        ends,
        extra: crate::base::wire::Extra::new(),
    });
    Ok(Some(draft))
}

/// Ends what is undone: it has failed, or is cancelled.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn end_undone(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    let undo = head.undo.as_deref();
    let error = undo.and_then(|undo| undo.error.clone());
    let fails = undo.is_some_and(|undo| undo.fails);
    let code = error.as_ref().map(|error| error.code.clone()).filter(|_| fails);
    let draft = Draft::after(head, Event::Compensated { code })?.without_holder();
    Ok(match error {
        Some(error) => draft.with_error(error),
        None => draft,
    })
}

/// Goes on to undo what a parked intent did, with the undo that had failed. It never goes on with its work.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn undo_again(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Redriven)?.without_holder();
    let snapshot = &mut draft.snapshot;
    snapshot.status = Status::Compensating;
    let has_failed = |set: &&ChildSet| set.is_undo() && set.is_complete();
    if snapshot.children.iter().find(has_failed).is_some() {
        // As new work: no record follows a terminal one.
        let undo = snapshot.undo.get_or_insert_default();
        undo.again = undo.again.saturating_add(1);
        snapshot.open_undo();
    }
    Ok(as_it_began(draft))
}

/// Goes on to undo what an intent did that was put before its agent meanwhile, by a program that knows nothing of undos. What
/// became of the undo that it has come to is looked up once more: one that had failed parks it again.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn undo_on(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Compensating)?.without_holder();
    draft.snapshot.waits.clear();
    Ok(as_it_began(draft))
}

/// With the error because of which it is undone.
fn as_it_began(mut draft: Draft) -> Draft {
    if let Some(error) = draft.snapshot.undo.as_ref().and_then(|undo| undo.error.clone()) {
        draft.snapshot.error = Some(error);
    }
    draft
}
