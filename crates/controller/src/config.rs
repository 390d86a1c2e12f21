//! The settings of a controller.

use std::path::PathBuf;
use std::time::Duration;

use baton_envelope::{BREAKER_AFTER, BREAKER_OPEN_FOR, Bands};
use baton_jetstream::Limits;

/// The settings of the archive; the same on every controller of a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// Whether to archive closed intents. Default yes.
    pub enabled: bool,
    /// How long a closed intent stays in the ledger. Default 10 min: longer than the server may take to write
    /// acknowledged data to disk (2 min unless configured).
    pub grace: Duration,
    /// How long the terminal record of an archived intent stays in the ledger if the caller chose the id. Until then a
    /// repeat is recognised without asking the archive. Default 24 h.
    pub keep_chosen_ids: Duration,
    /// How long the objects of a tree of intents stay once none of these is open. Default 24 h.
    pub keep_objects: Duration,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            grace: Duration::from_secs(10 * 60),
            keep_chosen_ids: Duration::from_secs(24 * 60 * 60),
            keep_objects: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The settings of breakers; the same on every controller of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// How many hops in a row that use up their attempts open the breaker of their version. Default 3; 0 opens none.
    pub after: u32,
    /// How long a breaker stays open before one intent is let through. Default 60 s.
    pub open_for: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            after: BREAKER_AFTER,
            open_for: BREAKER_OPEN_FOR,
        }
    }
}

/// The settings of one controller.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// The limits of the streams and buckets that the controller creates: replicas (a count) and bytes.
    pub limits: Limits,
    /// How the ten priorities form bands; the same on every controller and worker of a mesh.
    pub bands: Bands,
    /// The time between sweeps. Each wait is spread by a quarter either way, so that several controllers do not sweep
    /// in step. Default 10 s.
    pub sweep_interval: Duration,
    /// How long the sweep leaves an intent alone after its last record. This covers the time between the two writes of
    /// a commit and the difference between clocks. Default 15 s.
    pub sweep_slack: Duration,
    /// The time between two checkpoints, in a mesh that signs. Default 1 min.
    pub checkpoint_interval: Duration,
    /// How many raw intents one pull requests. Default 256 messages.
    pub route_batch: usize,
    /// How many raw intents to route at the same time. Default 64.
    pub route_slots: usize,
    /// How long work in flight may take to finish when the controller stops. Default 10 s.
    pub drain_timeout: Duration,
    /// The file of the ledger's projection. Default none: in memory, rebuilt at each start.
    pub projection: Option<PathBuf>,
    /// What happens to closed intents.
    pub archive: ArchiveConfig,
    /// When breakers open, and for how long.
    pub breaker: BreakerConfig,
    /// Whether the mesh is secured: accounts keep its roles apart, and a change is asked for by whoever the server says. Default
    /// no.
    pub secured: bool,
    /// The name of this process in its records. Default `controller-<process id>`.
    pub instance: String,
}

impl ControllerConfig {
    /// The limits with all that this controller shares with the mesh.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            bands: self.bands,
            secured: self.secured,
            decides: true,
            ..self.limits
        }
    }
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            bands: Bands::default(),
            sweep_interval: Duration::from_secs(10),
            sweep_slack: Duration::from_secs(15),
            checkpoint_interval: Duration::from_secs(60),
            route_batch: 256,
            route_slots: 64,
            drain_timeout: Duration::from_secs(10),
            projection: None,
            archive: ArchiveConfig::default(),
            breaker: BreakerConfig::default(),
            secured: false,
            instance: format!("controller-{}", std::process::id()),
        }
    }
}
