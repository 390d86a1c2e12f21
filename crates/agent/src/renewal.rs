//! What runs beside a handler: recording the holder of the hop, and extending the delivery.

use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::{ACK_WAIT, Delivery, Extender};
use tokio::sync::Mutex;

use crate::claim::{AppendError, Claim};

/// A hop that runs longer than this appears in the ledger with its holder. Shorter ones cost no extra write.
const VISIBLE_AFTER: Duration = Duration::from_millis(200);

/// Tells the broker that the work goes on, until this future is dropped.
pub(crate) async fn extend(extender: &Extender) {
    // A third of the wait, so that two lost extensions do not cost the delivery.
    let pause = ACK_WAIT / 3;
    loop {
        tokio::time::sleep(pause).await;
        // Rare, so on the heap: it would be part of the state of every hop.
        Box::pin(extender.extend()).await;
    }
}

/// Extends the delivery of a hop until this future is dropped. Returns only if the hop has another holder.
pub(crate) async fn keep(delivery: &Delivery, claim: Arc<Mutex<Claim>>) {
    let extender = delivery.extender();
    let extend = extend(&extender);
    let show = async {
        tokio::time::sleep(VISIBLE_AFTER).await;
        loop {
            // Bound first: inside the `match` expression the lock would be held while the arms run.
            let shown = claim.lock().await.make_visible().await;
            match shown {
                Ok(()) => return std::future::pending().await,
                Err(AppendError::Fenced(_)) => return,
                Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => {
                    tracing::warn!(%error, "cannot record the holder yet");
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
