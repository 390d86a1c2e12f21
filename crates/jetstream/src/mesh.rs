//! A connection to one mesh.

use std::sync::Arc;

use async_nats::Client;
use async_nats::jetstream::{self, Context};
use baton_envelope::{Record, RecordId, Subjects, Timestamp};
use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::Error;
use crate::load::LoadBoard;
use crate::routes::RouteTable;
use crate::topology::Limits;

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
    routes: RouteTable,
    load: LoadBoard,
    /// Until when it is not looked for a controller again.
    without_controller: std::sync::Mutex<Option<tokio::time::Instant>>,
}

impl Mesh {
    pub(crate) fn new(
        client: Client,
        api_prefix: String,
        url: String,
        subjects: Subjects,
        clock: Arc<dyn Clock>,
        connections: watch::Receiver<u64>,
        replicas: usize,
    ) -> Self {
        let context = jetstream::with_prefix(client.clone(), &api_prefix);
        let routes = RouteTable::default();
        let inner = Inner {
            client,
            context,
            api_prefix,
            url,
            subjects,
            clock,
            connections,
            replicas,
            routes,
            load: LoadBoard::default(),
            without_controller: std::sync::Mutex::default(),
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

    /// Waits until everything that was sent has left this process: acks are fire-and-forget, so a process that stops
    /// must flush.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn flush(&self) -> Result<(), Error> {
        self.client().flush().await.map_err(|error| Error::api("flush", error))
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

    pub(crate) fn replicas(&self) -> usize {
        self.inner.replicas
    }

    /// The limits of the streams that this connection creates.
    pub fn limits(&self) -> Limits {
        Limits {
            replicas: self.inner.replicas,
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

    /// Counts the connections that were made; changes with each reconnect.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.inner.connections.clone()
    }

    pub(crate) fn encode(record: &Record) -> Result<Bytes, Error> {
        serde_json::to_vec(record)
            .map(Bytes::from)
            .map_err(|error| Error::api("encoding a record", error))
    }
}
