//! Following the archive: what the headers of each bundle say.

use baton_envelope::{
    AgentName, BundleFacts, HEADER_ENDED, HEADER_GENERATED, HEADER_INTENT, HEADER_LEDGER_SEQUENCE, HEADER_PART,
    HEADER_STATUS, HEADER_SUBMITTED, IntentId, Timestamp,
};

use crate::error::Error;
use crate::ledger::{Followable, Followed, LedgerMark, Tail};
use crate::server::{ControllerMesh, header_u64};

/// What the index of the archive keeps about a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveNote {
    /// The sequence of its last part in the archive stream.
    pub archive_seq: u64,
    /// When that was stored, in milliseconds since the Unix epoch.
    pub archived_at: Timestamp,
    /// The intent.
    pub intent: IntentId,
    /// What the archive says about it.
    pub facts: BundleFacts,
}

/// The next bundles of the archive.
#[derive(Debug)]
pub struct ArchiveBatch {
    /// One for each complete bundle, in order.
    pub notes: Vec<ArchiveNote>,
    /// Everything up to here is now known.
    pub through: LedgerMark,
}

/// Follows the archive.
#[derive(Debug)]
pub struct ArchiveTail {
    tail: Tail,
    prefix: String,
}

impl ControllerMesh {
    /// Follows the archive created at `created`, starting after `after`, without the bodies.
    pub fn tail_archive(&self, created: &str, after: LedgerMark) -> ArchiveTail {
        let of = Followable {
            stream: self.subjects().archive_stream(),
            subjects: self.subjects().archive_all(),
            headers_only: true,
        };
        let prefix = self.subjects().archive_all().trim_end_matches('*').to_owned();
        ArchiveTail {
            tail: self.tail(of, created, after),
            prefix,
        }
    }
}

impl ArchiveTail {
    /// Waits for the next bundles. `None` when the archive is a different one, or lost messages.
    ///
    /// # Errors
    /// As [`LedgerTail::next_batch`](crate::LedgerTail::next_batch).
    pub async fn next_batch(&mut self) -> Result<Option<ArchiveBatch>, Error> {
        let prefix = &self.prefix;
        Ok(self.tail.next_batch().await?.map(|batch| ArchiveBatch {
            notes: batch.followed.iter().filter_map(|one| note(one, prefix)).collect(),
            through: batch.through,
        }))
    }
}

/// What a message of the archive says in its headers; `None` for all parts but the last.
fn note(one: &Followed, prefix: &str) -> Option<ArchiveNote> {
    let headers = one.message.headers.as_ref();
    let header = |name: &str| {
        headers
            .and_then(|headers| headers.get(name))
            .map(|value| value.as_str())
    };
    if let Some((part, parts)) = header(HEADER_PART).and_then(|text| text.split_once('/'))
        && part != parts
    {
        return None;
    }
    let read = || -> Option<ArchiveNote> {
        let agent: Option<AgentName> = one.message.subject.strip_prefix(prefix)?.parse().ok();
        let millis = i64::try_from(one.stored / 1_000_000).ok()?;
        Some(ArchiveNote {
            archive_seq: one.seq,
            archived_at: Timestamp::from_unix_millis(millis),
            intent: header(HEADER_INTENT)?.parse().ok()?,
            facts: BundleFacts {
                status: header(HEADER_STATUS)?.to_owned(),
                agent,
                seq: header_u64(headers, HEADER_LEDGER_SEQUENCE)?,
                submitted_at: header(HEADER_SUBMITTED)?.parse().ok()?,
                ended_at: header(HEADER_ENDED)?.parse().ok()?,
                generated: header(HEADER_GENERATED).is_some(),
            },
        })
    };
    let note = read();
    if note.is_none() {
        tracing::warn!(seq = one.seq, subject = %one.message.subject, "a message of the archive is not a bundle");
    }
    note
}
