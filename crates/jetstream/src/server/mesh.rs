//! A connection to one mesh.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, Context};
use baton_envelope::{AgentName, RecordId, Subjects, Timestamp};
use bytes::Bytes;
use tokio::sync::watch;

use super::batch::Lane;
use super::cache::LoadBoard;
use super::clock::Clock;
use super::dial::Dial;
use super::limits::{Limits, TicketPersistence};
use super::link::Link;
use super::route_table::{Moment, RouteTable};
use crate::error::Error;

/// The oldest server whose atomic batches are used: before it a guard in one batch could be taken for another's
/// (fixed in 2.14.4, and in 2.12.14 for that line).
const BATCH_SERVER: (i64, i64, i64) = (2, 14, 4);

/// A connection to one mesh; cheap to clone.
#[derive(Debug, Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    context: Context,
    api_prefix: String,
    url: String,
    subjects: Subjects,
    clock: Arc<dyn Clock>,
    connections: watch::Receiver<u64>,
    /// As configured, until the mesh's own number was read.
    replicas: AtomicUsize,
    tickets: TicketPersistence,
    dial: Dial,
    routes: RouteTable,
    load: LoadBoard,
    /// Until when it is not looked for a controller again.
    without_controller: std::sync::Mutex<Option<tokio::time::Instant>>,
    /// Until when buckets are read key by key, because this user may not ask for several at once.
    keys_alone: std::sync::Mutex<Option<tokio::time::Instant>>,
    takes_batches: bool,
    ledger_lane: Arc<Lane>,
    work_lanes: RwLock<HashMap<AgentName, Arc<Lane>>>,
}

impl Mesh {
    pub(super) fn new(
        link: Link,
        api_prefix: String,
        url: String,
        subjects: Subjects,
        clock: Arc<dyn Clock>,
        connections: watch::Receiver<u64>,
        (replicas, tickets, dial): (usize, TicketPersistence, Dial),
    ) -> Self {
        let context = jetstream::with_prefix(link.client().clone(), &api_prefix);
        let routes = RouteTable::default();
        let (major, minor, patch) = BATCH_SERVER;
        let takes_batches = link.client().is_server_compatible(major, minor, patch);
        let ledger_lane = Arc::new(Lane::new(link.clone(), takes_batches));
        let inner = Inner {
            link,
            context,
            api_prefix,
            url,
            subjects,
            clock,
            connections,
            replicas: AtomicUsize::new(replicas),
            tickets,
            dial,
            routes,
            load: LoadBoard::default(),
            without_controller: std::sync::Mutex::default(),
            keys_alone: std::sync::Mutex::default(),
            takes_batches,
            ledger_lane,
            work_lanes: RwLock::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A second connection to the same mesh as the same user. It lives on the runtime that this is called on: for what must
    /// get through while the runtime of the first stands still.
    ///
    /// # Errors
    /// When no server answers.
    pub async fn beside(&self, name: &str) -> Result<Self, Error> {
        let inner = &self.inner;
        let link = inner.dial.beside(name, &inner.url).await?;
        let (_, connections) = watch::channel(0);
        Ok(Self::new(
            link,
            inner.api_prefix.clone(),
            inner.url.clone(),
            inner.subjects.clone(),
            Arc::clone(&inner.clock),
            connections,
            (self.replicas(), inner.tickets, inner.dial.clone()),
        ))
    }

    /// The names of this mesh's subjects, streams and buckets.
    pub fn subjects(&self) -> &Subjects {
        &self.inner.subjects
    }

    /// The address that was connected to.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// The clock that was passed in.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// A new record id.
    pub fn record_id(&self) -> RecordId {
        self.inner.clock.record_id()
    }

    /// Waits until everything that was sent has left this process: acks are fire-and-forget, so a process that stops
    /// must flush.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn flush(&self) -> Result<(), Error> {
        self.client().flush().await.map_err(|error| Error::api("flush", error))
    }

    /// Waits until the server has read all that was sent before: it answers in order, while a flush says only that the bytes
    /// have left.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn round_trip(&self) -> Result<(), Error> {
        let info = self
            .ask::<serde::de::IgnoredAny>("INFO", &serde_json::json!({}))
            .await?;
        Ok(info.map(drop)?)
    }

