//! Closed intents, as the archive keeps them.

pub(crate) mod bundle;
