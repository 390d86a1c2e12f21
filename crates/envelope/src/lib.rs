//! Baton's protocol, and nothing else: what an envelope, a ledger record and a ticket are, how they are written as
//! JSON, which names may become subjects, and which state may follow which.
//!
//! This crate is pure. It has no tokio, no NATS, no clock and no environment: time, randomness and configuration come
//! in as arguments, so that the live path, recovery, the projection, the model checker and the tests all run the very
//! same functions. `docs/protocol.md` is the normative text; the tests hold the two together.

mod bundle;
mod capability;
mod convert;
mod decide;
mod envelope;
mod error;
mod event;
mod fencing;
mod glance;
mod header;
mod holds;
mod ids;
mod json;
mod mutants;
mod names;
mod parts;
mod pinning;
mod protocol;
mod raw;
mod record;
pub mod rollout;
mod routes;
mod routing;
mod snapshot;
mod status;
mod subject;
mod timestamp;
mod upkeep;
mod version_state;
mod wire;

pub use bundle::{Bundle, BundleError, BundleFacts, StoredRecord};
pub use capability::{CapabilityCandidate, Load, Picked, pick};
pub use decide::{
    DeliveryFacts, Standing, Submission, compare_submission, in_server_time, is_fresh, is_untouched, on_delivery,
    recorded_steps,
};
pub use envelope::{Envelope, MAX_HOPS_DEFAULT, MAX_HOPS_LIMIT, MaxHops, Priority, Successor};
pub use error::{BadName, DecodeError, HopLimit, MustCarryBroken, NoCommonProtocol, UnknownForm};
pub use event::Event;
pub use fencing::{Overtaken, Unconfirmed, is_still_held, on_overtaken, on_unconfirmed};
pub use glance::Glance;
pub use header::*;
pub use holds::{Cause, Hold, holds};
pub use ids::{EnvelopeId, IntentId, RecordId};
pub use json::Json;
pub use mutants::Mutant;
pub use names::{AgentName, AgentVersion, BadVersion, CapabilityName, Namespace};
pub use parts::{Budget, Expects, HistoryEntry, MemoryRef, Meter, Task};
pub use pinning::Pinning;
pub use protocol::{PROTOCOL, Protocol, ProtocolRange};
pub use raw::{RawFields, RawIntent, RawRejection};
pub use record::{Author, Conversion, ErrorInfo, RawKept, Record, Role, StepEntry};
pub use rollout::{Margins, Phase, Rollout, Tally, Verdict};
pub use routes::{Canary, Decision, Declaration, Percent, Route, VersionEntry};
pub use routing::{Asked, Choice, Unroutable, Why, canary_bucket, choose, takes};
pub use snapshot::{PathEntry, Snapshot};
pub use status::{IllegalTransition, Status, WaitReason, next};
pub use subject::{Band, Bands, Subjects};
pub use timestamp::Timestamp;
pub use upkeep::{Need, is_ticket_lost, needs};
pub use version_state::{IllegalVersionEvent, VersionEvent, VersionState};
pub use wire::Extra;
