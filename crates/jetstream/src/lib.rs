//! What Baton does on NATS JetStream, and the only production crate that names `async_nats`.
//!
//! It owns the topology, the guarded writes of the ledger, tickets and their delivery, raw intents, routes, the
//! registry, and live events. It decides nothing about the life of an intent: the pure functions of
//! `baton-envelope` do, and this crate carries out what they say.

mod ack_place;
mod api;
mod archive;
mod capable;
mod clock;
mod connect;
mod consumers;
pub mod control;
mod delivery;
mod doctor;
mod encode;
mod error;
mod events;
mod forms;
mod group;
mod intake;
mod leadership;
mod lease;
mod ledger;
mod listing;
mod load;
mod mesh;
mod moving;
mod nats_context;
mod probe;
mod pull;
mod redrive;
mod registry;
mod replay;
mod route_changes;
mod routes;
mod service;
mod settle;
mod submit;
mod sweep;
mod tail;
mod tickets;
mod topology;
mod trail;
mod waiting;

pub use archive::{ArchiveBatch, ArchiveNote, ArchiveTail};
pub use clock::{Clock, SystemClock};
pub use connect::Target;
pub use consumers::Counts;
pub use delivery::{Delivery, Extender, Ticket};
pub use doctor::{Finding, Level, examine};
pub use error::{Error, Refusal};
pub use events::{Events, LiveRecord};
pub use forms::in_form_for;
pub use intake::{IntakeMessage, IntakeReader, KEPT_BODY_BYTES};
pub use leadership::Leadership;
pub use lease::{LEASE, Leading, Lease};
pub use ledger::{Head, Sealed, Written};
pub use listing::{Filter, Listed};
pub use load::{LoadReport, VersionLoad};
pub use mesh::Mesh;
pub use moving::Moved;
pub use probe::Alive;
pub use pull::{Pulled, Puller};
pub use redrive::{Redrive, Redriven};
pub use registry::Heartbeats;
pub use replay::{REPLAY_TIME, ReplayAnswer, ReplayCall, ReplayCalls, ReplayRequest};
pub use routes::RouteFollower;
pub use service::ServiceRegistration;
pub use settle::Settled;
pub use submit::Submitted;
pub use sweep::{ClosedInLedger, NoArchive, SweepReport, Sweeper};
pub use tail::{LedgerBatch, LedgerEnd, LedgerMark, LedgerTail};
pub use tickets::QueuedTicket;
pub use topology::{ACK_WAIT, Limits, TicketPersistence};
pub use trail::holds_life;
pub use waiting::{WaitEnd, Waiting};
