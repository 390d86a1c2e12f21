//! Searches the index of the spaces, once it has what stands in them.

use std::time::Duration;

use baton_envelope::SpaceName;
use baton_envelope::control::SearchWord;
use baton_jetstream::LedgerEnd;
use tokio::time::Instant;

use crate::projection::tables::memories::{self, Found};
use crate::projection::{Error, Projection};

/// How far the index has read the spaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Searched {
    /// Every revision up to this one is in it.
    pub(crate) through: u64,
    /// How many that were there when it was asked are missing.
    pub(crate) behind: u64,
}

impl Projection {
    /// Waits until the index has everything that stands in the spaces now, for as long as `patience`, and says how far it is
    /// then. `None` where there are no spaces.
    ///
    /// # Errors
    /// When the server does not answer, or the index is of another stream and could not be made anew in time.
    pub(crate) async fn memories_caught_up(&self, patience: Duration) -> Result<Option<Searched>, Error> {
        let until = Instant::now() + patience;
        let mut place = self.inner.memories.subscribe();
        let end = tokio::time::timeout_at(until, self.inner.mesh.spaces_end()).await;
        let end = end.map_err(|_| Error::Behind { behind: 0, patience })??;
        let Some(end) = end.filter(|end| end.last_seq > 0) else {
            return Ok(None);
        };
        if place.borrow().behind(&end.created, end.last_seq) > 0 {
            self.inner.searched.notify_one();
            let reached = place.wait_for(|place| place.behind(&end.created, end.last_seq) == 0);
            tokio::time::timeout_at(until, reached).await.ok();
        }
        let place = place.borrow().clone();
        let behind = place.behind(&end.created, end.last_seq);
        if place.ledger != end.created {
            return Err(Error::Behind { behind, patience });
        }
        self.forget_purged(&end, behind).await?;
        let through = place.seq;
        Ok(Some(Searched { through, behind }))
    }

    /// Forgets the memories that were purged. Nobody announces a purge, but the stream has fewer messages then; so it has where
    /// a memory has more revisions than are kept, which costs one request more.
    async fn forget_purged(&self, end: &LedgerEnd, behind: u64) -> Result<(), Error> {
        let removed = end.removed();
        if self.ask(memories::removed).await? == Some(removed) {
            return Ok(());
        }
        let there = self.inner.mesh.spaces_left().await?;
        let created = end.created.clone();
        // What is still to come may have been purged before this comparison, and is compared next time.
        let removed = (behind == 0).then_some(removed);
        let gone = self
            .change(move |store| match store.memories().0 == created {
                true => store.transact(|db| memories::retain(db, &there, removed)),
                false => Ok(0),
            })
            .await?;
        if gone > 0 {
            tracing::info!(memories = gone, "memories that were purged are out of the index");
        }
        Ok(())
    }

    /// The memories that have all of the words, the best first; each with some words around those that were found.
    pub(crate) async fn search_memories(
        &self,
        words: &[SearchWord],
        space: Option<SpaceName>,
        limit: u32,
    ) -> Result<Vec<(Found, String)>, Error> {
        let query = memories::query(words);
        let asked = query.clone();
        let found = self
            .ask(move |db| memories::search(db, &asked, space.as_ref(), limit))
            .await?;
        let mut memories = Vec::with_capacity(found.len());
        // One by one: each may take some 10 ms, and nobody else has the projection meanwhile.
        for found in found {
            let (query, revision) = (query.clone(), found.revision);
            let snippet = self.ask(move |db| memories::snippet(db, &query, revision)).await?;
            // One that was written over since stands as it was found.
            memories.push((found, snippet.unwrap_or_default()));
        }
        Ok(memories)
    }
}
