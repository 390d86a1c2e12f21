//! Following the archive: the same task keeps the index of what was archived.

use std::time::Duration;

use baton_jetstream::ArchiveBatch;

use crate::backoff::Backoff;
use crate::projection::columns::is_damage;
use crate::projection::store::Store;
use crate::projection::tables::archive;
use crate::projection::{Error, Projection};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

impl Projection {
    /// Follows the archive for ever. Failures are logged, and it is tried again.
    pub(crate) async fn follow_archive(&self) {
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
