//! What goes on beside a running handler: saying who holds the hop, and keeping the delivery.

use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::{ACK_WAIT, Delivery, Extender};
use tokio::sync::Mutex;

use crate::claim::{AppendError, Claim};

/// A hop that runs longer than this is shown in the ledger with its holder. Shorter ones cost no extra write.
const VISIBLE_AFTER: Duration = Duration::from_millis(200);

/// Tells the broker that the work goes on, until it is dropped.
pub(crate) async fn extend(extender: &Extender) {
    // A third of the wait, so that two lost extensions do not cost the delivery.
    let pause = ACK_WAIT / 3;
    loop {
        tokio::time::sleep(pause).await;
        // Seldom, and on the heap: it would be part of the state of every hop.
        Box::pin(extender.extend()).await;
    }
}

/// Keeps a hop until it is dropped. Returns only when the hop turns out to be another's.
pub(crate) async fn keep(delivery: &Delivery, claim: Arc<Mutex<Claim>>) {
    let extender = delivery.extender();
    let extend = extend(&extender);
    let show = async {
        tokio::time::sleep(VISIBLE_AFTER).await;
        loop {
            // Bound first: as the match's own expression the lock would be held as long as the arms run.
            let shown = claim.lock().await.make_visible().await;
            match shown {
                Ok(()) => return std::future::pending().await,
                Err(AppendError::Fenced(_)) => return,
                Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => {
                    tracing::warn!(%error, "the holder could not be recorded yet");
                }
            }
            tokio::time::sleep(VISIBLE_AFTER).await;
        }
    };
    tokio::select! {
        () = extend => {}
        () = show => {}
    }
}
