//! The intake: raw messages become intents, or are recorded as rejected.

mod again;
mod asked;
pub(crate) mod asks;
mod channels;
mod decisions;
mod keys;
pub(crate) mod rejection;
pub(crate) mod router;
pub(crate) mod routing;
mod signals;
