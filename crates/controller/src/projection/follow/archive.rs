//! Follows the archive and keeps its index.

use std::time::Duration;

use baton_envelope::Subjects;
use baton_jetstream::ArchiveBatch;

use crate::backoff::Backoff;
use crate::projection::columns::is_damage;
use crate::projection::store::Store;
use crate::projection::tables::{archive, odd};
use crate::projection::{Error, Projection};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

impl Projection {
    /// Follows the archive forever. It logs failures and tries again.
    pub(crate) async fn follow_archive(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        loop {
            if let Err(error) = self.follow_archive_once(&mut backoff).await {
                tracing::warn!(%error, "cannot follow the archive, trying again");
                if let Error::Store(error) = &error
                    && is_damage(error)
                {
                    self.inner.damaged.notify_one();
                }
            }
            backoff.wait(&self.inner.mesh).await;
        }
    }

    /// Follows until the archive is replaced by another, or something fails.
    async fn follow_archive_once(&self, backoff: &mut Backoff) -> Result<(), Error> {
        let end = self.inner.mesh.archive_end().await?;
        let created = end.created.clone();
        // The file may predate a new archive, or know more than the archive holds.
        let (mark, generation) = self
            .change(move |store| {
                store.take_up_archive(&end)?;
                Ok((store.archive().1, store.generation()))
            })
            .await?;
        let mut tail = self.inner.mesh.tail_archive(&created, mark);
        while let Some(batch) = tail.next_batch().await? {
            let subjects = self.inner.mesh.subjects().clone();
            let applied = self
                .change(move |store| store.apply_archive(&batch, generation, &subjects))
                .await?;
            if !applied {
                // The projection was rebuilt in the meantime and has lost the archive.
                return Ok(());
            }
            backoff.reset();
        }
        self.change(|store| store.reset_archive("")).await
    }
}

impl Store {
    /// Applies a batch of the archive; `false` if the store was rebuilt since `generation`.
    fn apply_archive(&mut self, batch: &ArchiveBatch, generation: u64, subjects: &Subjects) -> rusqlite::Result<bool> {
        if generation != self.generation() {
            return Ok(false);
        }
        let changes = self.transact(|db| {
            let (changes, seemed_open) = archive::apply(db, batch)?;
            for intent in seemed_open {
                // At no record in particular: the sweep looks at what is there.
                odd::note(db, &subjects.ledger(&intent), 0)?;
            }
            Ok(changes)
        })?;
        self.recount(changes);
        self.set_archive_mark(batch.through);
        Ok(true)
    }
}
