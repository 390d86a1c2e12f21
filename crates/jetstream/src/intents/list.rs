//! Listing intents: the subjects of the ledger, and the last record of each.

use std::collections::HashSet;
use std::time::Duration;

use baton_envelope::control::ListArchived;
use baton_envelope::{AgentName, IntentId, Record, Status};
use futures::StreamExt as _;

use crate::error::Error;
use crate::ledger::Head;
use crate::server::Mesh;

/// How many subjects to read at once. The server refuses more than 1,024.
const CHUNK: usize = 1000;
/// How many bundles to read at the same time.
const AT_ONCE: usize = 32;
/// How many more bundles to read than requested. Several are written at a time, so bundles of intents that closed at
/// about the same time are in any order in the archive, and a list has the order of the ledger.
const SWAPPED: usize = 64;
/// How long to look for a controller that knows the archive.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which intents to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only with one of these status names; empty for all.
    pub statuses: Vec<String>,
    /// Only those at this agent's turn.
    pub agent: Option<AgentName>,
    /// At most this many, newest first; 0 for all.
    pub limit: usize,
}

/// The intents that were found.
#[derive(Debug, Default)]
pub struct Listed {
    /// The heads, newest first.
    pub heads: Vec<Head>,
    /// How many matched, including those cut off by the limit.
    pub matched: usize,
    /// Whether the archive was searched too, which takes a controller. If not, this holds only what the ledger has.
    pub is_complete: bool,
}

/// The matching intents in the archive.
#[derive(Debug, Default)]
struct Archive {
    heads: Vec<Head>,
    matched: usize,
}

impl Mesh {
    /// The intents that match, in the ledger and in the archive.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Listed, Error> {
        let counted = self.counted_subjects().await?;
        let names: Vec<String> = counted.subjects.keys().cloned().collect();
        let mut heads = Vec::new();
        for chunk in names.chunks(CHUNK) {
            heads.extend(
                self.heads_of(chunk)
                    .await?
                    .into_iter()
                    .filter(|head| filter.matches(&head.record)),
            );
        }
        // After the ledger: what is archived meanwhile is in one of the two at least.
        let archive = if filter.wants_closed() {
            self.list_archive(filter).await?
        } else {
            Some(Archive::default())
        };
        let is_complete = archive.is_some();
        let mut matched = heads.len();
        if let Some(archive) = archive {
            // What remains of an archived intent is the last record of its bundle. Skip it: the bundle is listed with
            // all the others. The same goes for an intent that was just archived and is not purged yet.
            let known: HashSet<(&IntentId, u64)> = archive
                .heads
                .iter()
                .map(|head| (&head.record.intent, head.seq))
                .collect();
            heads.retain(|head| {
                let subject = self.subjects().ledger(&head.record.intent);
                // One that is open and has a single record has lost the others, and is in no archive.
                let is_closed = head.record.snapshot.status.is_terminal();
                // One that has ended since the records were counted had one then, and has more now.
                let is_alone = counted.subjects.get(&subject) == Some(&1) && head.seq <= counted.through;
                let is_remainder = is_closed && is_alone && !head.record.is_opening();
                !is_remainder && !known.contains(&(&head.record.intent, head.seq))
            });
            matched = heads.len() + archive.matched;
            heads.extend(archive.heads);
        }
        heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
        if filter.limit > 0 {
            heads.truncate(filter.limit);
        }
        Ok(Listed {
            heads,
            matched,
            is_complete,
        })
    }

    /// The matching intents in the archive; `None` when there is no controller to ask.
    async fn list_archive(&self, filter: &Filter) -> Result<Option<Archive>, Error> {
        let mut found = Archive::default();
        if self.archive_is_empty().await? {
            return Ok(Some(found));
        }
        let mut before = None;
        let mut left = match filter.limit {
            0 => usize::MAX,
            limit => limit.saturating_add(SWAPPED),
        };
        while left > 0 {
            let limit = left.min(CHUNK);
            let question = ListArchived {
                statuses: filter.statuses.clone(),
                agent: filter.agent.clone(),
                before,
                limit,
            };
            let page = match self.ask_controller_within(PATIENCE, &question).await {
                Err(Error::NoController) => return Ok(None),
                asked => asked?,
            };
            found.matched = usize::try_from(page.matched).unwrap_or(usize::MAX);
            let (count, last) = (page.at.len(), page.at.last().copied());
            let bundles = futures::stream::iter(page.at).map(|seq| self.last_of_bundle(seq));
            let mut bundles = std::pin::pin!(bundles.buffered(AT_ONCE));
            while let Some(head) = bundles.next().await {
                found.heads.extend(head?);
            }
            left = left.saturating_sub(count);
            before = last;
            if count < limit {
                break;
            }
        }
        Ok(Some(found))
    }

    /// The head of an intent in the ledger, or an error that says there is none.
    ///
    /// # Errors
    /// `NoIntent`; `Archived` when the intent is closed and only the archive has it; or when the server does not
    /// answer.
    pub async fn must_find(&self, intent: &IntentId) -> Result<Head, Error> {
        if let Some(head) = self.head(intent).await? {
            return Ok(head);
        }
        match self.last_record(intent).await? {
            Some(head) if head.record.snapshot.status.is_terminal() => Err(Error::Archived {
                intent: intent.clone(),
                status: head.record.snapshot.status.to_string(),
            }),
            Some(head) => Ok(head),
            None => Err(Error::NoIntent(intent.clone())),
        }
    }
}

impl Filter {
    /// Whether a closed intent could match.
    fn wants_closed(&self) -> bool {
        self.statuses.is_empty() || self.statuses.iter().any(|name| !Status::OPEN.contains(&name.as_str()))
    }

    fn matches(&self, record: &Record) -> bool {
        let snapshot = &record.snapshot;
        (self.statuses.is_empty() || self.statuses.iter().any(|name| name == snapshot.status.name()))
            && (self.agent.is_none() || self.agent == snapshot.agent)
    }
}
