//! Cancelling an open intent.

use baton_envelope::{Author, IntentId, Status, act};

use crate::error::Error;
use crate::ledger::{Advanced, Committed, Known};
use crate::server::Mesh;

impl Mesh {
    /// Cancels an open intent, whatever its status. Whoever holds it is fenced out: what it commits afterwards is refused.
    /// Its ticket is acknowledged by whoever gets it.
    ///
    /// # Errors
    /// When the intent has ended, is being undone, or does not exist; the error names its status.
    pub async fn cancel(&self, intent: &IntentId, reason: &str, by: &Author) -> Result<Committed, Error> {
        let head = self.must_find(intent).await?;
        let cancelled = self.advance(intent, by, Known::Read(&head), |head, _| {
            let head = head.ok_or_else(|| Error::NoIntent(intent.clone()))?;
            let status = &head.snapshot.status;
            let wrong = |problem: &str| Error::WrongStatus {
                intent: intent.clone(),
                status: status.to_string(),
                problem: problem.to_owned(),
            };
            if status.is_terminal() {
                Err(wrong("it has ended, and nothing is left to cancel"))
            } else if *status == Status::Compensating {
                Err(wrong("what it did is being undone, and it ends by that"))
            } else if let Status::Unknown { .. } = status {
                Err(wrong(
                    "a newer version of Baton put it there, and only that can cancel it",
                ))
            } else {
                Ok(act::cancel(head.snapshot, reason)?.into())
            }
        });
        match cancelled.await? {
            Advanced::Committed(committed) => Ok(committed),
            Advanced::Unchanged(_) => Err(Error::NoIntent(intent.clone())),
        }
    }
}
