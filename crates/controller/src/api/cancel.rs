//! Cancels an intent.

use baton_envelope::control::{CancelIntent, CancelView, UndoIntent, UndoView};
use baton_envelope::{Author, IntentId, Role};
use baton_jetstream::{Cancelled, Error};

use crate::context::Context;

pub(super) async fn cancel(cx: &Context, asked: CancelIntent) -> Result<CancelView, Error> {
    let CancelIntent { intent, reason, by } = asked;
    let author = Author::of(Role::Operator, by);
    let cancelled = cx.mesh.cancel(&intent, &reason, &author).await?;
    take_away(cx, &intent, &cancelled).await;
    Ok(CancelView {
        intent,
        was: cancelled.was,
        seq: cancelled.seq,
    })
}

pub(super) async fn undo(cx: &Context, asked: UndoIntent) -> Result<UndoView, Error> {
    let UndoIntent { intent, reason, by } = asked;
    let author = Author::of(Role::Operator, by);
    let cancelled = cx.mesh.cancel_and_undo(&intent, &reason, &author).await?;
    take_away(cx, &intent, &cancelled).await;
    Ok(UndoView {
        intent,
        was: cancelled.was,
        now: cancelled.now,
        seq: cancelled.seq,
    })
}

/// Tells whoever works on it, and takes its ticket away.
async fn take_away(cx: &Context, intent: &IntentId, cancelled: &Cancelled) {
    cx.tell_taken(cancelled.taken.as_ref()).await;
    if let Some((agent, version)) = &cancelled.of {
        cx.drop_ticket(agent, version, intent).await;
    }
}
