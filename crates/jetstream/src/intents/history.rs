//! The records of an intent wherever they are: in the ledger, or in the archive once it was closed for a while.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::FindArchived;
use baton_envelope::{Bundle, BundleError, IntentId, Record, Timestamp};

use crate::error::Error;
use crate::ledger::Head;
use crate::server::Mesh;

/// How long a controller is looked for that knows where a bundle stands.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a worker looks for one; after it found none it does not look again for [`WITHOUT`].
const WORKER_PATIENCE: Duration = Duration::from_secs(2);
const WITHOUT: Duration = Duration::from_secs(60);
/// How old the last record of an intent is at least before it is asked whether the archive has it. An intent is archived
/// when its grace time (10 min by default) is over, so what is younger is not there; and most work that is looked at
/// is younger.
const ASK_AFTER: Duration = Duration::from_secs(10);
/// Histories up to this length come in one answer of the server, so no purge can come in between.
const ONE_ANSWER: usize = 256;

impl Mesh {
    /// All records of an intent, oldest first, from the ledger or from the archive; empty when there is no such intent.
    ///
    /// # Errors
    /// When the server does not answer, a record cannot be read, or no controller is there to say where an archived
    /// intent stands.
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

    /// As [`Mesh::trail`], of an intent whose last record is known to stand at `through`, which a replica may not have yet.
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
    /// When no controller is there to say where it stands and the archive is not empty, or the bundle was altered.
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
            // A mesh of before there was an archive.
            Err(Error::Refused(refusal)) if refusal.code == crate::error::STREAM_NOT_FOUND => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether an intent is closed, whatever its last record in the ledger says: the archive holds it, and that record
    /// came back after a crash, or was written again by somebody who had been frozen. Asked only of records that are old
    /// enough for that. Where no controller is there, nobody knows, and work in flight goes on without one.
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
            // Controllers of before there was an archive. That took a while to find out, so it is not asked again soon.
            Err(Error::Control(refused)) if refused.code == codes::CONTROLLER_TOO_OLD => {
                self.without_controller_until(tokio::time::Instant::now() + WITHOUT);
                Ok(false)
            }
            Err(Error::Control(_)) => Ok(false),
            // None that hears this, or permissions of before there was an archive: the work goes on all the same.
            Err(Error::NoAnswer { .. }) => {
                tracing::warn!(intent = %head.record.intent, "no controller says whether it is archived; it is taken for open");
                self.without_controller_until(tokio::time::Instant::now() + WITHOUT);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Mesh {
    /// The last record of the bundle at a sequence of the archive; `None` when it was dropped for its age meanwhile.
    pub(crate) async fn last_of_bundle(&self, seq: u64) -> Result<Option<Head>, Error> {
        match self.bundle_at(seq).await {
            Ok(bundle) => Ok(heads_of(&bundle)?.pop()),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The records of a bundle, as the ledger gave them.
fn heads_of(bundle: &Bundle) -> Result<Vec<Head>, Error> {
    bundle
        .records
        .iter()
        .map(|stored| Ok(Head::new(Record::decode(&stored.body)?, stored.seq)))
        .collect()
}

/// Whether a bundle holds this life of an intent. An id may be used again when the ledger does not remember it any more,
/// so the id alone does not tell; each of its lives was submitted at another time, which every record says.
///
/// # Errors
/// When the bundle is not the history of a closed intent.
pub fn holds_life(bundle: &Bundle, submitted_at: Timestamp) -> Result<bool, BundleError> {
    Ok(bundle.verify()?.submitted_at == submitted_at)
}
