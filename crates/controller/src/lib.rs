//! Baton's control plane: takes raw intents in, makes routes for versions that declare themselves, and sweeps.
//!
//! Any number of controllers may run at once, and none has to: work in flight, handoffs between agents and short
//! retries go on without one. A controller holds no truth of its own; everything that it does may be repeated, by
//! itself after a crash or by another one at the same moment.
//!
//! It must not name `async_nats` (that is `baton-jetstream`'s) nor `baton-agent` (they meet in the envelope).

mod alarms;
mod archiving;
mod backoff;
mod config;
mod controller;
mod desk;
mod draining;
mod error;
mod fleet;
mod office;
mod overseer;
mod projection;
mod ramping;
mod registrar;
mod rejection;
mod router;
mod routing;
mod sweeping;

pub use config::{ArchiveConfig, ControllerConfig};
pub use controller::Controller;
pub use error::Error;
pub use projection::{Error as ProjectionError, Projection};
