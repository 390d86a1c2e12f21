//! Cancels an intent.

use baton_envelope::control::{CancelIntent, CancelView};
use baton_envelope::{Author, Role};
use baton_jetstream::Error;

use crate::context::Context;

pub(super) async fn cancel(cx: &Context, asked: CancelIntent) -> Result<CancelView, Error> {
    let CancelIntent { intent, reason, by } = asked;
    let author = Author::of(Role::Operator, by);
    let cancelled = cx.mesh.cancel(&intent, &reason, &author).await?;
    cx.tell_taken(cancelled.taken.as_ref()).await;
    if let Some((agent, version)) = &cancelled.of {
        cx.drop_ticket(agent, version, &intent).await;
    }
    Ok(CancelView {
        intent,
        was: cancelled.was,
        seq: cancelled.seq,
    })
}
