//! Questions about the archive: where a bundle is, a page of bundles, and how much waits to be archived.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;

/// Asks where the archive keeps the bundles of an intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindArchived {
    /// The intent.
    pub intent: IntentId,
    /// The submission time in a ledger record of this id. The answer then says whether the archive holds that intent.
    #[serde(default)]
    pub submitted_at: Option<Timestamp>,
}

/// Where the archive keeps the bundles of an intent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArchiveFound {
    /// Archive sequences, newest first. Bundles of other intents may be among them: compare the id.
    pub at: Vec<u64>,
    /// Whether the archive holds the intent submitted at the given time.
    #[serde(default)]
    pub closed: bool,
}

/// Asks for a page of the archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ListArchived {
    /// Only bundles with one of these status names; empty for all.
    #[serde(default)]
    pub statuses: Vec<String>,
    /// Only bundles whose intent this agent had last.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// Only bundles below this archive sequence; absent for the newest.
    #[serde(default)]
    pub before: Option<u64>,
    /// The most bundles to return; the controller returns at most 1,000.
    pub limit: usize,
}

/// A page of the archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArchivePage {
    /// How many bundles match in total, on this page or not.
    pub matched: u64,
    /// Archive sequences, newest first.
    pub at: Vec<u64>,
}

/// Asks how much is archived, and how much waits.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ShowArchive {}

/// How much is archived, and how much waits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArchiveStatus {
    /// Whether this mesh archives closed intents.
    pub enabled: bool,
    /// How long a closed intent stays in the ledger before it is archived, in seconds.
    pub grace_seconds: u64,
    /// The number of bundles in the archive.
    pub archived: u64,
    /// Closed intents in the ledger that are not in the archive yet.
    pub waiting: u64,
    /// How many of these are past their grace time.
    pub due: u64,
    /// When the oldest due intent ended.
    pub oldest_due: Option<Timestamp>,
    /// Archived intents whose terminal record stays in the ledger, because the caller chose the id.
    pub kept: u64,
    /// Closed intents that could not be archived; only the leading controller knows of them.
    pub failing: u64,
    /// One of the failing intents, and why it fails.
    pub problem: Option<String>,
    /// Closed intents whose earlier records are neither in the ledger nor in the archive, so that nobody can archive them;
    /// only the leading controller knows of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub incomplete: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it leaves out by reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
