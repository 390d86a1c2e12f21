//! Follows the spaces and keeps the index of their memories. A mesh in whose spaces nothing was ever written has no consumer
//! for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::{LedgerEnd, LedgerMark, SpaceBatch, SpaceRevision};

use crate::backoff::Backoff;
use crate::projection::columns::is_damage;
use crate::projection::store::Store;
use crate::projection::tables::memories::{self, Revision};
use crate::projection::{Error, Projection};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// How often to look whether somebody has written into a space, where nobody has yet and nobody searches.
const SELDOM: Duration = Duration::from_secs(60);
/// How many bytes of memories to index at a time: the lock is held for some 20 ms, and the ledger has to be followed, too.
const PART: usize = 256 * 1024;

impl Projection {
    /// Follows the spaces forever. It logs failures and tries again.
    pub(crate) async fn follow_memories(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE);
        loop {
            if let Err(error) = self.follow_memories_once(&mut backoff).await {
                tracing::warn!(%error, "cannot follow the spaces, trying again");
                if let Error::Store(error) = &error
                    && is_damage(error)
                {
                    self.inner.damaged.notify_one();
                }
            }
            backoff.wait(&self.inner.mesh).await;
        }
    }

    /// Follows until the stream of the spaces is replaced by another or the projection is rebuilt, or something fails. Where
    /// there is nothing to follow, it waits until somebody searches.
    async fn follow_memories_once(&self, backoff: &mut Backoff) -> Result<(), Error> {
        let end = self.inner.mesh.spaces_end().await?;
        let end = end.unwrap_or_else(no_stream);
        let (created, is_empty) = (end.created.clone(), end.last_seq == 0);
        // The file may predate a new stream, or know more than the stream holds.
        let (mark, generation) = self
            .change(move |store| {
                store.take_up_memories(&end)?;
                Ok((store.memories().1, store.generation()))
            })
            .await?;
        if is_empty {
            tokio::time::timeout(SELDOM, self.inner.searched.notified()).await.ok();
            backoff.reset();
            return Ok(());
        }
        let mut tail = self.inner.mesh.tail_spaces(&created, mark);
        loop {
            let batch = tokio::select! {
                biased;
                batch = tail.next_batch() => batch?,
                () = self.inner.searched.notified() => {
                    // A projection that was rebuilt has lost the index, and nothing new may come.
                    if self.inner.memories.borrow().ledger == created {
                        continue;
                    }
                    return Ok(());
                }
            };
            let Some(batch) = batch else { break };
            for (revisions, through) in parts(batch) {
                if !self.apply_memories(revisions, through, generation).await? {
                    return Ok(());
                }
            }
            backoff.reset();
        }
        self.change(|store| store.reset_memories("")).await
    }

    /// Applies a part of a batch; `false` if the store was rebuilt since `generation`.
    async fn apply_memories(
        &self,
        revisions: Vec<SpaceRevision>,
        through: LedgerMark,
        generation: u64,
    ) -> Result<bool, Error> {
        let inner = Arc::clone(&self.inner);
        let job = self.inner.jobs.spawn_blocking(move || {
            // Before the lock: contents are hashed.
            let revisions: Vec<Revision> = revisions.into_iter().map(read).collect();
            let mut store = inner.store();
            if generation != store.generation() {
                return Ok(false);
            }
            store.apply_memories(&revisions, through)?;
            inner.publish(&mut store);
            Ok(true)
        });
        job.await?
    }
}

/// What stands for the end of a stream that is not there.
fn no_stream() -> LedgerEnd {
    LedgerEnd {
        last_seq: 0,
        first_seq: 0,
        messages: 0,
        created: String::new(),
    }
}

fn read(revision: SpaceRevision) -> Revision {
    Revision {
        record: revision.read(),
        number: revision.at.seq,
        of: revision.of,
    }
}

/// The newest revision in it of each memory, in parts of a bounded size; each with the place up to which all is known then.
fn parts(batch: SpaceBatch) -> Vec<(Vec<SpaceRevision>, LedgerMark)> {
    let newest: HashMap<_, u64> = batch
        .revisions
        .iter()
        .map(|revision| (revision.of.clone(), revision.at.seq))
        .collect();
    let (mut parts, mut part, mut size) = (Vec::new(), Vec::new(), 0);
    for revision in batch.revisions {
        if newest.get(&revision.of) != Some(&revision.at.seq) {
            continue;
        }
        let at = revision.at;
        size += revision.size();
        part.push(revision);
        if size >= PART {
            parts.push((std::mem::take(&mut part), at));
            size = 0;
        }
    }
    parts.push((part, batch.through));
    parts
}

impl Store {
    /// Starts over with the spaces if the index belongs to another stream, or knows more than the stream holds.
    fn take_up_memories(&mut self, end: &LedgerEnd) -> rusqlite::Result<()> {
        let (created, mark) = self.memories();
        if created != end.created || mark.seq > end.last_seq {
            self.reset_memories(&end.created)?;
        }
        Ok(())
    }

    fn reset_memories(&mut self, created: &str) -> rusqlite::Result<()> {
        self.transact(|db| memories::reset(db, created))?;
        self.set_memories(created, LedgerMark::default());
        Ok(())
    }

    fn apply_memories(&mut self, revisions: &[Revision], through: LedgerMark) -> rusqlite::Result<()> {
        self.transact(|db| memories::apply(db, revisions, through))?;
        let created = self.memories().0.to_owned();
        self.set_memories(&created, through);
        Ok(())
    }
}
