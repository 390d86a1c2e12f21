//! Baton's control plane: takes raw intents in, makes routes for versions that declare themselves, and sweeps.
//!
//! Any number of controllers may run at once, and none has to: work in flight, handoffs between agents and short
//! retries go on without one. A controller holds no truth of its own; everything that it does may be repeated, by
//! itself after a crash or by another one at the same moment.
//!
//! It must not name `async_nats` (that is `baton-jetstream`'s) nor `baton-agent` (they meet in the envelope).

mod api;
mod backoff;
mod config;
mod context;
mod duty;
mod error;
mod intake;
mod projection;
mod registry;
mod rounds;
mod run;
mod stats;
mod workers;

pub use config::{ArchiveConfig, ControllerConfig};
pub use error::Error;
pub use projection::{Error as ProjectionError, Projection};
pub use run::Controller;
pub use stats::{LastRound, RoundOutcome, RoundStats, Stats};
