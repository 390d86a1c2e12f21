//! Which controller leads: one key, written by compare-and-set, and clocks that only measure durations.
//!
//! Nothing expires at the server. A follower takes the key when it has seen the same revision for [`LEASE`] by its own
//! clock. A leader believes in itself for [`TRUST`] after it *sent* a renewal that was confirmed. A follower starts
//! counting when it sees a revision, which is never before the revision was sent. So two never lead at once, provided
//! that the clocks of two machines run at about the same speed. What a leader writes is still guarded by
//! compare-and-set: a process can be stopped between checking the lease and writing.

use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store};
use baton_envelope::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::Error;
use crate::server::ControllerMesh;

/// How long a revision must stay unchanged before another process may take the key.
pub const LEASE: Duration = Duration::from_secs(5);
/// How long a leader believes in itself after a renewal. The rest of [`LEASE`] allows for clocks that differ in speed,
/// and for what the leader is in the middle of.
const TRUST: Duration = Duration::from_secs(3);
/// How long one request may take; the loop asks again.
const PATIENCE: Duration = Duration::from_secs(1);
pub(crate) const KEY: &str = "leader";

/// The result of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leading {
    /// This process leads.
    Yes,
    /// Another process leads, or none does, or it is unknown.
    No,
}

/// The value of the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holding {
    /// The instance that leads; `null` when it gave the key up.
    holder: Option<String>,
    /// Since when it leads.
    since: Timestamp,
    /// When the holder last renewed it; for people, no decision depends on it.
    renewed: Timestamp,
    /// Tells two processes with the same name apart.
    #[serde(default)]
    session: String,
}

/// The controller that holds the key with this value.
pub(crate) fn holder(value: &[u8]) -> Option<String> {
    serde_json::from_slice::<Holding>(value).ok()?.holder
}

/// What is wrong with a value of the key, if anything is.
pub(crate) fn problem(value: &[u8]) -> Option<String> {
    serde_json::from_slice::<Holding>(value)
        .err()
        .map(|error| error.to_string())
}

/// The present state of the key.
struct Seen {
    revision: u64,
    /// `None` when the key is free.
    holding: Option<Holding>,
}

/// One process's claim to lead. Dropping it lets the key run out.
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
    /// Another process's revision, and when this one first saw it.
    watched: Option<(u64, Instant)>,
    /// When a leader was last known to be there: this process, or one that renewed the key.
    led: Instant,
}

impl Lease {
    /// A claim under this name; sends nothing yet.
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
            led: Instant::now(),
        }
    }

    /// When a leader was last known to be there; at first, when this claim was made.
    pub(crate) fn led(&self) -> Instant {
        self.led
    }

    /// Whether this process leads at this moment.
    pub fn is_leading(&self) -> bool {
        self.leads_until().is_some_and(|until| Instant::now() < until)
    }

    /// Until when this process may believe that it leads, if it hears nothing more.
    pub(crate) fn leads_until(&self) -> Option<Instant> {
        self.held?;
        self.confirmed.map(|sent| sent + TRUST)
    }

    /// Renews the lease, or takes it if it is free. Call it about once a second; it returns within two.
    pub async fn tick(&mut self) -> Leading {
        if let Err(error) = self.try_tick().await {
            // The next tick tries again, and `is_leading` runs out by itself.
            tracing::debug!(%error, instance = self.instance, "cannot renew or read the lease");
        }
        if self.is_leading() { Leading::Yes } else { Leading::No }
    }

    /// Releases the lease, so that another process takes it at its next tick.
    pub async fn release(&mut self) {
        let Some((revision, since)) = self.held.take() else {
            return;
        };
        self.confirmed = None;
        if let Err(error) = self.put(None, since, revision).await {
            tracing::warn!(%error, "cannot release the lease; it will run out");
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
            // A write of this process whose confirmation it missed. Its term counts from the next confirmed one.
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
                self.led = Instant::now();
                // Stamped after the answer arrived: the later this clock starts, the safer.
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
        self.led = sent;
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
        written
            .await
            .unwrap_or_else(|elapsed| Err(Error::no_answer("writing the lease", elapsed)))
    }

    async fn look(&mut self) -> Result<Seen, Error> {
        let read = tokio::time::timeout(PATIENCE, async {
            let entry = self.store().await?.entry(KEY).await;
            entry.map_err(|error| Error::api("reading the lease", error))
        });
        let entry = read
            .await
            .unwrap_or_else(|elapsed| Err(Error::no_answer("reading the lease", elapsed)))?;
        let Some(entry) = entry else {
            return Ok(Seen {
                revision: 0,
                holding: None,
            });
        };
        let holding = match entry.operation {
            // An unreadable value has a holder too, perhaps of a newer version.
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
