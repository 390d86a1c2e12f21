//! Cancels an intent.

use baton_envelope::control::{CancelIntent, CancelView};
use baton_envelope::{Author, Role};
use baton_jetstream::Error;

use crate::context::Context;

pub(super) async fn cancel(cx: &Context, asked: CancelIntent) -> Result<CancelView, Error> {
    let CancelIntent { intent, reason, by } = asked;
    let author = Author::of(Role::Operator, by);
    let cancelled = cx.mesh.cancel(&intent, &reason, &author).await?;
    // A worker acks the ticket when it gets it. Without workers the ticket would wait forever.
    if let Some((agent, version)) = &cancelled.of
        && cx.workers.count(agent, version) == 0
        && let Err(error) = cx.mesh.drop_superseded(agent, version).await
    {
        tracing::debug!(%error, %intent, "left its ticket to the next worker or to the end of the drain");
    }
    Ok(CancelView {
        intent,
        was: cancelled.was,
        seq: cancelled.seq,
    })
}
