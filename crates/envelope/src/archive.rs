//! Closed intents, as the archive stores them.

pub(crate) mod bundle;
