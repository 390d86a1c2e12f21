//! Following the archive, and what the rest of the controller asks of its index.

use std::sync::Arc;
use std::time::Duration;

use baton_envelope::{AgentName, IntentId, Timestamp};
use baton_jetstream::{ArchiveBatch, Head};
use tokio::task::spawn_blocking;

use super::archive::{self, Closed, Handled, Life, Standing};
use super::store::{Store, is_damage};
use super::{Error, Place, Projection};
use crate::backoff::Backoff;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

impl Projection {
    /// Follows the archive for ever. Failures are logged, and it is tried again.
    pub(super) async fn follow_archive(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        loop {
            if let Err(error) = self.follow_archive_once(&mut backoff).await {
                tracing::warn!(%error, "the archive cannot be followed, trying again");
                if let Error::Store(error) = &error
                    && is_damage(error)
                {
                    self.inner.damaged.notify_one();
                }
            }
            backoff.wait(&self.inner.mesh).await;
        }
    }

    /// Follows until the archive is another one, or something failed.
    async fn follow_archive_once(&self, backoff: &mut Backoff) -> Result<(), Error> {
        let end = self.inner.mesh.archive_end().await?;
        let created = end.created.clone();
        // A file of before the archive was made anew, or one that knows more than there is.
        let (mark, generation) = self
            .change(move |store| {
                store.take_up_archive(&end)?;
                Ok((store.archive().1, store.generation()))
            })
            .await?;
        let mut tail = self.inner.mesh.tail_archive(&created, mark);
        while let Some(batch) = tail.next_batch().await? {
            let applied = self
                .change(move |store| store.apply_archive(&batch, generation))
                .await?;
            if !applied {
                // The projection was built anew meanwhile, and knows nothing of the archive any more.
                return Ok(());
            }
            backoff.reset();
        }
        self.change(|store| store.reset_archive("")).await
    }

    /// Waits until everything that is in the archive now is in the index.
    ///
    /// # Errors
    /// When that takes longer than `patience`, or the server does not answer.
    pub async fn archive_caught_up(&self, patience: Duration) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + patience;
        let mut place = self.inner.archive.subscribe();
        let end = tokio::time::timeout_at(until, self.inner.mesh.archive_end()).await;
        let end = end.map_err(|_| Error::Behind { behind: 0, patience })??;
        let behind = |place: &Place| place.behind(&end.created, end.last_seq);
        let reached = tokio::time::timeout_at(until, place.wait_for(|place| behind(place) == 0)).await;
        if reached.is_ok() {
            return Ok(());
        }
        Err(Error::Behind {
            behind: behind(&self.inner.archive.borrow()),
            patience,
        })
    }

    /// Where the bundles of an id stand, the newest first. Other ids may be among them.
    pub(crate) async fn find_archived(&self, intent: &IntentId) -> Result<Vec<u64>, Error> {
        let intent = intent.clone();
        self.ask(move |db| archive::find(db, &intent)).await
    }

    /// Which of these lives the archive seems to hold, and where.
    pub(crate) async fn returned(&self, lives: Vec<Life>) -> Result<Vec<(usize, u64)>, Error> {
        self.ask(move |db| archive::returned(db, &lives)).await
    }

    /// A page of the archive.
    pub(crate) async fn list_archived(
        &self,
        statuses: Vec<String>,
        agent: Option<AgentName>,
        before: u64,
        limit: usize,
    ) -> Result<(u64, Vec<u64>), Error> {
        self.ask(move |db| archive::list(db, &statuses, agent.as_ref(), before, limit))
            .await
    }

    /// How the archive stands.
    pub(crate) async fn archive_standing(&self, due_until: Timestamp) -> Result<Standing, Error> {
        self.ask(move |db| archive::standing(db, due_until)).await
    }

    /// Closed intents that are to be archived.
    pub(crate) async fn due_for_archive(&self, until: Timestamp, limit: usize) -> Result<Vec<Closed>, Error> {
        self.ask(move |db| archive::due(db, until, limit)).await
    }

    /// Archived intents that are to be purged.
    pub(crate) async fn over_in_ledger(
        &self,
        generated: Timestamp,
        chosen: Timestamp,
        limit: usize,
    ) -> Result<Vec<Closed>, Error> {
        self.ask(move |db| archive::over(db, generated, chosen, limit)).await
    }

    /// Takes note of what was done with closed intents.
    pub(crate) async fn handled(&self, done: Vec<Handled>) -> Result<(), Error> {
        let now = self.inner.mesh.now();
        self.change(move |store| store.transact(|db| archive::handled(db, &done, now)))
            .await
    }

    /// Takes note of terminal records that were found in the ledger: those that came back after a crash were not told.
    pub(crate) async fn adopt(&self, heads: Vec<Head>) -> Result<(), Error> {
        self.change(move |store| {
            store.transact(|db| {
                for Head { record, seq } in &heads {
                    archive::adopt(db, &record.intent, *seq, &record.snapshot)?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Forgets bundles that the archive dropped for their age.
    pub(crate) async fn prune_archived(&self, first_seq: u64) -> Result<usize, Error> {
        self.ask(move |db| archive::prune(db, first_seq)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Store) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || {
            let mut store = inner.store();
            let done = change(&mut store)?;
            inner.publish(&store);
            Ok(done)
        })
        .await?
    }
}

impl Store {
    /// Applies what the archive says; `false` when the store was built anew since `generation`.
    fn apply_archive(&mut self, batch: &ArchiveBatch, generation: u64) -> rusqlite::Result<bool> {
        if generation != self.generation() {
            return Ok(false);
        }
        self.transact(|db| archive::apply(db, batch))?;
        self.set_archive_mark(batch.through);
        Ok(true)
    }
}
