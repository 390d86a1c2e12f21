//! How many copies the streams and buckets of the mesh keep: shows and changes that.

use baton_envelope::codes;
use baton_envelope::control::{ControlError, CopiesView, SetReplicas, ShowCopies};
use baton_jetstream::Error;

use crate::context::Context;

/// How many copies a server keeps of a stream at most.
const MOST: u32 = 5;

pub(super) async fn show(cx: &Context, _asked: ShowCopies) -> Result<CopiesView, Error> {
    cx.mesh.copies().await
}

pub(super) async fn set(cx: &Context, asked: SetReplicas) -> Result<CopiesView, Error> {
    let SetReplicas { replicas, by } = asked;
    if !(1..=MOST).contains(&replicas) {
        let message = format!("`replicas` is {replicas}, expected 1 to {MOST}");
        return Err(ControlError::new(codes::BAD_REQUEST, message, "one copy, or 3 or 5 in a cluster").into());
    }
    tracing::info!(replicas, by, "the number of copies of all streams and buckets is set");
    cx.mesh.set_copies(replicas).await
}
