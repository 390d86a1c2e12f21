//! What cannot be read: lists it, and repairs one.

use baton_envelope::control::{ListUnreadable, Repair, RepairView, UnreadableView};
use baton_jetstream::Error;

use crate::context::Context;

/// The most entries of an answer, which must fit into a message.
const MOST: usize = 1000;

pub(super) async fn list(cx: &Context, _asked: ListUnreadable) -> Result<UnreadableView, Error> {
    let mut unreadable = cx.mesh.unreadable().await?;
    unreadable.truncate(MOST);
    Ok(UnreadableView { unreadable })
}

pub(super) async fn repair(cx: &Context, asked: Repair) -> Result<RepairView, Error> {
    let Repair { key, force, by } = asked;
    let repaired = cx.mesh.repair(&key, force, &by).await?;
    // What is removed is kept in the log, as far as the answer has it.
    let removed: Vec<String> = repaired
        .removed
        .iter()
        .map(|one| format!("{}: {}", one.seq, one.body_base64))
        .collect();
    tracing::warn!(key, by, ?removed, "repaired: {}", repaired.done);
    Ok(repaired)
}
