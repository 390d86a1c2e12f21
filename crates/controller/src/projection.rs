//! The ledger in a form that answers questions: which open intents hold which version, how attempts ended, how fast a
//! drain goes.
//!
//! Each controller has one, in a local SQLite file or in memory. It is only a cache: anyone may delete it at any time,
//! and it is rebuilt from the ledger at about a hundred thousand records a second. It lags the ledger by a moment;
//! before you decide on current facts, call [`Projection::caught_up`].
//!
//! One connection is behind a lock, and every question runs on a blocking thread: applying a batch holds the lock for
//! some 10 ms, too long to block a thread of the runtime. Only what opens a breaker is kept beside the lock, so that
//! reading it never waits.

mod columns;
mod completeness;
mod error;
mod follow;
mod queries;
mod store;
mod suspects;
mod tables;
#[cfg(test)]
mod tests;
mod touched;
mod void;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Timestamp};
use baton_jetstream::{ControllerMesh, Mesh};
use rusqlite::Connection;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use columns::is_damage;
use completeness::{Read, Views};
use store::Store;
use suspects::{Suspect, Suspects};
use tables::streaks::Streaks;
use void::VoidLog;

pub use error::Error;
pub(crate) use tables::archive::{Closed, Handled, Life};
pub(crate) use tables::children::{ChildRow, DueParent, Look};
pub(crate) use tables::intents::Overdue;
pub(crate) use tables::odd::Odd;
pub(crate) use tables::streaks::Streak;
pub(crate) use tables::timers::DuePlace;
pub(crate) use tables::turns::{Front, Lane, Submitter};
pub(crate) use touched::Touched;
pub(crate) use void::VoidSeen;

/// A projection of the ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Projection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mesh: ControllerMesh,
    store: Mutex<Store>,
    /// A copy, so that whoever opens breakers never waits for a batch.
    streaks: Mutex<Streaks>,
    /// A copy as well.
    suspects: Mutex<Suspects>,
    views: Mutex<Views>,
    place: watch::Sender<Place>,
    position: watch::Sender<u64>,
    /// The position of the archive's index.
    archive: watch::Sender<Place>,
    /// The position of the index of the spaces.
    memories: watch::Sender<Place>,
    /// Somebody searches the spaces, and the index does not have all of them.
    searched: Notify,
    /// The lanes of turns that were touched, and how often some were.
    touched: Mutex<Touched>,
    turns: watch::Sender<u64>,
    /// The void records that were followed.
    void: VoidLog,
    /// A question met corrupt rows.
    damaged: Notify,
    /// Jobs on blocking threads. They run on even if their caller is cut off.
    jobs: TaskTracker,
}

/// The position of the projection, and the ledger it refers to: a sequence of another ledger means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    ledger: String,
    seq: u64,
}

