//! Begins an intent again from one of its hops.

use baton_envelope::control::{RestartIntent, RestartView};
use baton_envelope::{Author, Role};
use baton_jetstream::{Error, Restarted};

use crate::context::Context;

pub(super) async fn restart(cx: &Context, asked: RestartIntent) -> Result<RestartView, Error> {
    let RestartIntent {
        intent: from,
        hop,
        id,
        reason,
        by,
    } = asked;
    let author = Author::of(Role::Operator, by);
    let restarted = cx.mesh.restart(&from, hop, id, reason.as_deref(), &author).await?;
    let Restarted {
        intent,
        agent,
        seq,
        noted,
    } = restarted;
    Ok(RestartView {
        intent,
        from,
        hop,
        agent,
        seq,
        noted,
    })
}
