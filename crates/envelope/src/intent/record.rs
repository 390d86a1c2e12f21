//! One message of the ledger: an event, and the snapshot after it.

use crate::amounts::{Amounts, Hold, Spend, TopUp};
use crate::base::error::DecodeError;
use crate::base::ids::{IntentId, RecordId};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::{AnyMajor, Protocol};
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::context::Completeness;
use crate::intent::broadcast::Broadcast;
use crate::intent::children::{ChildrenDone, opened_calls};
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::undo::{PlannedUndo, Undo};
use crate::intent::waits::{SignalEntry, WaitResult, WaitSpec};
use crate::message::convert;
use crate::message::envelope::Envelope;
use crate::message::object::ObjectRef;
use crate::message::raw::RawKept;
use crate::people::PeopleEntry;

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
        /// The kind of process.
        req role: Role,
        /// The process: an instance id, or a host and process id.
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
        /// The result of the step.
        def result: Json,
        /// The object that the result is, in its place.
        opt result_ref: Box<ObjectRef>,
        /// What takes the step back.
        opt undo: Box<Undo>,
    }
}

wire_object! {
    /// How the envelope of a record was converted from another form.
    pub struct Conversion {
        /// The form it was converted from.
        req from: Protocol as AnyMajor,
        /// The form it was converted to.
        req to: Protocol as AnyMajor,
        /// The fields that the second form cannot express, by their paths in the first.
        def lost: Vec<String>,
    }
}

wire_object! {
    /// One record of the ledger. The ticket that a record authorises has exactly the same body.
    pub struct Record {
        /// The version of the contract that the record was written in.
        req protocol: Protocol,
        /// The id of this record. A writer that missed the server's answer finds its own record by it.
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
        /// The envelope of the ticket, if the event gives work to an agent.
        opt envelope: Box<Envelope>,
        /// The step, for `step`.
        opt step: StepEntry,
        /// The note, for `progress`; for other events, the reason in words.
        opt note: String,
        /// The error, if there was one.
        opt error: ErrorInfo,
        /// The raw message, if it was refused before it became an intent.
        opt raw: Box<RawKept>,
        /// How long the attempt that ends with this record ran, in milliseconds.
        opt took_ms: u64,
        /// The cost of that attempt, a number, if reported.
        opt cost: Json,
        /// The conversion of the envelope, if its form differs from that of the one before.
        opt conversion: Box<Conversion>,
        /// In the first record: whether Baton made the intent id. It did so for this submit alone, so nobody submits
        /// the id again.
        def generated_id: bool,
        /// The waits that a handler asks for, for `waiting`.
        def waits: Vec<WaitSpec>,
        /// The signal, for `signalled`.
        opt signal: Box<SignalEntry>,
        /// What the waits came to, for `resumed`.
        def results: Vec<WaitResult>,
        /// How far the holder is, for `progress`; in a form of its own.
        opt state: Json,
        /// What was done about an approval, for `signalled`.
        opt people: Box<PeopleEntry>,
        /// The attempts of the hop that ends here are used up, whatever the policy makes of it.
        def exhausted: bool,
        /// The ends of children, for `child_done`.
        def children: Vec<ChildrenDone>,
        /// In the first record of a broadcast: what each receiver gets.
        opt broadcast: Box<Broadcast>,
        /// What takes the hop back that ends here, for `handed_off`.
        opt undo: Box<Undo>,
        /// What is undone, the latest first, for the `progress` of an intent that is undone.
        def undos: Vec<PlannedUndo>,
        /// How much of the view that the attempt was given could be had, where it looked at it.
        opt context: Completeness,
        /// What the holder reserves, for `started` and `progress`.
        opt hold: Box<Hold>,
        /// What was spent, for `step`, for `progress` and beside an outcome.
        opt spend: Box<Spend>,
        /// What had been held and counts as spent from here on: nobody will say what became of it.
        opt assumed: Box<Amounts>,
        /// What was added to the budget, for `topped_up`.
        opt top_up: Box<TopUp>,
    }
}

impl Conversion {
    /// Makes the note of a conversion, with the paths of the lost fields.
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
    /// Makes the entry of a step.
    pub fn new(name: impl Into<String>, result: Json) -> Self {
        Self {
            name: name.into(),
            result,
            result_ref: None,
            undo: None,
            extra: Extra::new(),
        }
    }

    /// Makes the entry of a step whose result is an object.
    pub fn by_ref(name: impl Into<String>, object: ObjectRef) -> Self {
        Self {
            result_ref: Some(Box::new(object)),
            ..Self::new(name, Json::null())
        }
    }
}

impl Author {
    /// A writer other than a worker.
    pub fn of(role: Role, instance: impl Into<String>) -> Self {
        Self {
            role,
            instance: instance.into(),
            agent: None,
            version: None,
            extra: Extra::new(),
        }
    }

    /// A worker of an agent.
    pub fn worker(agent: AgentName, version: AgentVersion, instance: impl Into<String>) -> Self {
        Self {
            agent: Some(agent),
            version: Some(version),
            ..Self::of(Role::Worker, instance)
        }
    }
}

impl Record {
    /// Whether a version that goes on with the hop must read references, for what this record says: the result of a step is an
    /// object, or those of children may be. What the copies of a message come to no hop reads.
    pub fn needs_references(&self) -> bool {
        let of_step = self.step.as_ref().is_some_and(|step| step.result_ref.is_some());
        let mut calls = opened_calls(&self.waits);
        of_step || (self.broadcast.is_none() && calls.any(|(_, children)| children.result_refs))
    }

    /// Reads a record. Its envelope may have any form that this build knows.
    ///
    /// # Errors
    /// Names the field, the value and the problem.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(bytes).or_else(|error| {
            let (record, envelope) = convert::read_around::<Self>(RECORD, bytes, &error)?;
            Ok(Self {
                envelope: Some(Box::new(envelope)),
                ..record
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record is moved a dozen times on its way through a hop, and hundreds are under way: what few of them have is on the
    /// heap.
    const MOST: usize = 1_400;

    #[test]
    fn a_record_stays_small() {
        let (record, draft) = (size_of::<Record>(), size_of::<crate::Draft>());
        assert!(
            record <= MOST && draft <= MOST,
            "{record} and {draft} bytes, and {MOST} are allowed"
        );
    }
}