impl Projection {
    /// Loads the file, or starts an empty one; without a file the projection is in memory. It reads nothing from the
    /// ledger until [`Projection::run`].
    ///
    /// A file that is damaged, or has another ledger or schema, is deleted and rebuilt. If another process has the
    /// file, or a new one cannot be written, the projection is in memory.
    ///
    /// # Errors
    /// When the server does not answer or has no ledger.
    pub async fn open(mesh: &Mesh, file: Option<PathBuf>) -> Result<Self, Error> {
        let end = mesh.ledger_end().await?;
        let store = spawn_blocking(move || {
            let mut store = Store::open(file, &end.created)?;
            // A ledger that became shorter lost records. (The tail notices a ledger that has other records in their
            // place, before it returns the first record.)
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
                suspects: Mutex::default(),
                views: Mutex::default(),
                touched: Mutex::new(Touched::all()),
                turns: watch::Sender::new(0),
                position: watch::Sender::new(place.seq),
                place: watch::Sender::new(place),
                archive: watch::Sender::new(Place::of_archive(&store)),
                memories: watch::Sender::new(Place::of_memories(&store)),
                searched: Notify::new(),
                store: Mutex::new(store),
                void: VoidLog::default(),
                damaged: Notify::new(),
                jobs: TaskTracker::new(),
            }),
        })
    }

    /// The sequence of the last applied record. It goes back only in a rebuild. Before you conclude anything from what
    /// is *not* there, read the position again after reading.
    pub fn position(&self) -> u64 {
        self.inner.place.borrow().seq
    }

    /// Reports each change of [`Projection::position`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.position.subscribe()
    }

    /// The records of late by somebody else while it was this agent's turn.
    pub(crate) fn suspect(&self, agent: &AgentName, now: Timestamp) -> Option<Suspect> {
        lock(&self.inner.suspects).of(agent, now)
    }

    /// How much of their views the hops of a version could read of late, where one lacked something.
    pub(crate) fn completeness(&self, agent: &AgentName, version: &AgentVersion, now: Timestamp) -> Option<Read> {
        lock(&self.inner.views).of(agent, version, now)
    }

    /// How many records the projection lags the ledger.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn behind(&self) -> Result<u64, Error> {
        let end = self.inner.mesh.ledger_end().await?;
        Ok(self.inner.place.borrow().behind(&end.created, end.last_seq))
    }

    /// Reads the end of the ledger, waits until every record up to it is applied, and returns its sequence. From then
    /// on every answer includes what was in the ledger at the time of this call.
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

    /// The void records of a version that were followed lately, and since when.
    pub(crate) fn void_of(&self, agent: &AgentName, version: &AgentVersion) -> Option<VoidSeen> {
        self.inner.void.of(agent, version, self.inner.mesh.now())
    }

    /// Waits until the index has everything that is in the archive now.
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
        self.ask_store(|store| question(store.db())).await
    }

    async fn ask_store<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Store) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        let job = self.inner.jobs.spawn_blocking(move || question(&inner.store()));
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
            inner.publish(&mut store);
            Ok(done)
        });
        job.await?
    }

    /// Waits until no job uses the file any more, so that it can be opened again.
    async fn is_idle(&self) {
        self.inner.jobs.close();
        self.inner.jobs.wait().await;
    }
}

impl Inner {
    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Publishes the store's position. The caller holds the store's lock, so an answer is never newer than the
    /// position. Most of all, an answer from an empty store in a rebuild never comes with the old position.
    ///
    /// Gives whether turns were touched.
    fn publish(&self, store: &mut Store) -> bool {
        let touched = store.take_touched();
        let touches_turns = !touched.is_empty();
        if touches_turns {
            lock(&self.touched).add(touched);
            self.turns.send_modify(|times| *times += 1);
        }
        lock(&self.streaks).clone_from(store.streaks());
        lock(&self.suspects).clone_from(store.suspects());
        lock(&self.views).clone_from(store.views());
        let place = Place::of(store);
        self.position
            .send_if_modified(|seq| std::mem::replace(seq, place.seq) != place.seq);
        self.place.send_replace(place);
        let archive = Place::of_archive(store);
        self.archive
            .send_if_modified(|known| std::mem::replace(known, archive.clone()) != archive);
        let memories = Place::of_memories(store);
        self.memories
            .send_if_modified(|known| std::mem::replace(known, memories.clone()) != memories);
        touches_turns
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

    fn of_memories(store: &Store) -> Self {
        let (created, mark) = store.memories();
        Self {
            ledger: created.to_owned(),
            seq: mark.seq,
        }
    }

    /// How many records are missing up to `seq` of `ledger`. At least one if this is the position in another ledger,
    /// even if the new one is still empty: the old content has to go first.
    fn behind(&self, ledger: &str, seq: u64) -> u64 {
        if self.ledger == ledger {
            seq.saturating_sub(self.seq)
        } else {
            seq.max(1)
        }
    }
}

/// If a thread panicked with the lock, its transaction was rolled back, so the store is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
