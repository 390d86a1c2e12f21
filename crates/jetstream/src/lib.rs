//! What Baton does on NATS JetStream, and the only production crate that names `async_nats`.
//!
//! It owns the topology, the guarded writes of the ledger, tickets and their delivery, raw intents, routes, the
//! registry, and live events. It decides nothing about the life of an intent: the pure functions of
//! `baton-envelope` do, and this crate carries out what they say.

mod api;
mod clock;
mod connect;
pub mod control;
mod delivery;
mod doctor;
mod error;
mod events;
pub mod floor;
mod forms;
mod intake;
mod ledger;
mod listing;
mod mesh;
mod moving;
mod nats_context;
mod pull;
mod redrive;
mod registry;
mod route_changes;
mod routes;
mod service;
mod settle;
mod submit;
mod sweep;
mod topology;

pub use clock::{Clock, SystemClock};
pub use connect::Target;
pub use delivery::{Delivery, Extender, Ticket};
pub use doctor::{Finding, Level, examine};
pub use error::{Error, Refusal};
pub use events::{Events, LiveRecord};
pub use forms::in_form_for;
pub use intake::{IntakeMessage, IntakeReader, KEPT_BODY_BYTES};
pub use ledger::{Head, Written};
pub use listing::{Filter, Listed};
pub use mesh::Mesh;
pub use moving::Moved;
pub use pull::{Pulled, Puller};
pub use redrive::{Redrive, Redriven};
pub use registry::Heartbeats;
pub use routes::RouteFollower;
pub use service::ServiceRegistration;
pub use settle::Settled;
pub use submit::{Submitted, WaitEnd};
pub use sweep::{SweepReport, Sweeper};
pub use topology::{ACK_WAIT, Limits};
