//! The index of the archive: follows what is archived, and forgets what the archive or the ledger no longer has.
//!
//! Every controller does this for its own index. Only the leader purges (`rounds/tidy.rs`); the others learn of the
//! purges from the ledger.

use std::time::Duration;

use baton_envelope::IntentId;
use baton_jetstream::Error;

use crate::context::Context;
use crate::duty::Duty;
use crate::projection::{Closed, Handled};

/// How often to check what the leader has purged.
const EVERY: Duration = Duration::from_secs(10);
/// How long to leave an archived intent with a generated id to the leader that archived it.
const SETTLING: Duration = Duration::from_secs(10);
/// How much longer the other controllers wait, so that the leader has purged first.
const OTHERS_LATER: Duration = Duration::from_secs(60);
/// The number of intents on one page: as many heads as one request to the server can name.
const PAGE: usize = 1000;

/// Keeps the index of the archive.
#[derive(Debug)]
pub(crate) struct ArchiveIndex;

impl Duty for ArchiveIndex {
    const NAME: &'static str = "archive index";

    async fn run(self, cx: Context) {
        let both = async {
            tokio::join!(cx.projection.follow_archive(), learn(&cx));
        };
        cx.until_stopped(Box::pin(both)).await;
    }
}

async fn learn(cx: &Context) {
    loop {
        if let Err(error) = learn_once(cx).await {
            tracing::warn!(%error, "cannot compare the index of the archive with the ledger, trying again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn learn_once(cx: &Context) -> Result<(), Error> {
    if let Some(end) = cx.mesh.archive_end().await.ok().filter(|end| end.first_seq > 1) {
        cx.projection.prune_archived(end.first_seq).await?;
    }
    // The leader learns this while it purges.
    if cx.leadership.is_leading() && cx.config.archive.enabled {
        return Ok(());
    }
    loop {
        let page = over(cx, OTHERS_LATER).await?;
        let (is_last, is_stuck) = (page.is_last, !page.there.is_empty());
        cx.projection.handled(page.gone).await?;
        if is_last || is_stuck {
            return Ok(());
        }
    }
}

/// Archived intents of which the ledger should hold nothing.
#[derive(Debug)]
pub(crate) struct Over {
    /// Those of which the ledger has nothing.
    pub(crate) gone: Vec<Handled>,
    /// Those whose last record is still in the ledger.
    pub(crate) there: Vec<Closed>,
    /// Whether this is the last page.
    pub(crate) is_last: bool,
}

/// A page of the archived intents whose time in the ledger ended at least `later` ago. The time of a generated id ends
/// soon after archiving; that of a chosen one after [`ArchiveConfig::keep_chosen_ids`].
///
/// [`ArchiveConfig::keep_chosen_ids`]: crate::config::ArchiveConfig::keep_chosen_ids
pub(crate) async fn over(cx: &Context, later: Duration) -> Result<Over, Error> {
    let now = cx.mesh.now();
    let generated = now.minus(SETTLING + later);
    let chosen = now.minus(cx.config.archive.keep_chosen_ids + later);
    let closed = cx.projection.over_in_ledger(generated, chosen, PAGE).await?;
    let is_last = closed.len() < PAGE;
    let (mut gone, mut there) = (Vec::with_capacity(closed.len()), Vec::new());
    if !closed.is_empty() {
        let intents: Vec<IntentId> = closed.iter().map(|closed| closed.intent.clone()).collect();
        let heads = cx.mesh.heads(&intents).await?;
        for closed in closed {
            let head = heads.iter().find(|head| head.record.intent == closed.intent);
            match head {
                // A newer record belongs to another life of the same id, which is not archived.
                Some(head) if head.seq <= closed.seq => there.push(closed),
                Some(_) | None => gone.push(Handled::Gone(closed.intent)),
            }
        }
    }
    Ok(Over { gone, there, is_last })
}
