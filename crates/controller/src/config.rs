//! What can be set on a controller.

use std::path::PathBuf;
use std::time::Duration;

use baton_envelope::Bands;
use baton_jetstream::Limits;

/// The settings of the archive; the same on every controller of a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// Whether closed intents are archived at all. Default yes.
    pub enabled: bool,
    /// How long a closed intent stays in the ledger. Default 10 min: longer than the server may take to write what it has
    /// acknowledged to the disk (2 min where nothing is set).
    pub grace: Duration,
    /// How long the terminal record of an intent stays in the ledger after it was archived, where the caller chose the id,
    /// so that a repeat is recognised without asking anybody. Default 24 h.
    pub keep_chosen_ids: Duration,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            grace: Duration::from_secs(10 * 60),
            keep_chosen_ids: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The settings of one controller.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// The limits with which missing streams and buckets are created: replicas (a count) and bytes.
    pub limits: Limits,
    /// How the ten priorities are grouped; the same on every controller and worker of a mesh.
    pub bands: Bands,
    /// How long from one sweep to the next; each wait is spread by a quarter either way, so that several controllers
    /// do not sweep in step. Default 10 s.
    pub sweep_interval: Duration,
    /// How long after its last record an intent is left alone by the sweep. Covers the time between the two writes of
    /// a commit and the difference of the clocks. Default 15 s.
    pub sweep_slack: Duration,
    /// How many raw intents one pull asks for. Default 256 messages.
    pub route_batch: usize,
    /// How many raw intents are routed at the same time. Default 64.
    pub route_slots: usize,
    /// How long what is in flight may take when the controller is told to stop. Default 10 s.
    pub drain_timeout: Duration,
    /// Where the projection of the ledger is kept. Default none: in memory, built anew at each start.
    pub projection: Option<PathBuf>,
    /// What becomes of closed intents.
    pub archive: ArchiveConfig,
    /// The name of this process in the records that it writes. Default `controller-<process id>`.
    pub instance: String,
}

impl ControllerConfig {
    /// The limits with all that this controller shares with the mesh.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            bands: self.bands,
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
            route_batch: 256,
            route_slots: 64,
            drain_timeout: Duration::from_secs(10),
            projection: None,
            archive: ArchiveConfig::default(),
            instance: format!("controller-{}", std::process::id()),
        }
    }
}
