//! Baton's control plane: routes raw intents, makes routes for versions that declare themselves, and sweeps.
//!
//! Any number of controllers may run at once, and none has to: work in flight, handoffs between agents and short
//! retries go on without one. A controller holds no truth of its own. It may repeat everything it does after a crash,
//! and another controller may do the same at the same moment.
//!
//! This crate must not name `async_nats` (only `baton-jetstream` does) or `baton-agent` (the two meet in the envelope).

mod alarm;
mod api;
mod backoff;
mod config;
mod context;
mod duty;
mod error;
mod intake;
mod kills;
mod projection;
mod registry;
mod rounds;
mod run;
mod schedules;
mod stats;
mod tell;
mod workers;

pub use config::{ArchiveConfig, BreakerConfig, ControllerConfig};
pub use error::Error;
pub use projection::{Error as ProjectionError, Projection};
pub use run::Controller;
pub use stats::{LastRound, RoundOutcome, RoundStats, Stats};
