//! The intake: raw messages become intents, or are recorded as rejected.

mod again;
pub(crate) mod asks;
mod decisions;
mod keys;
pub(crate) mod rejection;
pub(crate) mod router;
pub(crate) mod routing;
mod signals;
