//! Who is there: what workers say of themselves, and whether one lives.

mod probe;
mod registry;
mod service;

pub use probe::Alive;
pub use registry::Heartbeats;
pub use service::ServiceRegistration;
