//! `[archive]`: what becomes of closed intents.

use serde::{Deserialize, Serialize};

use crate::parse::Span;

/// `[archive]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ArchiveConfig {
    /// Whether closed intents are moved from the ledger to the archive.
    pub(crate) enabled: bool,
    /// How long a closed intent stays in the ledger.
    pub(crate) grace: Span,
    /// How long the archive keeps it.
    pub(crate) max_age: Span,
    /// How long the terminal record of an intent stays in the ledger after that, where the caller chose the id.
    pub(crate) keep_chosen_ids: Span,
    /// How long the objects of a tree of intents stay once none of these is open.
    pub(crate) keep_objects: Span,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        let theirs = baton_controller::ArchiveConfig::default();
        Self {
            enabled: theirs.enabled,
            grace: Span(theirs.grace),
            max_age: Span(baton_jetstream::Limits::default().archive_max_age),
            keep_chosen_ids: Span(theirs.keep_chosen_ids),
            keep_objects: Span(theirs.keep_objects),
        }
    }
}

impl From<&ArchiveConfig> for baton_controller::ArchiveConfig {
    fn from(ours: &ArchiveConfig) -> Self {
        Self {
            enabled: ours.enabled,
            grace: ours.grace.0,
            keep_chosen_ids: ours.keep_chosen_ids.0,
            keep_objects: ours.keep_objects.0,
        }
    }
}
