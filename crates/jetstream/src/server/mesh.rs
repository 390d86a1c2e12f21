//! A connection to one mesh.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_nats::Client;
use async_nats::jetstream::{self, Context};
use baton_envelope::{AgentName, RecordId, Subjects, Timestamp};
use bytes::Bytes;
use tokio::sync::watch;

use super::batch::Lane;
use super::cache::{LoadBoard, RouteTable};
use super::clock::Clock;
use super::limits::{Limits, TicketPersistence};
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
    client: Client,
    context: Context,
    api_prefix: String,
    url: String,
    subjects: Subjects,
    clock: Arc<dyn Clock>,
    connections: watch::Receiver<u64>,
    replicas: usize,
    tickets: TicketPersistence,
    routes: RouteTable,
    load: LoadBoard,
    /// Until when it is not looked for a controller again.
    without_controller: std::sync::Mutex<Option<tokio::time::Instant>>,
    takes_batches: bool,
    ledger_lane: Arc<Lane>,
    work_lanes: RwLock<HashMap<AgentName, Arc<Lane>>>,
}

impl Mesh {
    pub(crate) fn new(
        client: Client,
        api_prefix: String,
        url: String,
        subjects: Subjects,
        clock: Arc<dyn Clock>,
        connections: watch::Receiver<u64>,
        (replicas, tickets): (usize, TicketPersistence),
    ) -> Self {
        let context = jetstream::with_prefix(client.clone(), &api_prefix);
        let routes = RouteTable::default();
        let (major, minor, patch) = BATCH_SERVER;
        let takes_batches = client.is_server_compatible(major, minor, patch);
        let ledger_lane = Arc::new(Lane::new(client.clone(), takes_batches));
        let inner = Inner {
            client,
            context,
            api_prefix,
            url,
            subjects,
            clock,
            connections,
            replicas,
            tickets,
            routes,
            load: LoadBoard::default(),
            without_controller: std::sync::Mutex::default(),
            takes_batches,
            ledger_lane,
            work_lanes: RwLock::default(),
        };
        Self { inner: Arc::new(inner) }
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
        &self.inner.client
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
        self.inner.replicas
    }

    /// The limits of the streams that this connection creates.
    pub fn limits(&self) -> Limits {
        Limits {
            replicas: self.inner.replicas,
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

    pub(crate) fn routes(&self) -> &RouteTable {
        &self.inner.routes
    }

    pub(crate) fn load_board(&self) -> &LoadBoard {
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
