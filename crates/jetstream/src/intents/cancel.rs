//! Cancelling an open intent.

use baton_envelope::{AgentName, AgentVersion, Author, IntentId, Status, act};

use super::refused::{cannot_become, why_closed};
use super::taken::TakenFrom;
use crate::error::Error;
use crate::ledger::{Advanced, HeadRef, Known};
use crate::server::ControllerMesh;

/// A cancelled intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// Its status before.
    pub was: String,
    /// The ledger sequence of the record.
    pub seq: u64,
    /// The agent and version whose turn it was.
    pub of: Option<(AgentName, AgentVersion)>,
    /// Whoever may still run what was taken away.
    pub taken: Option<TakenFrom>,
}

impl ControllerMesh {
    /// Cancels an open intent, whatever its status. Its holder is fenced out: the ledger refuses what the holder
    /// commits afterwards. A worker that gets its ticket acks it.
    ///
    /// # Errors
    /// When the intent has ended, is being undone, or does not exist; the error names its status.
    pub async fn cancel(&self, intent: &IntentId, reason: &str, by: &Author) -> Result<Cancelled, Error> {
        let found = self.must_find(intent).await?;
        let (mut was, mut taken) = (String::new(), None);
        let cancelled = self.advance(intent, by, Known::Read(&found), |head, _| {
            let head = head.ok_or_else(|| Error::NoIntent(intent.clone()))?;
            was = head.snapshot.status.to_string();
            taken = TakenFrom::before(intent, head.snapshot);
            match problem(&head) {
                Some(why) => Err(cannot_become(intent, &head.snapshot.status, "cancelled", &why)),
                None => Ok(act::cancel(head.snapshot, reason)?.into()),
            }
        });
        match cancelled.await? {
            Advanced::Committed(committed) => {
                let snapshot = &committed.record.snapshot;
                Ok(Cancelled {
                    was,
                    seq: committed.seq,
                    of: snapshot.agent.clone().zip(snapshot.version.clone()),
                    taken,
                })
            }
            Advanced::Unchanged(_) => Err(Error::NoIntent(intent.clone())),
        }
    }
}

/// Why an intent cannot be cancelled, in words.
fn problem(head: &HeadRef<'_>) -> Option<String> {
    let status = &head.snapshot.status;
    match (status, head.record) {
        (Status::Cancelled, Some(record)) => {
            let reason = record.note.as_deref().unwrap_or("no reason was given");
            let (by, at) = (&record.by.instance, record.at);
            Some(format!("{by} cancelled it at {at} ({reason})"))
        }
        (status, _) => why_closed(status, "cancel"),
    }
}
