//! The intake: raw messages become intents, or are recorded as rejected.

pub(crate) mod rejection;
pub(crate) mod router;
pub(crate) mod routing;
