//! The archive, asked: where the bundles of an intent stand, a page of all of them, how it stands.

use std::time::Duration;

use baton_envelope::Bundle;
use baton_jetstream::control::{AboutArchive, ArchiveFind, ArchiveFound, ArchiveList, ArchivePage, ArchiveStatus};
use baton_jetstream::{Error, holds_life};

use crate::context::Office;

/// How long the index may take to catch up with the archive before something is said not to be there.
const CATCH_UP: Duration = Duration::from_secs(8);
/// The most bundles of one page.
const PAGE: usize = 1000;

pub(super) async fn find(office: &Office, asked: ArchiveFind) -> Result<ArchiveFound, Error> {
    let mut at = office.projection.find_archived(&asked.intent).await?;
    if at.is_empty() {
        // It may have been archived by another controller a moment ago, and purged since.
        office.projection.archive_caught_up(CATCH_UP).await?;
        at = office.projection.find_archived(&asked.intent).await?;
    }
    let mut closed = false;
    if let Some(submitted_at) = asked.submitted_at
        && let Some((_, bundle)) = bundle(office, &asked, &at).await?
    {
        closed = holds_life(&bundle, submitted_at).map_err(|error| Error::Bundle(Box::new(error)))?;
    }
    Ok(ArchiveFound { at, closed })
}

async fn bundle(office: &Office, asked: &ArchiveFind, at: &[u64]) -> Result<Option<(u64, Bundle)>, Error> {
    office.mesh.bundle_of(&asked.intent, at.to_vec()).await
}

pub(super) async fn list(office: &Office, asked: ArchiveList) -> Result<ArchivePage, Error> {
    let before = asked.before.unwrap_or(u64::MAX);
    let limit = asked.limit.min(PAGE);
    let (matched, at) = office
        .projection
        .list_archived(asked.statuses, asked.agent, before, limit)
        .await?;
    Ok(ArchivePage { matched, at })
}

pub(super) async fn status(office: &Office, _asked: AboutArchive) -> Result<ArchiveStatus, Error> {
    let until = office.mesh.now().minus(office.archive.grace);
    let standing = office.projection.archive_standing(until).await?;
    Ok(ArchiveStatus {
        enabled: office.archive.enabled,
        grace_seconds: office.archive.grace.as_secs(),
        archived: standing.archived,
        waiting: standing.waiting,
        due: standing.due,
        oldest_due: standing.oldest_due,
        kept: standing.kept,
        failing: standing.failing,
        problem: standing.problem,
    })
}
