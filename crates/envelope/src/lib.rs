//! Baton's protocol, and nothing else: what an envelope, a ledger record and a ticket are, how they are written as
//! JSON, which names may become subjects, and which state may follow which.
//!
//! This crate is pure. It has no tokio, no NATS, no clock and no environment: time, randomness and configuration come
//! in as arguments, so that the live path, recovery, the projection, the model checker and the tests all run the very
//! same functions. `docs/protocol.md` is the normative text; the tests hold the two together.

mod decide;
mod envelope;
mod error;
mod event;
mod header;
mod ids;
mod json;
mod names;
mod parts;
mod protocol;
mod raw;
mod record;
mod routes;
mod snapshot;
mod status;
mod subject;
mod timestamp;
mod wire;

pub use decide::{DeliveryFacts, Standing, Submission, compare_submission, is_fresh, on_delivery};
pub use envelope::{Envelope, MAX_HOPS_DEFAULT, MAX_HOPS_LIMIT, MaxHops, Priority, Successor};
pub use error::{BadName, DecodeError, HopLimit, MustCarryBroken};
pub use event::Event;
pub use header::*;
pub use ids::{EnvelopeId, IntentId, RecordId};
pub use json::Json;
pub use names::{AgentName, AgentVersion, BadVersion, Namespace};
pub use parts::{Budget, Expects, HistoryEntry, MemoryRef, Meter, Task};
pub use protocol::{PROTOCOL, Protocol, ProtocolRange};
pub use raw::{RawFields, RawIntent, RawRejection};
pub use record::{Author, ErrorInfo, RawKept, Record, Role, StepEntry};
pub use routes::{Declaration, Route};
pub use snapshot::{PathEntry, Snapshot};
pub use status::{IllegalTransition, Status, WaitReason, next};
pub use subject::{Band, Bands, Subjects};
pub use timestamp::Timestamp;
pub use wire::Extra;
