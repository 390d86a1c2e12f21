//! What becomes of a delivery whose hop is lost, given back, or cannot be written.

use std::time::Duration;

use baton_jetstream::{Delivery, Head};

use crate::claim::{AppendError, Claim};
use crate::run::WorkerContext;

/// How long to wait before retrying a hop whose outcome the ledger did not take; its steps are recorded, the rest runs
/// again.
const UNWRITTEN: Duration = Duration::from_secs(5);

impl WorkerContext {
    /// Leaves a hop that is another's, or over.
    pub(crate) async fn leave(&self, delivery: Delivery, at: &Claim) {
        let intent = &delivery.ticket.intent;
        match self.mesh.head(intent).await {
            Ok(Some(head)) => self.fenced_out(delivery, at, &head).await,
            Ok(None) => tracing::info!(%intent, "the hop is over, result dropped"),
            Err(error) => tracing::warn!(%error, %intent, "another has the hop, result dropped"),
        }
    }

    /// Drops the result of a hop that this head has taken away, and acks its ticket if nobody can use that any more. Acks
    /// are not fenced: while the hop has the same envelope, the ticket is its new holder's.
    async fn fenced_out(&self, delivery: Delivery, at: &Claim, head: &Head) {
        let (intent, snapshot) = (delivery.ticket.intent.clone(), &head.record.snapshot);
        let is_superseded = snapshot.status.is_workable() && snapshot.envelope != Some(at.envelope);
        if snapshot.status.may_have_a_ticket() && !is_superseded {
            tracing::info!(%intent, seq = head.seq, "another holder has the hop, result dropped");
            return;
        }
        tracing::info!(%intent, seq = head.seq, "the hop is over, or was given to somebody else: result dropped");
        match self.mesh.settle(head).await {
            Ok(()) => delivery.ack().await,
            Err(error) => tracing::warn!(%error, %intent, "not settled"),
        }
    }

    pub(crate) async fn release(&self, delivery: Delivery, at: &mut Claim, reason: &'static str) {
        match at.release(reason).await {
            Ok(()) => delivery.hand_back(Duration::ZERO).await,
            Err(error) => self.not_appended(delivery, at, error).await,
        }
    }

    pub(crate) async fn try_later(&self, delivery: Delivery, at: &mut Claim) {
        // The server is at fault: the next delivery must not take this for the silent death of a worker.
        match at
            .release("the ledger or the routes could not be read or written")
            .await
        {
            Ok(()) | Err(AppendError::Fenced(_)) => {}
            Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => {
                tracing::debug!(%error, "a release could not be recorded");
            }
        }
        delivery.hand_back(UNWRITTEN).await;
    }

    /// Handles a delivery whose hop could not be written.
    pub(crate) async fn not_appended(&self, delivery: Delivery, at: &Claim, error: AppendError) {
        let intent = delivery.ticket.intent.clone();
        match error {
            AppendError::Fenced(head) => self.fenced_out(delivery, at, &head).await,
            // Committed: the next delivery of this ticket reads the head and pays what it owes.
            AppendError::Unsettled(error) => {
                tracing::warn!(%error, %intent, "committed, and not settled yet");
                delivery.hand_back(UNWRITTEN).await;
            }
            AppendError::Failed(error) => {
                tracing::error!(%error, %intent, "the ledger did not take the outcome; the hop is handed back");
                delivery.hand_back(UNWRITTEN).await;
            }
        }
    }
}
