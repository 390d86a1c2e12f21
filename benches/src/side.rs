//! One side of a pair: Baton or its floor, with the same operations on both.

use std::sync::atomic::{AtomicU64, Ordering};

use baton_baseline::Baseline;

pub(crate) use baton_baseline::Layout;

use crate::baton::Relay;
use crate::error::BenchError;
use crate::options::Only;
use crate::site::Site;

/// The shape of a side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// How many agents.
    pub(crate) agents: usize,
    /// Versions of each agent; intents go to all of them in turn. A bare client has a work stream for each.
    pub(crate) versions: usize,
    /// How the agents are arranged.
    pub(crate) layout: Layout,
    /// Slots of each worker.
    pub(crate) slots: u32,
    /// The payload in bytes.
    pub(crate) payload: usize,
    /// Streams of the ledger. Baton has one; only a bare client can be measured with more.
    pub(crate) shards: usize,
}

/// One side of a pair, at work.
#[derive(Debug)]
pub(crate) struct Side {
    kind: Kind,
    /// The next number of an intent.
    next: AtomicU64,
}

#[derive(Debug)]
enum Kind {
    /// The bare client.
    Floor(Box<Baseline>),
    /// Baton.
    Baton(Relay),
}

impl Side {
    /// Starts a side on its own connection and in its own namespace.
    pub(crate) async fn start(site: &Site, which: Only, tag: &str, shape: Shape) -> Result<Self, BenchError> {
        let kind = match which {
            Only::Baton | Only::Open => Kind::Baton(Relay::start(site, tag, shape).await?),
            Only::Floor => {
                let name = tag.replace('-', "_");
                let shape = baton_baseline::Shape {
                    stages: shape.agents * shape.versions,
                    layout: shape.layout,
                    slots: usize::try_from(shape.slots).unwrap_or(usize::MAX),
                    payload: shape.payload,
                    shards: shape.shards,
                    reads: None,
                };
                Kind::Floor(Box::new(Baseline::start(&site.url(), &name, shape).await?))
            }
        };
        Ok(Self {
            kind,
            next: AtomicU64::new(0),
        })
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Floor(_) => Only::Floor.name(),
            Kind::Baton(_) => Only::Baton.name(),
        }
    }

    /// Submits one intent.
    pub(crate) async fn submit(&self) -> Result<(), BenchError> {
        match &self.kind {
            Kind::Floor(floor) => Ok(floor.submit(self.number()).await?),
            Kind::Baton(relay) => relay.submit(self.number()).await,
        }
    }

    /// Submits one intent that stays open.
    pub(crate) async fn leave_open(&self) -> Result<(), BenchError> {
        match &self.kind {
            Kind::Floor(floor) => Ok(floor.leave_open(self.number()).await?),
            Kind::Baton(relay) => relay.leave_open().await,
        }
    }

    /// Submits one intent and waits for its end.
    pub(crate) async fn submit_and_wait(&self) -> Result<(), BenchError> {
        match &self.kind {
            Kind::Floor(floor) => Ok(floor.submit_and_wait(self.number()).await?),
            Kind::Baton(relay) => relay.submit_and_wait().await,
        }
    }

    /// The work streams that run empty, in the order in which an intent passes them.
    pub(crate) fn work_streams(&self) -> Vec<String> {
        match &self.kind {
            Kind::Floor(floor) => floor.work_streams(),
            Kind::Baton(relay) => relay.work_streams(),
        }
    }

    /// The streams of the ledger.
    pub(crate) fn ledger_streams(&self) -> Vec<String> {
        match &self.kind {
            Kind::Floor(floor) => floor.ledger_streams(),
            Kind::Baton(relay) => vec![relay.mesh().subjects().ledger_stream()],
        }
    }

    /// Stops the side, and removes what it left on the server.
    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        match self.kind {
            Kind::Floor(floor) => Ok(floor.remove().await?),
            Kind::Baton(relay) => relay.stop().await,
        }
    }
}
