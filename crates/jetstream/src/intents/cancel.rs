//! Cancelling an open intent.

use baton_envelope::{
    AgentName, AgentVersion, Author, Draft, ErrorInfo, IllegalTransition, IntentId, Snapshot, Status, act, codes,
};

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
    /// Its status now.
    pub now: String,
    /// The ledger sequence of the record.
    pub seq: u64,
    /// The agent and version whose turn it was.
    pub of: Option<(AgentName, AgentVersion)>,
    /// Whoever may still run what was taken away.
    pub taken: Option<TakenFrom>,
}

/// What happens to what an intent did when it is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undoes {
    /// It stays.
    Nothing,
    /// It is undone.
    What,
}

impl ControllerMesh {
    /// Cancels an open intent, whatever its status. Its holder is fenced out: the ledger refuses what the holder
    /// commits afterwards. A worker that gets its ticket acks it.
    ///
    /// # Errors
    /// When the intent has ended, is being undone, or does not exist; the error names its status.
    pub async fn cancel(&self, intent: &IntentId, reason: &str, by: &Author) -> Result<Cancelled, Error> {
        self.end(intent, reason, by, Undoes::Nothing).await
    }

    /// As [`ControllerMesh::cancel`], and what the intent did is undone first: it is cancelled when that is done. With nothing to
    /// undo it is cancelled at once.
    ///
    /// # Errors
    /// As [`ControllerMesh::cancel`]; and when an undo of it has failed already.
    pub async fn cancel_and_undo(&self, intent: &IntentId, reason: &str, by: &Author) -> Result<Cancelled, Error> {
        self.end(intent, reason, by, Undoes::What).await
    }

    async fn end(&self, intent: &IntentId, reason: &str, by: &Author, undoes: Undoes) -> Result<Cancelled, Error> {
        let found = self.must_find(intent).await?;
        let (mut was, mut taken) = (String::new(), None);
        let cancelled = self.advance(intent, by, Known::Read(&found), |head, _| {
            let head = head.ok_or_else(|| Error::NoIntent(intent.clone()))?;
            was = head.snapshot.status.to_string();
            taken = TakenFrom::before(intent, head.snapshot);
            let (wanted, why) = match undoes {
                Undoes::Nothing => ("cancelled", problem(&head)),
                Undoes::What => ("compensating", problem(&head).or_else(|| undone_already(head.snapshot))),
            };
            match why {
                Some(why) => Err(cannot_become(intent, &head.snapshot.status, wanted, &why)),
                None if undoes == Undoes::What => Ok(undo(head.snapshot, reason)?.into()),
                None => Ok(act::cancel(head.snapshot, reason)?.into()),
            }
        });
        match cancelled.await? {
            Advanced::Committed(committed) => {
                let snapshot = &committed.record.snapshot;
                Ok(Cancelled {
                    was,
                    now: snapshot.status.to_string(),
                    seq: committed.seq,
                    of: snapshot.agent.clone().zip(snapshot.version.clone()),
                    taken,
                })
            }
            Advanced::Unchanged(_) => Err(Error::NoIntent(intent.clone())),
        }
    }
}

/// Cancels an intent once what it did is undone.
pub(super) fn undo(head: &Snapshot, reason: &str) -> Result<Draft, IllegalTransition> {
    if !head.has_to_undo() {
        return act::cancel(head, reason);
    }
    let error = ErrorInfo::new(codes::CANCELLED, reason);
    let draft = act::compensate(head, error, act::AfterUndo::IsCancelled)?;
    Ok(draft.with_note(Some(reason.to_owned())))
}

fn undone_already(head: &Snapshot) -> Option<String> {
    head.is_undoing()
        .then(|| "an undo of it has failed; `baton dead redrive` tries that again".to_owned())
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
