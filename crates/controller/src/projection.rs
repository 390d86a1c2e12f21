//! What the ledger says, in a form that can be asked: which open intents hold which version, what attempts came to, how
//! fast a drain goes.
//!
//! Each controller has one, in a local SQLite file or in memory, and no other truth rests on it: it can be deleted at
//! any time and is built again from the ledger, at some hundred thousand records a second. It follows the ledger within
//! a moment; who must not decide on what was true a moment ago calls [`Projection::caught_up`] first.
//!
//! One connection behind a lock, and every question on a blocking thread: a batch that is being applied holds the lock
//! for some 10 ms, which is too long for a thread of the runtime to stand still. Only what is asked for each raw intent,
//! whether a breaker is open, is kept beside it and answered at once.

mod columns;
mod error;
mod follow;
mod queries;
mod store;
mod tables;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_jetstream::{ControllerMesh, Mesh};
use rusqlite::Connection;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use columns::is_damage;
use store::Store;
use tables::breaker::Streaks;

pub use error::Error;
pub(crate) use tables::archive::{Closed, Handled, Life};

/// A projection of the ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Projection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mesh: ControllerMesh,
    store: Mutex<Store>,
    /// A copy, so that routing never waits for a batch.
    streaks: Mutex<Streaks>,
    place: watch::Sender<Place>,
    position: watch::Sender<u64>,
    /// How far the index of the archive has come.
    archive: watch::Sender<Place>,
    /// A question met rows that cannot be right.
    damaged: Notify,
    /// What runs on blocking threads, and goes on there when whoever waits for it is cut off.
    jobs: TaskTracker,
}

/// How far the projection has come, and on which ledger: a sequence of another one says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    ledger: String,
    seq: u64,
}

impl Projection {
    /// Takes up what is in the file, or begins an empty one; without a file it is kept in memory. Nothing is read from the
    /// ledger until [`Projection::run`].
    ///
    /// A file that is damaged, or of another ledger or schema, is deleted and built anew. One that cannot be written, or
    /// that another process has, is let be, and the projection kept in memory.
    ///
    /// # Errors
    /// When the server does not answer or has no ledger.
    pub async fn open(mesh: &Mesh, file: Option<PathBuf>) -> Result<Self, Error> {
        let end = mesh.ledger_end().await?;
        let store = spawn_blocking(move || {
            let mut store = Store::open(file, &end.created)?;
            // A ledger that is shorter than it was lost records. (One that has others in their place by now is noticed by
            // the tail, before it gives the first record.)
            if store.mark().seq > end.last_seq {
                store.rebuild(&end.created)?;
            }
            Ok::<_, rusqlite::Error>(store)
        })
        .await??;
        let place = Place::of(&store);
        Ok(Self {
            inner: Arc::new(Inner {
                mesh: ControllerMesh::of(mesh),
                streaks: Mutex::new(store.streaks().clone()),
                position: watch::Sender::new(place.seq),
                place: watch::Sender::new(place),
                archive: watch::Sender::new(Place::of_archive(&store)),
                store: Mutex::new(store),
                damaged: Notify::new(),
                jobs: TaskTracker::new(),
            }),
        })
    }

    /// The sequence of the last record that was applied. It goes back only when everything is built anew; who concludes
    /// from what is *not* there looks at it once more after reading.
    pub fn position(&self) -> u64 {
        self.inner.place.borrow().seq
    }

    /// Tells of each change of [`Projection::position`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.position.subscribe()
    }

    /// How many records the ledger is ahead.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn behind(&self) -> Result<u64, Error> {
        let end = self.inner.mesh.ledger_end().await?;
        Ok(self.inner.place.borrow().behind(&end.created, end.last_seq))
    }

    /// Reads the end of the ledger, waits until everything up to there was applied, and gives that sequence: what was in
    /// the ledger when this was called is in every answer from now on.
    ///
    /// # Errors
    /// When that takes longer than `patience`, or the server does not answer.
    pub async fn caught_up(&self, patience: Duration) -> Result<u64, Error> {
        let until = tokio::time::Instant::now() + patience;
        let mut place = self.inner.place.subscribe();
        let late = |behind| Error::Behind { behind, patience };
        let end = tokio::time::timeout_at(until, self.inner.mesh.ledger_end()).await;
        let end = end.map_err(|_| late(0))??;
        let behind = |place: &Place| place.behind(&end.created, end.last_seq);
        let reached = tokio::time::timeout_at(until, place.wait_for(|place| behind(place) == 0)).await;
        match reached {
            Ok(_) => Ok(end.last_seq),
            Err(_) => Err(late(behind(&self.inner.place.borrow()))),
        }
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

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        let job = self.inner.jobs.spawn_blocking(move || question(inner.store().db()));
        let answer = job.await?;
        if answer.as_ref().is_err_and(is_damage) {
            self.inner.damaged.notify_one();
        }
        Ok(answer?)
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Store) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        let job = self.inner.jobs.spawn_blocking(move || {
            let mut store = inner.store();
            let done = change(&mut store)?;
            inner.publish(&store);
            Ok(done)
        });
        job.await?
    }

    /// Waits until nothing works on the file any more, so that it can be opened again.
    async fn is_idle(&self) {
        self.inner.jobs.close();
        self.inner.jobs.wait().await;
    }
}

impl Inner {
    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Tells how far the store is. Called with the store locked, so that an answer is never newer than the position:
    /// above all, an answer from an empty store that is being built anew never comes with the old position.
    fn publish(&self, store: &Store) {
        lock(&self.streaks).clone_from(store.streaks());
        let place = Place::of(store);
        self.position
            .send_if_modified(|seq| std::mem::replace(seq, place.seq) != place.seq);
        self.place.send_replace(place);
        let archive = Place::of_archive(store);
        self.archive
            .send_if_modified(|known| std::mem::replace(known, archive.clone()) != archive);
    }
}

impl Place {
    fn of(store: &Store) -> Self {
        Self {
            ledger: store.ledger().to_owned(),
            seq: store.mark().seq,
        }
    }

    fn of_archive(store: &Store) -> Self {
        let (created, mark) = store.archive();
        Self {
            ledger: created.to_owned(),
            seq: mark.seq,
        }
    }

    /// How many records are missing up to a sequence of a ledger; never none while this is of another one, be that still
    /// empty: what is known of the old one has to go first.
    fn behind(&self, ledger: &str, seq: u64) -> u64 {
        if self.ledger == ledger {
            seq.saturating_sub(self.seq)
        } else {
            seq.max(1)
        }
    }
}

/// A thread that panicked with the lock left a transaction behind that was rolled back: what is there is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
