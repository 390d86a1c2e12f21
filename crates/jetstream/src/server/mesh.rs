//! A connection to one mesh.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, Context};
use baton_envelope::{AgentName, Author, RecordId, Subjects, Timestamp};
use bytes::Bytes;
use tokio::sync::watch;

use super::asked::{Asked, OwnRecords};
use super::batch::WriteQueue;
use super::cache::LoadCache;
use super::clock::{Clock, ServerTime};
use super::dial::Dial;
use super::limits::{Bounds, Limits, TicketPersistence};
use super::link::Link;
use super::route_table::{Moment, RouteTable};
use super::signing::Proofs;
use super::topology::{CHANNELS_SINCE, WAITS_SINCE};
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
    server_time: Arc<ServerTime>,
    connections: watch::Receiver<u64>,
    /// As configured, until the mesh's own number was read.
    replicas: AtomicUsize,
    tickets: TicketPersistence,
    bounds: Bounds,
    dial: Dial,
    routes: RouteTable,
    load: LoadCache,
    /// Until when it is not looked for a controller again.
    without_controller: std::sync::Mutex<Option<tokio::time::Instant>>,
    /// Until when buckets are read key by key, because this user may not ask for several at once.
    keys_alone: std::sync::Mutex<Option<tokio::time::Instant>>,
    /// Whether the mesh is secured, as the shared settings said last.
    is_secured: AtomicBool,
    /// The topology of the ledger, as it was read last.
    topology: AtomicU32,
    /// As whom this process writes, where it is a worker or a controller.
    author: OnceLock<Author>,
    /// Whether this process has found a ledger on the server: one that is missing later was taken away.
    has_seen_ledger: AtomicBool,
    takes_batches: bool,
    /// What it signs and verifies records with; `None` where it does neither.
    proofs: Option<Arc<Proofs>>,
    /// Whether the mesh requires signatures, as this process read last.
    must_sign: watch::Sender<bool>,
    asked: Asked,
    own_records: OwnRecords,
    ledger_queue: Arc<WriteQueue>,
    work_queues: RwLock<HashMap<AgentName, Arc<WriteQueue>>>,
}

