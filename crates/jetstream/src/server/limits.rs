//! The limits of the streams that a connection creates, and when the server writes tickets.

use std::str::FromStr;
use std::time::Duration;

use baton_envelope::{Bands, Signatures};
use serde::{Deserialize, Serialize};

/// When the server writes tickets to disk.
///
/// The ledger says what is open, so a ticket that is lost is written again, after the sweep's slack. That is why tickets,
/// and they alone, may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TicketPersistence {
    /// Before it acknowledges them; with `sync_interval: always` it also syncs each ticket and each ack of one.
    #[default]
    Default,
    /// Soon after. The death of the server's process can lose those of the last milliseconds, a power cut those since
    /// the last sync.
    Async,
}

impl TicketPersistence {
    /// Its word in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Async => "async",
        }
    }
}

impl FromStr for TicketPersistence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Default, Self::Async];
        let found = all.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("{text:?} is neither `default` nor `async`"))
    }
}

/// Bounds of single streams, so that what one role fills is not the room of all. 0 is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The largest size of the intake in bytes; the server keeps so much room for it. Default 512 MiB.
    pub intake_bytes: u64,
    /// The largest size of the work stream of an agent in bytes; the server keeps so much room for each. Default none.
    pub work_bytes: u64,
    /// The largest size of the context stream in bytes; the server keeps so much room for it. Default none.
    pub context_bytes: u64,
    /// The largest size of the memory stream in bytes; the server keeps so much room for it. Default none.
    pub memory_bytes: u64,
    /// How many consumers the work stream of an agent may have: a version takes one for each band. Default 1,000.
    pub work_consumers: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            intake_bytes: 512 << 20,
            work_bytes: 0,
            context_bytes: 0,
            memory_bytes: 0,
            work_consumers: 1000,
        }
    }
}

impl Bounds {
    /// A size as the server writes it.
    pub(crate) fn bytes(bytes: u64) -> Option<i64> {
        i64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
    }
}

/// Limits of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many copies streams keep.
    pub replicas: usize,
    /// Whether whoever makes the streams decides on their copies, as a controller does. A worker or a command that comes first
    /// makes them with what it has, and the first leader that is configured with more sets that.
    pub decides: bool,
    /// The largest size of a stream in bytes; -1 for no limit of its own. A full stream refuses, it never discards.
    pub max_bytes: i64,
    /// How long the archive keeps a closed intent; zero for ever. Default 30 days.
    pub archive_max_age: Duration,
    /// When tickets are written. Streams with several copies are as with `Default`, whatever this says.
    pub tickets: TicketPersistence,
    /// How the ten priorities are grouped; the same in all of a mesh.
    pub bands: Bands,
    /// Whether the mesh is secured: who asks for a change is then what the server says.
    pub secured: bool,
    /// The bounds of single streams that this process makes. Those that are there keep theirs.
    pub bounds: Bounds,
    /// Whether records are signed; a leader raises the mesh to it, and never lowers it.
    pub signatures: Signatures,
}

impl Limits {
    /// Whether work streams are written when the server finds the time. It takes that for neither a replicated stream nor one
    /// with atomic batches.
    pub(crate) fn is_async(self) -> bool {
        self.tickets == TicketPersistence::Async && self.replicas == 1
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            replicas: 1,
            decides: false,
            max_bytes: -1,
            archive_max_age: Duration::from_secs(30 * 24 * 60 * 60),
            tickets: TicketPersistence::Default,
            bands: Bands::default(),
            secured: false,
            bounds: Bounds::default(),
            signatures: Signatures::Off,
        }
    }
}
