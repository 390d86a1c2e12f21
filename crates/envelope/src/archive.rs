//! Closed intents and the objects of their trees, as the archives store them, and the file that carries intents from one mesh to
//! another.

pub(crate) mod bundle;
pub(crate) mod export;
pub(crate) mod objects;
