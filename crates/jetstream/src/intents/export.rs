//! Reading intents for an export: the closed ones as bundles, from the ledger and from the archive, and the open ones with
//! their records so far.

use std::collections::HashSet;

use baton_envelope::control::ListArchived;
use baton_envelope::{AgentName, Bundle, IntentId, Record, Timestamp};
use futures::StreamExt as _;

use crate::error::Error;
use crate::ledger::Head;
use crate::server::Mesh;

/// How many subjects, or bundles of a page, to read at a time.
const CHUNK: usize = 1000;
/// How many intents to read at the same time.
const AT_ONCE: usize = 32;

/// Which intents to export.
#[derive(Debug, Clone, Default)]
pub struct ExportFilter {
    /// Only those at this agent's turn, or that were there last.
    pub agent: Option<AgentName>,
    /// Only those whose last record is not older.
    pub since: Option<Timestamp>,
}

impl ExportFilter {
    fn matches(&self, agent: Option<&AgentName>, updated_at: Timestamp) -> bool {
        self.agent.as_ref().is_none_or(|wanted| Some(wanted) == agent)
            && self.since.is_none_or(|since| updated_at >= since)
    }
}

impl Mesh {
    /// Gives every matching intent to `take`: its records, and whether it is open. What changes meanwhile is exported as it
    /// was when it was read. Nothing comes twice.
    ///
    /// # Errors
    /// When `take` fails, the server does not answer, or the archive is not empty and no controller says what it has.
    pub async fn export<E: From<Error>>(
        &self,
        filter: &ExportFilter,
        mut take: impl FnMut(Bundle, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        // The lives of an id are told apart by when they were submitted.
        let mut seen: HashSet<(IntentId, Timestamp)> = HashSet::new();
        let subjects = self.ledger_subjects().await?;
        for chunk in subjects.chunks(CHUNK) {
            let mut heads = self.heads_of(chunk).await?;
            heads.retain(|head| {
                let snapshot = &head.record.snapshot;
                filter.matches(snapshot.agent.as_ref(), snapshot.updated_at)
            });
            let read = futures::stream::iter(heads).map(|head| self.whole(head));
            let mut read = std::pin::pin!(read.buffered(AT_ONCE));
            while let Some(whole) = read.next().await {
                let Some((bundle, head)) = whole? else { continue };
                let snapshot = &head.record.snapshot;
                if seen.insert((bundle.intent.clone(), snapshot.submitted_at)) {
                    take(bundle, !snapshot.status.is_terminal())?;
                }
            }
        }
        self.export_archive(filter, &mut seen, take).await
    }

    /// All records of an intent in the ledger; `None` where these are only what the archive has left there.
    async fn whole(&self, head: Head) -> Result<Option<(Bundle, Head)>, Error> {
        let intent = head.record.intent.clone();
        let Some(bundle) = self.stored_records(&intent).await? else {
            return Ok(None);
        };
        // The head may be older than the records by now.
        let (Some(first), Some(last)) = (bundle.records.first(), bundle.records.last()) else {
            return Ok(None);
        };
        if !Record::decode(&first.body).is_ok_and(|record| record.is_opening()) {
            return Ok(None);
        }
        let head = Head::new(Record::decode(&last.body)?, last.seq);
        Ok(Some((bundle, head)))
    }

    async fn export_archive<E: From<Error>>(
        &self,
        filter: &ExportFilter,
        seen: &mut HashSet<(IntentId, Timestamp)>,
        mut take: impl FnMut(Bundle, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.archive_is_empty().await? {
            return Ok(());
        }
        let mut before = None;
        loop {
            let question = ListArchived {
                statuses: Vec::new(),
                agent: filter.agent.clone(),
                before,
                limit: CHUNK,
            };
            let page = self.ask_controller(&question).await?;
            let (count, last) = (page.at.len(), page.at.last().copied());
            let bundles = futures::stream::iter(page.at).map(|seq| self.bundle_at(seq));
            let mut bundles = std::pin::pin!(bundles.buffered(AT_ONCE));
            while let Some(bundle) = bundles.next().await {
                let bundle = match bundle {
                    // Dropped for its age since the page was read.
                    Err(Error::Missing { .. }) => continue,
                    bundle => bundle?,
                };
                let facts = bundle.verify().map_err(|error| Error::Bundle(Box::new(error)))?;
                let is_wanted = filter.matches(facts.agent.as_ref(), facts.ended_at);
                if is_wanted && seen.insert((bundle.intent.clone(), facts.submitted_at)) {
                    take(bundle, false)?;
                }
            }
            before = last;
            if count < CHUNK {
                return Ok(());
            }
        }
    }
}
