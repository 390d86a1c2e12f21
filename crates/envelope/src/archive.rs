//! Closed intents, as the archive stores them, and the file that carries intents from one mesh to another.

pub(crate) mod bundle;
pub(crate) mod export;
