//! The archive: where a bundle is, a page of them, and how much waits to be archived.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;

/// Asks where the archive keeps the bundles of an intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindArchived {
    /// The intent.
    pub intent: IntentId,
    /// When it was submitted, according to a record in the ledger: is that intent closed?
    #[serde(default)]
    pub submitted_at: Option<Timestamp>,
}

/// Where the archive keeps the bundles of an intent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArchiveFound {
    /// Sequences of the archive, the newest first. Bundles of other intents may be among them: compare the id.
    pub at: Vec<u64>,
    /// Whether the archive holds the intent of the record that was named.
    #[serde(default)]
    pub closed: bool,
}

/// Asks for a page of the archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ListArchived {
    /// Only with one of these status names; empty for all.
    #[serde(default)]
    pub statuses: Vec<String>,
    /// Only those that this agent had last.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// Only bundles below this sequence of the archive; absent for the newest.
    #[serde(default)]
    pub before: Option<u64>,
    /// At most so many; the controller gives 1,000 at most.
    pub limit: usize,
}

/// A page of the archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArchivePage {
    /// How many bundles match, on this page or not.
    pub matched: u64,
    /// Sequences of the archive, the newest first.
    pub at: Vec<u64>,
}

/// Asks how much is archived, and how much waits.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ShowArchive {}

/// How much is archived, and how much waits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArchiveStatus {
    /// Whether closed intents are archived.
    pub enabled: bool,
    /// How long they stay in the ledger before, in seconds.
    pub grace_seconds: u64,
    /// Bundles in the archive.
    pub archived: u64,
    /// Closed intents in the ledger that are not in the archive yet.
    pub waiting: u64,
    /// Of these, those whose grace time is over.
    pub due: u64,
    /// When the oldest of these ended.
    pub oldest_due: Option<Timestamp>,
    /// Archived intents of which the ledger still has the terminal record, because the caller chose the id.
    pub kept: u64,
    /// Closed intents that could not be archived; only the leading controller knows of them.
    pub failing: u64,
    /// Which one for example, and why.
    pub problem: Option<String>,
}
