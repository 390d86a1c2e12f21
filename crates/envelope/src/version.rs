//! Versions of an agent: their states, the route that says which of them takes work, and the choice for one piece of
//! work.

pub(crate) mod breaker;
pub(crate) mod cap;
pub(crate) mod capability;
pub(crate) mod channel;
pub(crate) mod choose;
pub(crate) mod limits;
pub(crate) mod path;
pub(crate) mod percent;
pub(crate) mod pinning;
pub(crate) mod policy;
pub(crate) mod receivers;
pub(crate) mod rollout;
pub(crate) mod route;
pub(crate) mod state;
pub(crate) mod view_size;
pub(crate) mod words;
