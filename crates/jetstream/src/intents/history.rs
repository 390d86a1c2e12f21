//! The records of an intent, wherever they are: in the ledger, or in the archive some time after it closed.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::FindArchived;
use baton_envelope::{Bundle, BundleError, IntentId, Record, Timestamp};

use crate::error::Error;
use crate::ledger::Head;
use crate::server::Mesh;

/// How long to look for a controller that knows where a bundle is.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a worker looks for one. After finding none it does not look again for [`WITHOUT`].
const WORKER_PATIENCE: Duration = Duration::from_secs(2);
const WITHOUT: Duration = Duration::from_secs(60);
/// How old the last record of an intent must be before asking whether the archive has it. An intent is archived after
/// its grace time (10 min by default), so younger ones are not there; and most work looked at is younger.
const ASK_AFTER: Duration = Duration::from_secs(10);
/// Histories up to this length come in one answer of the server, so no purge can come between.
const ONE_ANSWER: usize = 256;

impl Mesh {
    /// All records of an intent, oldest first, from the ledger or from the archive; empty when there is no such intent.
    ///
    /// # Errors
    /// When the server does not answer, a record is corrupt, or there is no controller to say where an archived intent
    /// is.
    pub async fn trail(&self, intent: &IntentId) -> Result<Vec<Head>, Error> {
        let found = self.history(intent, 1).await?;
        let is_whole = found.first().is_some_and(|first| first.record.is_opening());
        let is_cut = found.len() >= ONE_ANSWER
            && !found
                .last()
                .is_some_and(|last| last.record.snapshot.status.is_terminal())
            && self.head(intent).await?.is_none();
        if is_whole && !is_cut {
            return Ok(found);
        }
        match self.archived(intent).await? {
            Some(bundle) => heads_of(&bundle),
            None => Ok(found),
        }
    }

    /// As [`Mesh::trail`], for an intent whose last record is known to be at `through`, which a replica may not have
    /// yet.
    pub(crate) async fn trail_through(&self, intent: &IntentId, through: u64) -> Result<Vec<Head>, Error> {
        let found = self.history_through(intent, through).await?;
        if found.first().is_some_and(|first| first.record.is_opening()) {
            return Ok(found);
        }
        match self.archived(intent).await? {
            Some(bundle) => heads_of(&bundle),
            None => Ok(found),
        }
    }

    /// The last record of an intent, from the ledger or from the archive.
    ///
    /// # Errors
    /// As [`Mesh::trail`].
    pub async fn last_record(&self, intent: &IntentId) -> Result<Option<Head>, Error> {
        if let Some(head) = self.head(intent).await? {
            return Ok(Some(head));
        }
        let bundle = self.archived(intent).await?;
        Ok(match bundle {
            Some(bundle) => heads_of(&bundle)?.pop(),
            None => None,
        })
    }

    /// The newest bundle of an intent in the archive.
    ///
    /// # Errors
    /// When the archive is not empty and there is no controller to say where the bundle is, or the bundle was altered.
    pub async fn archived(&self, intent: &IntentId) -> Result<Option<Bundle>, Error> {
        if self.archive_is_empty().await? {
            return Ok(None);
        }
        let question = FindArchived {
            intent: intent.clone(),
            submitted_at: None,
        };
        let found = self.ask_controller_within(PATIENCE, &question).await?;
        Ok(self.bundle_of(intent, found.at).await?.map(|(_, bundle)| bundle))
    }

    pub(crate) async fn archive_is_empty(&self) -> Result<bool, Error> {
        match self.archive_end().await {
            Ok(end) => Ok(end.last_seq < end.first_seq.max(1)),
            // The mesh is older than the archive.
            Err(Error::Refused(refusal)) if refusal.code == crate::error::STREAM_NOT_FOUND => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether an intent is closed, whatever its last record in the ledger says: the archive holds it, and that record
    /// came back after a crash, or a process that had been frozen wrote it again. Asks only about records that are old
    /// enough for that. Without a controller nobody knows, and work in flight goes on.
    ///
    /// # Errors
    /// When the question cannot be asked.
    pub async fn is_closed(&self, head: &Head) -> Result<bool, Error> {
        if self.now().since(head.record.snapshot.updated_at) < ASK_AFTER || self.is_without_controller() {
            return Ok(false);
        }
        let question = FindArchived {
            intent: head.record.intent.clone(),
            submitted_at: Some(head.record.snapshot.submitted_at),
        };
        match self.ask_controller_within(WORKER_PATIENCE, &question).await {
            Ok(found) => Ok(found.closed),
            Err(Error::NoController) => {
                self.without_controller_until(tokio::time::Instant::now() + WITHOUT);
                Ok(false)
            }
            // The controllers are older than the archive. Finding out took a while, so do not ask again soon.
            Err(Error::Control(refused)) if refused.code == codes::CONTROLLER_TOO_OLD => {
                self.without_controller_until(tokio::time::Instant::now() + WITHOUT);
                Ok(false)
            }
            Err(Error::Control(_)) => Ok(false),
            // No controller listens, or the permissions are older than the archive: the work goes on all the same.
            Err(Error::NoAnswer { .. } | Error::Denied { .. }) => {
                tracing::warn!(intent = %head.record.intent, "no controller says whether it is archived; assuming not");
                self.without_controller_until(tokio::time::Instant::now() + WITHOUT);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Mesh {
    /// The last record of the bundle at a sequence of the archive; `None` if the archive has since dropped it for its
    /// age.
    pub(crate) async fn last_of_bundle(&self, seq: u64) -> Result<Option<Head>, Error> {
        match self.bundle_at(seq).await {
            Ok(bundle) => Ok(heads_of(&bundle)?.pop()),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The records of a bundle, as the ledger returned them.
pub(super) fn heads_of(bundle: &Bundle) -> Result<Vec<Head>, Error> {
    bundle
        .records
        .iter()
        .map(|stored| Ok(Head::new(Record::decode(&stored.body)?, stored.seq)))
        .collect()
}

/// Whether a bundle holds this life of an intent. An id may be used again once the ledger has forgotten it, so the id
/// alone does not tell. Each life has its own time of submission, which every record contains.
///
/// # Errors
/// When the bundle is not the history of a closed intent.
pub fn holds_life(bundle: &Bundle, submitted_at: Timestamp) -> Result<bool, BundleError> {
    Ok(bundle.verify()?.submitted_at == submitted_at)
}