impl Mesh {
    pub(super) fn new(
        link: Link,
        api_prefix: String,
        url: String,
        subjects: Subjects,
        (clock, server_time): (Arc<dyn Clock>, Arc<ServerTime>),
        connections: watch::Receiver<u64>,
        (replicas, (tickets, bounds), dial, proofs): (usize, (TicketPersistence, Bounds), Dial, Option<Arc<Proofs>>),
    ) -> Self {
        let context = jetstream::with_prefix(link.client().clone(), &api_prefix);
        let routes = RouteTable::default();
        let (major, minor, patch) = BATCH_SERVER;
        let takes_batches = link.client().is_server_compatible(major, minor, patch);
        let ledger_queue = Arc::new(WriteQueue::new(link.clone(), takes_batches));
        let inner = Inner {
            link,
            context,
            api_prefix,
            url,
            subjects,
            clock,
            server_time,
            connections,
            replicas: AtomicUsize::new(replicas),
            tickets,
            bounds,
            dial,
            routes,
            load: LoadCache::default(),
            without_controller: std::sync::Mutex::default(),
            keys_alone: std::sync::Mutex::default(),
            is_secured: AtomicBool::new(false),
            topology: AtomicU32::new(0),
            author: OnceLock::new(),
            has_seen_ledger: AtomicBool::new(false),
            takes_batches,
            proofs,
            must_sign: watch::Sender::new(false),
            asked: Asked::default(),
            own_records: OwnRecords::default(),
            ledger_queue,
            work_queues: RwLock::default(),
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
            // What the first one knows of the server's time the second need not learn.
            (Arc::clone(&inner.clock), Arc::clone(&inner.server_time)),
            connections,
            (
                self.replicas(),
                (inner.tickets, inner.bounds),
                inner.dial.clone(),
                inner.proofs.clone(),
            ),
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

    /// The time now, by the server's clock where that of this machine is known to be off.
    pub fn now(&self) -> Timestamp {
        self.inner.server_time.of(self.inner.clock.now())
    }

    /// By how many milliseconds the clock of this machine is ahead of the server's, as far as its answers tell; negative where
    /// it is behind, 0 where the two are less than a second apart.
    pub fn clock_ahead_ms(&self) -> i64 {
        self.inner.server_time.clock_ahead_ms()
    }

    /// Learns from a time that the server told between two times of this machine.
    pub(crate) fn learn_time(&self, told: Timestamp, asked: Timestamp, answered: Timestamp) {
        self.inner.server_time.learn(told, asked, answered);
    }

    /// A new record id.
    pub fn record_id(&self) -> RecordId {
        self.inner.clock.record_id()
    }

    /// Waits until the server has read everything that was sent: acks are fire-and-forget, so a process that stops must
    /// flush. That the client has written it says only that it has left the client, and not yet this process.
    ///
    /// # Errors
    /// When the connection is gone, or the server does not answer.
    pub async fn flush(&self) -> Result<(), Error> {
        self.round_trip().await
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

    /// What the hops of this process ask of the ledger together.
    pub(crate) fn asked(&self) -> &Asked {
        &self.inner.asked
    }

    /// What this process has written, in a secured mesh.
    pub(crate) fn own_records(&self) -> &OwnRecords {
        &self.inner.own_records
    }

    /// Whether the mesh is secured, as its shared settings said when this process started.
    pub fn is_secured(&self) -> bool {
        self.inner.is_secured.load(Ordering::Relaxed)
    }

    /// Says as whom this process writes what any worker or controller may write that finds it owed.
    pub fn writes_as(&self, author: &Author) {
        // The first one holds: a process is one.
        drop(self.inner.author.set(author.clone()));
    }

    pub(crate) fn author(&self) -> Option<&Author> {
        self.inner.author.get()
    }

    /// Whether controllers of this mesh end waits: a hop may be suspended, and work may begin later. Asks the server until
    /// that is so.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn knows_waits(&self) -> Result<bool, Error> {
        self.is_raised_to(WAITS_SINCE).await
    }

    /// Whether all controllers know channels, so that a hop may end with a message of one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn knows_channels(&self) -> Result<bool, Error> {
        self.is_raised_to(CHANNELS_SINCE).await
    }

    async fn is_raised_to(&self, since: u32) -> Result<bool, Error> {
        if self.inner.topology.load(Ordering::Relaxed) >= since {
            return Ok(true);
        }
        let topology = self.shared_settings().await?.map_or(0, |shared| shared.topology());
        self.inner.topology.store(topology, Ordering::Relaxed);
        Ok(topology >= since)
    }

    pub(crate) fn set_secured(&self, is_secured: bool) {
        self.inner.is_secured.store(is_secured, Ordering::Relaxed);
    }

    pub(crate) fn has_seen_ledger(&self) -> bool {
        self.inner.has_seen_ledger.load(Ordering::Relaxed)
    }

    /// There is a ledger: should it be missing later, it is lost.
    pub(crate) fn see_ledger(&self) {
        self.inner.has_seen_ledger.store(true, Ordering::Relaxed);
    }

    pub(crate) fn proofs(&self) -> Option<&Arc<Proofs>> {
        self.inner.proofs.as_ref()
    }

    /// Whether the mesh requires signatures, as this process read last.
    pub(super) fn must_sign(&self) -> &watch::Sender<bool> {
        &self.inner.must_sign
    }

    /// This mesh for a task that must not keep its connection open.
    pub(super) fn weak(&self) -> WeakMesh {
        WeakMesh(Arc::downgrade(&self.inner))
    }

    /// What writes to the ledger.
    pub(crate) fn ledger_queue(&self) -> &Arc<WriteQueue> {
        &self.inner.ledger_queue
    }

    /// What writes tickets for an agent.
    pub(crate) fn work_queue(&self, agent: &AgentName) -> Arc<WriteQueue> {
        let queues = &self.inner.work_queues;
        if let Some(queue) = queues.read().unwrap_or_else(PoisonError::into_inner).get(agent) {
            return Arc::clone(queue);
        }
        let mut queues = queues.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(self.ledger_queue().beside(self.work_takes_batches(self.limits())));
        Arc::clone(queues.entry(agent.clone()).or_insert_with(new))
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
            bounds: self.inner.bounds,
            signatures: self.proofs().map(|proofs| proofs.own()).unwrap_or_default(),
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

    pub(crate) fn load_cache(&self) -> &LoadCache {
        &self.inner.load
    }

    /// How many connections to a server this one has made: 1, and one more for each that was lost.
    pub fn connections_made(&self) -> u64 {
        *self.inner.connections.borrow()
    }

    /// Counts the connections that were made; changes with each reconnect.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.inner.connections.clone()
    }
}

/// A mesh that may be gone.
pub(super) struct WeakMesh(Weak<Inner>);

impl WeakMesh {
    pub(super) fn upgrade(&self) -> Option<Mesh> {
        Some(Mesh {
            inner: self.0.upgrade()?,
        })
    }
}
