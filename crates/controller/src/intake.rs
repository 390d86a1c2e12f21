//! The intake: raw messages become intents, or are recorded as rejected.

mod decisions;
mod again;
pub(crate) mod asks;
pub(crate) mod rejection;
pub(crate) mod router;
pub(crate) mod routing;
mod signals;
