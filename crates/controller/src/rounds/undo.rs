//! Undoing what an intent did: when its children are closed the plan is fixed, and one undo after the other runs as a child.
//!
//! It is a part of the round of [children](super::children), which comes here for each parent that is undone. Everything follows
//! from the head, so that another leader goes on where this one stopped.

use baton_envelope::{ChildSet, IntentId, NextUndo};
use baton_jetstream::{ChildNow, Head};

use super::children::{LATER, end_of, row_now};
use crate::projection::{ChildRow, Look};
use crate::rounds::error::RoundError;
use crate::rounds::term::Term;

/// Does what comes next, and tells when to look again.
pub(super) async fn go_on(term: &Term, head: &Head, next: NextUndo, rows: &[ChildRow]) -> Result<Look, RoundError> {
    let cx = term.in_charge()?;
    let intent = &head.record.intent;
    match next {
        // Their ends are recorded first.
        NextUndo::Children => {}
        NextUndo::Plan => {
            cx.mesh.plan_undos(head, &cx.by).await?;
            tracing::info!(%intent, "what it did is undone");
        }
        NextUndo::Undo(place, set) => return undo(term, head, (place, &set), rows).await,
        NextUndo::Failed(place, set) => {
            let child = child_of(intent, &set);
            let now = now(term, &child).await?;
            let why = match now.as_ref().and_then(|now| now.head.as_ref()) {
                Some(undo) if undo.record.snapshot.parent.as_ref() == Some(intent) => {
                    let snapshot = &undo.record.snapshot;
                    let error = snapshot.error.as_ref().map(|error| format!(": {}", error.message));
                    format!("failed: {child} is {}{}", snapshot.status, error.unwrap_or_default())
                }
                Some(_) | None => format!("failed: {child} is lost, or other work"),
            };
            let cx = term.in_charge()?;
            cx.mesh.park_undoing(head, place, &why, &cx.by).await?;
            tracing::warn!(%intent, "an undo {why}");
        }
        NextUndo::End => {
            cx.mesh.end_undone(head, &cx.by).await?;
            tracing::info!(%intent, "all it did is undone");
        }
    }
    Ok(Look::WhenMoved)
}

/// Submits the undo at a place of the plan, or records its end.
async fn undo(term: &Term, head: &Head, (place, set): (u32, &ChildSet), rows: &[ChildRow]) -> Result<Look, RoundError> {
    let cx = term.in_charge()?;
    let child = child_of(&head.record.intent, set);
    let looked_at = cx.mesh.now();
    let known = rows.iter().find(|row| row.child == child).cloned();
    let row = match known {
        Some(row) => Some(row),
        None => {
            let now = now(term, &child).await?;
            now.and_then(|now| row_now(&head.record.intent, &child, &now))
        }
    };
    let cx = term.in_charge()?;
    match row {
        None => {
            let submitted = cx.mesh.submit_undo(head, (place, &set.name), &cx.by, looked_at);
            if !submitted.await? {
                return Ok(Look::At(cx.mesh.now().plus(LATER)));
            }
            tracing::debug!(%child, "an undo is submitted");
        }
        Some(row) if row.ended => {
            let end = end_of(0, &row);
            cx.mesh.record_undone(head, &set.name, &end, &cx.by).await?;
        }
        Some(row) if row.state == "parked" => {
            cx.mesh.give_up_undo(&child, &cx.by).await?;
            // One that somebody paused stays, and is looked at again.
            return Ok(Look::At(cx.mesh.now().plus(LATER)));
        }
        Some(_) => {}
    }
    Ok(Look::WhenMoved)
}

fn child_of(intent: &IntentId, set: &ChildSet) -> IntentId {
    IntentId::of_child(intent, set.hop, &set.name, 0)
}

/// What stands under the id of an undo, in ledger or archive.
async fn now(term: &Term, child: &IntentId) -> Result<Option<ChildNow>, RoundError> {
    let cx = term.in_charge()?;
    let found = cx.mesh.children_now(&[(child.clone(), None)]).await?;
    Ok(found.into_iter().next())
}
