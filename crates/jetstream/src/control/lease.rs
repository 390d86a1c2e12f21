//! Which controller leads: one key, written by compare-and-set, and clocks that only ever measure.
//!
//! Nothing expires at the server. A follower takes the key when it has seen one and the same revision for [`LEASE`] by
//! its own clock; a leader believes in itself for [`TRUST`] after it *sent* a renewal that was confirmed. The first
//! begins when a revision is seen, which is never before it was sent, so two never lead at once, as long as the clocks
//! of two machines run at about the same speed. What a leader writes is guarded by compare-and-set all the same: a
//! process can be stopped between looking at the lease and writing.

use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store};
use baton_envelope::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::Error;
use crate::server::ControllerMesh;

/// How long a revision must have stood before another may take the key.
pub const LEASE: Duration = Duration::from_secs(5);
/// How long a leader believes in itself after a renewal. The rest of [`LEASE`] is for clocks that differ in speed, and
/// for what the leader is in the middle of.
const TRUST: Duration = Duration::from_secs(3);
/// How long one request may take; the loop asks again.
const PATIENCE: Duration = Duration::from_secs(1);
const KEY: &str = "leader";

/// What a tick came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leading {
    /// This process leads.
    Yes,
    /// Another leads, or none, or it is not known.
    No,
}

/// What the key holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holding {
    /// The instance that leads; `null` when it gave the key up.
    holder: Option<String>,
    /// Since when it leads.
    since: Timestamp,
    /// When it said so last; for people, no decision rests on it.
    renewed: Timestamp,
    /// Tells two processes apart that go by one name.
    #[serde(default)]
    session: String,
}

/// What is there now.
struct Seen {
    revision: u64,
    /// `None` when it is free.
    holding: Option<Holding>,
}

/// One process's claim to lead. Dropping it leaves the key to run out.
#[derive(Debug)]
pub struct Lease {
    mesh: ControllerMesh,
    instance: String,
    session: String,
    store: Option<Store>,
    /// The revision that this process wrote last, and since when it leads.
    held: Option<(u64, Timestamp)>,
    /// When the last confirmed renewal was sent.
    confirmed: Option<Instant>,
    /// Another's revision, and when it was first seen.
    watched: Option<(u64, Instant)>,
}

impl Lease {
    /// A claim under this name; nothing is asked yet.
    pub fn new(mesh: ControllerMesh, instance: impl Into<String>) -> Self {
        let session = mesh.clock().random().iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            mesh,
            instance: instance.into(),
            session,
            store: None,
            held: None,
            confirmed: None,
            watched: None,
        }
    }

    /// Whether this process leads at this moment.
    pub fn is_leading(&self) -> bool {
        self.leads_until().is_some_and(|until| Instant::now() < until)
    }

    /// Until when this process may believe that it leads, should it hear nothing more.
    pub(crate) fn leads_until(&self) -> Option<Instant> {
        self.held?;
        self.confirmed.map(|sent| sent + TRUST)
    }

    /// Renews the lease, or takes it where it is free. To be called about once a second; it comes back within two.
    pub async fn tick(&mut self) -> Leading {
        if let Err(error) = self.try_tick().await {
            // The next tick tries again, and `is_leading` runs out by itself.
            tracing::debug!(%error, instance = self.instance, "the lease could not be renewed or read");
        }
        if self.is_leading() { Leading::Yes } else { Leading::No }
    }

    /// Gives the lease up, so that another takes it at its next tick.
    pub async fn release(&mut self) {
        let Some((revision, since)) = self.held.take() else {
            return;
        };
        self.confirmed = None;
        if let Err(error) = self.put(None, since, revision).await {
            tracing::warn!(%error, "the lease was not given up; it runs out");
        }
    }

    async fn try_tick(&mut self) -> Result<(), Error> {
        if let Some((revision, since)) = self.held {
            match self.claim(revision, since).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(%error, "a renewal was not confirmed"),
            }
        }
        let Seen { revision, holding } = self.look().await?;
        let Some(holding) = holding else {
            return self.claim(revision, self.mesh.now()).await;
        };
        if holding.session == self.session {
            // A write of this process that it did not hear of. It counts from the next one that is confirmed.
            return self.claim(revision, holding.since).await;
        }
        if self.held.take().is_some() {
            tracing::warn!(holder = holding.holder, "another controller leads now");
        }
        self.confirmed = None;
        match self.watched {
            Some((seen, at)) if seen == revision => {
                if at.elapsed() < LEASE {
                    return Ok(());
                }
                tracing::info!(holder = holding.holder, "the leader is silent, taking the lease");
                self.claim(revision, self.mesh.now()).await
            }
            Some(_) | None => {
                // Stamped after the answer came: the later this clock begins, the safer.
                self.watched = Some((revision, Instant::now()));
                Ok(())
            }
        }
    }

    /// Writes this process's name over a revision.
    async fn claim(&mut self, revision: u64, since: Timestamp) -> Result<(), Error> {
        let sent = Instant::now();
        let revision = self.put(Some(self.instance.clone()), since, revision).await?;
        if self.held.is_none() {
            tracing::info!(instance = self.instance, "this controller leads");
        }
        (self.held, self.confirmed, self.watched) = (Some((revision, since)), Some(sent), None);
        Ok(())
    }

    async fn put(&mut self, holder: Option<String>, since: Timestamp, revision: u64) -> Result<u64, Error> {
        let holding = Holding {
            holder,
            since,
            renewed: self.mesh.now(),
            session: self.session.clone(),
        };
        let value = serde_json::to_vec(&holding).map_err(|error| Error::api("encoding the lease", error))?;
        let written = tokio::time::timeout(PATIENCE, async {
            let store = self.store().await?;
            let written = store.update(KEY, value.into(), revision).await;
            written.map_err(|error| Error::api("writing the lease", error))
        });
        written.await.unwrap_or_else(|_| Err(no_answer("writing the lease")))
    }

    async fn look(&mut self) -> Result<Seen, Error> {
        let read = tokio::time::timeout(PATIENCE, async {
            let entry = self.store().await?.entry(KEY).await;
            entry.map_err(|error| Error::api("reading the lease", error))
        });
        let entry = read.await.unwrap_or_else(|_| Err(no_answer("reading the lease")))?;
        let Some(entry) = entry else {
            return Ok(Seen {
                revision: 0,
                holding: None,
            });
        };
        let holding = match entry.operation {
            // What cannot be read is held by somebody, who may be of a newer version.
            Operation::Put => Some(serde_json::from_slice(&entry.value).unwrap_or_else(|_| Holding {
                holder: Some("(unreadable)".to_owned()),
                since: Timestamp::default(),
                renewed: Timestamp::default(),
                session: String::new(),
            })),
            Operation::Delete | Operation::Purge => None,
        };
        Ok(Seen {
            revision: entry.revision,
            holding: holding.filter(|holding| holding.holder.is_some()),
        })
    }

    async fn store(&mut self) -> Result<&Store, Error> {
        let store = match self.store.take() {
            Some(store) => store,
            None => self.mesh.bucket(self.mesh.subjects().control_bucket()).await?,
        };
        Ok(self.store.insert(store))
    }
}

fn no_answer(what: &str) -> Error {
    Error::NoAnswer { what: what.to_owned() }
}
