//! Questions about the archive: where an intent's bundles are, a page of all bundles, and how much waits.

use std::time::Duration;

use baton_envelope::Bundle;
use baton_envelope::control::{ArchiveFound, ArchivePage, ArchiveStatus, FindArchived, ListArchived, ShowArchive};
use baton_jetstream::{Error, holds_life};

use crate::context::Context;

/// How long the index may take to catch up with the archive before a bundle counts as missing.
const CATCH_UP: Duration = Duration::from_secs(8);
/// The most bundles on one page.
const PAGE: usize = 1000;

pub(super) async fn find(cx: &Context, asked: FindArchived) -> Result<ArchiveFound, Error> {
    let mut at = cx.projection.find_archived(&asked.intent).await?;
    if at.is_empty() {
        // Another controller may have archived and purged it a moment ago.
        cx.projection.archive_caught_up(CATCH_UP).await?;
        at = cx.projection.find_archived(&asked.intent).await?;
    }
    let mut closed = false;
    if let Some(submitted_at) = asked.submitted_at
        && let Some((_, bundle)) = bundle(cx, &asked, &at).await?
    {
        closed = holds_life(&bundle, submitted_at).map_err(|error| Error::Bundle(Box::new(error)))?;
    }
    Ok(ArchiveFound { at, closed })
}

async fn bundle(cx: &Context, asked: &FindArchived, at: &[u64]) -> Result<Option<(u64, Bundle)>, Error> {
    cx.mesh.bundle_of(&asked.intent, at.to_vec()).await
}

pub(super) async fn list(cx: &Context, asked: ListArchived) -> Result<ArchivePage, Error> {
    let before = asked.before.unwrap_or(u64::MAX);
    let limit = asked.limit.min(PAGE);
    let (matched, at) = cx
        .projection
        .list_archived(asked.statuses, asked.agent, before, limit)
        .await?;
    Ok(ArchivePage { matched, at })
}

pub(super) async fn status(cx: &Context, _asked: ShowArchive) -> Result<ArchiveStatus, Error> {
    let until = cx.mesh.now().minus(cx.config.archive.grace);
    let standing = cx.projection.archive_standing(until).await?;
    Ok(ArchiveStatus {
        enabled: cx.config.archive.enabled,
        grace_seconds: cx.config.archive.grace.as_secs(),
        archived: standing.archived,
        waiting: standing.waiting,
        due: standing.due,
        oldest_due: standing.oldest_due,
        kept: standing.kept,
        failing: standing.failing,
        problem: standing.problem,
        incomplete: standing.incomplete,
    })
}
