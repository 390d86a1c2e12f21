//! One side of a pair: Baton or its floor, with the same questions to both.

use baton_jetstream::Mesh;
use baton_jetstream::floor::{self, Floor};

use crate::baton::Relay;
use crate::error::BenchError;
use crate::options::Only;
use crate::site::Site;

/// What a side consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Agents, one after the other.
    pub(crate) agents: usize,
    /// Slots of each worker.
    pub(crate) slots: u32,
    /// The payload in bytes.
    pub(crate) payload: usize,
    /// Whether there are workers; without, what is submitted waits.
    pub(crate) is_working: bool,
}

/// One side of a pair, at work.
#[derive(Debug)]
pub(crate) enum Side {
    /// The bare client.
    Floor {
        mesh: Mesh,
        name: String,
        floor: Box<Floor>,
    },
    /// Baton.
    Baton(Relay),
}

impl Side {
    /// Starts a side on a connection and in a namespace of its own.
    pub(crate) async fn start(site: &Site, which: Only, tag: &str, shape: Shape) -> Result<Self, BenchError> {
        let mesh = site.connect(tag).await?;
        if which == Only::Baton {
            return Ok(Self::Baton(Relay::start(mesh, shape).await?));
        }
        let name = tag.replace('-', "_");
        let shape = floor::Shape {
            agents: shape.agents,
            slots: usize::try_from(shape.slots).unwrap_or(usize::MAX),
            payload: shape.payload,
            is_working: shape.is_working,
        };
        let floor = Box::new(Floor::start(&mesh, &name, shape).await?);
        Ok(Self::Floor { mesh, name, floor })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Floor { .. } => Only::Floor.name(),
            Self::Baton(_) => Only::Baton.name(),
        }
    }

    /// Submits one intent; `number` is its name on the floor.
    pub(crate) async fn submit(&self, number: u64) -> Result<(), BenchError> {
        match self {
            Self::Floor { floor, .. } => Ok(floor.submit(number).await?),
            Self::Baton(relay) => relay.submit().await,
        }
    }

    /// Submits one intent and waits for its end.
    pub(crate) async fn submit_and_wait(&self, number: u64) -> Result<(), BenchError> {
        match self {
            Self::Floor { floor, .. } => Ok(floor.submit_and_wait(number).await?),
            Self::Baton(relay) => relay.submit_and_wait().await,
        }
    }

    /// The work streams, in the order in which an intent passes them.
    pub(crate) fn work_streams(&self) -> Vec<String> {
        match self {
            Self::Floor { floor, .. } => floor.work_streams(),
            Self::Baton(relay) => relay.work_streams(),
        }
    }

    /// The stream of the ledger.
    pub(crate) fn ledger_stream(&self) -> String {
        match self {
            Self::Floor { floor, .. } => floor.ledger_stream(),
            Self::Baton(relay) => relay.mesh().subjects().ledger_stream(),
        }
    }

    /// Stops it, and removes what it left on the server.
    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        match self {
            Self::Floor { mesh, name, floor } => {
                drop(floor);
                Ok(mesh.remove_everything(&name).await?)
            }
            Self::Baton(relay) => relay.stop().await,
        }
    }
}
