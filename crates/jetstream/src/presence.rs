//! Presence: what workers declare about themselves, and whether one is alive.

mod probe;
mod registry;
mod service;
mod tell;

pub use probe::Alive;
pub use registry::Heartbeats;
pub use service::ServiceRegistration;