    /// The most bytes that the server takes in one message, by its `max_payload`.
    pub fn largest_message(&self) -> usize {
        self.client().max_payload()
    }

    /// Publishes on a plain subject, without any stream.
    ///
    /// # Errors
    /// When the subject is not valid or the connection was closed.
    pub async fn publish_plain(&self, subject: String, payload: Bytes) -> Result<(), Error> {
        self.client()
            .publish(subject, payload)
            .await
            .map_err(|error| Error::api("publish", error))
    }

    pub(crate) fn client(&self) -> &Client {
        self.inner.link.client()
    }

    /// The client with what the server denies it.
    pub(crate) fn link(&self) -> &Link {
        &self.inner.link
    }

    pub(crate) fn context(&self) -> &Context {
        &self.inner.context
    }

    pub(crate) fn api_prefix(&self) -> &str {
        &self.inner.api_prefix
    }

    /// What writes to the ledger.
    pub(crate) fn ledger_lane(&self) -> &Arc<Lane> {
        &self.inner.ledger_lane
    }

    /// What writes tickets for an agent.
    pub(crate) fn work_lane(&self, agent: &AgentName) -> Arc<Lane> {
        let lanes = &self.inner.work_lanes;
        if let Some(lane) = lanes.read().unwrap_or_else(PoisonError::into_inner).get(agent) {
            return Arc::clone(lane);
        }
        let mut lanes = lanes.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(self.ledger_lane().beside(self.work_takes_batches(self.limits())));
        Arc::clone(lanes.entry(agent.clone()).or_insert_with(new))
    }

    /// Whether the server can take atomic batches: streams are created for them then.
    pub(crate) fn takes_batches(&self) -> bool {
        self.inner.takes_batches
    }

    /// Whether work streams of these limits can take them, too.
    pub(crate) fn work_takes_batches(&self, limits: Limits) -> bool {
        self.takes_batches() && !limits.is_async()
    }

    pub(crate) fn replicas(&self) -> usize {
        self.inner.replicas.load(Ordering::Relaxed)
    }

    /// The mesh keeps so many copies, whatever is configured here.
    pub(crate) fn set_replicas(&self, replicas: usize) {
        self.inner.replicas.store(replicas, Ordering::Relaxed);
    }

    /// The limits of the streams that this connection creates.
    pub fn limits(&self) -> Limits {
        Limits {
            replicas: self.replicas(),
            tickets: self.inner.tickets,
            ..Limits::default()
        }
    }

    pub(crate) fn is_without_controller(&self) -> bool {
        let until = self.inner.without_controller.lock();
        let until = until.unwrap_or_else(std::sync::PoisonError::into_inner);
        until.is_some_and(|until| tokio::time::Instant::now() < until)
    }

    pub(crate) fn without_controller_until(&self, until: tokio::time::Instant) {
        let known = self.inner.without_controller.lock();
        *known.unwrap_or_else(std::sync::PoisonError::into_inner) = Some(until);
    }

    pub(crate) fn reads_keys_alone(&self) -> bool {
        let until = self.inner.keys_alone.lock();
        let until = until.unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| tokio::time::Instant::now() < until)
    }

    pub(crate) fn read_keys_alone_until(&self, until: tokio::time::Instant) {
        let known = self.inner.keys_alone.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// A random part of a duration: whatever all processes do after a reconnect, they do not do at once.
    pub(crate) fn spread(&self, over: Duration) -> Duration {
        let [first, second, ..] = self.clock().random();
        over * u32::from(u16::from_be_bytes([first, second])) / u32::from(u16::MAX)
    }

    /// Now, on the clock that never goes back and on the one that was passed in.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            at: tokio::time::Instant::now(),
            wall: self.now(),
        }
    }

    pub(crate) fn routes(&self) -> &RouteTable {
        &self.inner.routes
    }

    pub(crate) fn load_board(&self) -> &LoadBoard {
        &self.inner.load
    }

    /// Counts the connections that were made; changes with each reconnect.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.inner.connections.clone()
    }
}
