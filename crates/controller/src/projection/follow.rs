//! Follows the ledger: one task takes its records and applies them, forever.

mod archive;
mod memories;

use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::LedgerBatch;
use tokio_util::sync::CancellationToken;

use super::columns::is_damage;
use super::{Error, Projection};
use crate::backoff::Backoff;

/// Short, so that the projection is up to date within a second or two after a restart of the server.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// How long to gather records for the next transaction while they keep coming, because each transaction has a fixed
/// cost. A single record is applied at once.
const GATHER: Duration = Duration::from_millis(20);
/// As above while there are turns to give: with one key, each record that is applied later is a pause for its agent.
const GATHER_FOR_TURNS: Duration = Duration::from_millis(2);
/// A batch of this size means that more records follow and transactions are large enough.
const LARGE: usize = 500;

impl Projection {
    /// Follows the ledger, the archive and the spaces until `stop`, then releases the file. It logs failures and tries again after
    /// a pause; damaged data is discarded and rebuilt.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            tokio::join!(self.follow_ledger(), self.follow_archive(), self.follow_memories());
        })
        .await;
        self.is_idle().await;
    }

    /// Follows the ledger forever.
    pub(crate) async fn follow_ledger(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        loop {
            match self.follow_once(&mut backoff).await {
                Ok(reason) => match self.rebuild(reason).await {
                    Ok(()) => continue,
                    Err(error) => tracing::warn!(%error, "cannot rebuild the projection yet"),
                },
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "cannot write the projection, trying again");
                }
            }
            backoff.wait(&self.inner.mesh).await;
        }
    }

    /// Follows until a rebuild is needed, and returns its reason, or until a write fails.
    async fn follow_once(&self, backoff: &mut Backoff) -> Result<&'static str, Error> {
        // Start at the store's position: after a failed write the old tail is already past it.
        let mut tail = {
            let store = self.inner.store();
            self.inner.mesh.tail_ledger(store.ledger(), store.mark())
        };
        let mut not_before = tokio::time::Instant::now();
        loop {
            let next = async {
                tokio::time::sleep_until(not_before).await;
                tail.next_batch().await
            };
            let next = tokio::select! {
                biased;
                () = self.inner.damaged.notified() => return Ok("it is damaged"),
                next = next => next,
            };
            match next {
                Ok(Some(batch)) => {
                    let more_follow = batch.records.len() >= LARGE || tail.is_behind();
                    let began = tokio::time::Instant::now();
                    match self.apply(batch).await {
                        Ok(touches_turns) => {
                            backoff.reset();
                            let gather = if touches_turns { GATHER_FOR_TURNS } else { GATHER };
                            if !more_follow {
                                not_before = began + gather;
                            }
                        }
                        Err(Error::Store(error)) if is_damage(&error) => {
                            tracing::warn!(%error, "the projection is damaged");
                            return Ok("it is damaged");
                        }
                        Err(error) => return Err(error),
                    }
                }
                Ok(None) => return Ok("the ledger is another one, or lost records"),
                Err(error) => {
                    tracing::warn!(%error, "cannot follow the ledger, trying again");
                    backoff.wait(&self.inner.mesh).await;
                }
            }
        }
    }

    /// Applies a batch; gives whether it has touched turns.
    async fn apply(&self, mut batch: LedgerBatch) -> Result<bool, Error> {
        let inner = Arc::clone(&self.inner);
        // On a thread of its own: a thousand records take some 10 ms and would block a worker thread.
        let job = self.inner.jobs.spawn_blocking(move || {
            inner.void.note(batch.take_void(&inner.mesh), inner.mesh.now());
            let mut store = inner.store();
            store.apply(&batch, inner.mesh.now())?;
            Ok(inner.publish(&mut store))
        });
        job.await?
    }

    async fn rebuild(&self, reason: &'static str) -> Result<(), Error> {
        let end = self.inner.mesh.ledger_end().await?;
        tracing::info!(
            reason,
            records = end.last_seq,
            "rebuilding the projection from the ledger"
        );
        self.change(move |store| store.rebuild(&end.created)).await
    }
}
