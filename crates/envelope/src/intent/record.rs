//! One message of the ledger: an event, and the snapshot after it.

use crate::base::error::DecodeError;
use crate::base::ids::{IntentId, RecordId};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::{AnyMajor, Protocol};
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::message::convert;
use crate::message::envelope::Envelope;
use crate::message::raw::RawKept;

const RECORD: &str = "ledger record";

wire_enum! {
    /// What kind of process wrote a record.
    pub enum Role {
        /// A submitter.
        Client = "client",
        /// A worker process of an agent.
        Worker = "worker",
        /// A controller.
        Controller = "controller",
        /// A person, through the CLI or the API.
        Operator = "operator",
    }
}

wire_object! {
    /// Who wrote a record.
    pub struct Author {
        /// What kind of process.
        req role: Role,
        /// Which one: an instance id, or a host and process.
        req instance: String,
        /// The agent, for a worker.
        opt agent: AgentName,
        /// The version, for a worker.
        opt version: AgentVersion,
    }
}

wire_object! {
    /// The recorded result of a step.
    pub struct StepEntry {
        /// The name of the step, unique within the hop.
        req name: String,
        /// What the effect returned.
        def result: Json,
    }
}

wire_object! {
    /// That the envelope of a record was made from one of another form.
    pub struct Conversion {
        /// The form that it was made from.
        req from: Protocol as AnyMajor,
        /// The form that it was written in.
        req to: Protocol as AnyMajor,
        /// The fields, by their paths in the first form, which the second has no words for.
        def lost: Vec<String>,
    }
}

wire_object! {
    /// One record of the ledger. The ticket that a record authorises has the very same body.
    pub struct Record {
        /// The version of the contract that this was written in.
        req protocol: Protocol,
        /// The id of this record: a writer that did not hear an answer finds its own record by it.
        req id: RecordId,
        /// The intent.
        req intent: IntentId,
        /// What happened.
        req event: Event,
        /// When, by the writer's clock.
        req at: Timestamp,
        /// Who wrote it.
        req by: Author,
        /// The state after it.
        req snapshot: Snapshot,
        /// The envelope that the ticket will carry, where the event puts work before an agent.
        opt envelope: Envelope,
        /// The step, for `step`.
        opt step: StepEntry,
        /// The note, for `progress`; the reason in words for others.
        opt note: String,
        /// The error, where there was one.
        opt error: ErrorInfo,
        /// The raw intent, for one that was rejected before it became an intent.
        opt raw: RawKept,
        /// How long the attempt that this record ends ran, in milliseconds.
        opt took_ms: u64,
        /// What that attempt cost, a number, where it was reported.
        opt cost: Json,
        /// The conversion of the envelope, where it is not in the form of the one before.
        opt conversion: Conversion,
        /// In the first record: Baton made the intent id, for this submit alone, so nobody submits it again.
        def generated_id: bool,
    }
}

impl Conversion {
    /// From one form to another, with the paths that were lost.
    pub fn new(from: Protocol, to: Protocol, lost: Vec<String>) -> Self {
        Self {
            from,
            to,
            lost,
            extra: Extra::new(),
        }
    }
}

impl StepEntry {
    /// The result of a step.
    pub fn new(name: impl Into<String>, result: Json) -> Self {
        Self {
            name: name.into(),
            result,
            extra: Extra::new(),
        }
    }
}

impl Author {
    /// A writer that is no worker.
    pub fn of(role: Role, instance: impl Into<String>) -> Self {
        Self {
            role,
            instance: instance.into(),
            agent: None,
            version: None,
            extra: Extra::new(),
        }
    }

    /// A worker.
    pub fn worker(agent: AgentName, version: AgentVersion, instance: impl Into<String>) -> Self {
        Self {
            agent: Some(agent),
            version: Some(version),
            ..Self::of(Role::Worker, instance)
        }
    }
}

impl Record {
    /// Reads a record. Its envelope may be in any form that is known here.
    ///
    /// # Errors
    /// Names the field, the value and what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(bytes).or_else(|error| {
            let (record, envelope) = convert::read_around::<Self>(RECORD, bytes, &error)?;
            Ok(Self {
                envelope: Some(envelope),
                ..record
            })
        })
    }
}
