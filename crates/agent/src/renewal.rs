//! What runs beside a handler: recording the holder of the hop, and extending the delivery.

use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::ACK_WAIT;
use tokio::sync::Mutex;

use crate::claim::{AppendError, Claim};
use crate::held::Held;

/// A hop that runs longer than this appears in the ledger with its holder. Shorter ones cost no extra write.
const VISIBLE_AFTER: Duration = Duration::from_millis(200);

/// Tells the broker that the work goes on, until it is dropped.
pub(crate) async fn extend(held: &Held) {
    // A third of the wait, so that two lost extensions do not cost the delivery.
    let pause = ACK_WAIT / 3;
    loop {
        tokio::time::sleep(pause).await;
        // Seldom, and on the heap: it would be part of the state of every hop.
        Box::pin(held.extend()).await;
    }
}

/// Keeps a hop until it is dropped. Returns only when the hop turns out to be another's.
pub(crate) async fn keep(held: &Held, claim: Arc<Mutex<Claim>>) {
    let extend = extend(held);
    let show = async {
        tokio::time::sleep(VISIBLE_AFTER).await;
        loop {
            // Bound first: inside the `match` expression the lock would be held while the arms run.
            let shown = claim.lock().await.show_at_work().await;
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
    let doubt = async {
        loop {
            held.doubted().await;
            let lost = claim.lock().await.is_lost().await;
            match lost {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "whether the hop is lost is found out when it is written"),
            }
        }
    };
    tokio::select! {
        () = extend => {}
        () = show => {}
        () = doubt => {}
    }
}
