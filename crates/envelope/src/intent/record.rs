//! One message of the ledger: an event, and the snapshot after it.

use crate::base::error::DecodeError;
use crate::base::ids::{IntentId, RecordId};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::{AnyMajor, PROTOCOL, Protocol};
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::intent::error_info::ErrorInfo;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::{IllegalTransition, Status, next};
use crate::message::convert;
use crate::message::envelope::Envelope;
use crate::message::raw::RawKept;
use crate::version::path::PathEntry;

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

    /// The first record of an intent: `submitted`, with the envelope of its first hop, which must name the version.
    pub fn submitted(id: RecordId, at: Timestamp, by: Author, version: AgentVersion, envelope: Envelope) -> Self {
        let snapshot = Snapshot {
            agent: Some(envelope.to.clone()),
            version: Some(version.clone()),
            hop: envelope.hop,
            max_hops: envelope.max_hops,
            attempt: 1,
            epoch: 1,
            envelope: Some(envelope.id),
            priority: envelope.priority,
            kind: envelope.kind.clone(),
            root: envelope.root.clone(),
            parent: envelope.parent.clone(),
            deadline: envelope.deadline,
            path: vec![PathEntry {
                agent: envelope.to.clone(),
                version,
                extra: Extra::new(),
            }],
            pins: envelope.pins.clone(),
            reply_to: envelope.reply_to.clone(),
            ..Snapshot::blank(Status::Pending, at)
        };
        Self {
            envelope: Some(envelope.clone()),
            ..Self::bare(id, envelope.intent, Event::Submitted, at, by, snapshot)
        }
    }

    /// The only record of a raw intent that was refused before it became an intent.
    pub fn rejected(id: RecordId, intent: IntentId, at: Timestamp, by: Author, error: ErrorInfo, raw: RawKept) -> Self {
        let mut snapshot = Snapshot::blank(
            Status::Rejected {
                code: error.code.clone(),
            },
            at,
        );
        snapshot.error = Some(error.clone());
        let event = Event::Rejected {
            code: error.code.clone(),
        };
        Self {
            error: Some(error),
            raw: Some(raw),
            ..Self::bare(id, intent, event, at, by, snapshot)
        }
    }

    /// The record that follows `head`, which stands at ledger sequence `head_seq`. The caller fills in what the event
    /// carries and what else changes in the snapshot.
    ///
    /// # Errors
    /// When the event may not follow the status of the head.
    pub fn following(
        head: &Snapshot,
        head_seq: u64,
        id: RecordId,
        intent: IntentId,
        event: Event,
        at: Timestamp,
        by: Author,
    ) -> Result<Self, IllegalTransition> {
        let status = next(Some(&head.status), &event)?;
        let mut snapshot = head.clone();
        snapshot.status = status;
        snapshot.updated_at = at;
        if event != Event::Repinned {
            snapshot.wake_at = None;
        }
        if snapshot.envelope_seq.is_none() && snapshot.envelope.is_some() {
            snapshot.envelope_seq = Some(head_seq);
        }
        Ok(Self::bare(id, intent, event, at, by, snapshot))
    }

    /// Makes this record put `envelope` before `version` of its agent, with a fresh count of attempts and a new epoch.
    #[must_use]
    pub fn with_work(mut self, envelope: Envelope, version: AgentVersion) -> Self {
        let snapshot = &mut self.snapshot;
        if envelope.hop > snapshot.hop {
            let agent = envelope.to.clone();
            snapshot.path.push(PathEntry {
                agent,
                version: version.clone(),
                extra: Extra::new(),
            });
        }
        if let Some(last) = snapshot.path.last_mut().filter(|last| last.agent == envelope.to) {
            // The same hop again, perhaps in another version: a later return to this agent goes to that one.
            last.version = version.clone();
        }
        snapshot.agent = Some(envelope.to.clone());
        snapshot.version = Some(version);
        snapshot.hop = envelope.hop;
        snapshot.max_hops = envelope.max_hops;
        snapshot.priority = envelope.priority;
        snapshot.kind.clone_from(&envelope.kind);
        snapshot.attempt = 1;
        snapshot.epoch += 1;
        snapshot.holder = None;
        snapshot.envelope = Some(envelope.id);
        snapshot.envelope_seq = None;
        snapshot.error = None;
        self.envelope = Some(envelope);
        self
    }

    /// Sets the error of the record and of its snapshot.
    #[must_use]
    pub fn with_error(mut self, error: ErrorInfo) -> Self {
        self.snapshot.error = Some(error.clone());
        self.error = Some(error);
        self
    }

    fn bare(id: RecordId, intent: IntentId, event: Event, at: Timestamp, by: Author, snapshot: Snapshot) -> Self {
        Self {
            protocol: PROTOCOL,
            id,
            intent,
            event,
            at,
            by,
            snapshot,
            envelope: None,
            step: None,
            note: None,
            error: None,
            raw: None,
            took_ms: None,
            cost: None,
            conversion: None,
            generated_id: false,
            extra: Extra::new(),
        }
    }
}

impl Snapshot {
    fn blank(status: Status, at: Timestamp) -> Self {
        Self {
            status,
            agent: None,
            version: None,
            hop: 0,
            max_hops: crate::message::envelope::MaxHops::default(),
            attempt: 0,
            epoch: 0,
            holder: None,
            envelope: None,
            envelope_seq: None,
            priority: crate::message::envelope::Priority::default(),
            kind: None,
            root: None,
            parent: None,
            submitted_at: at,
            updated_at: at,
            deadline: None,
            wake_at: None,
            path: Vec::new(),
            pins: std::collections::BTreeMap::new(),
            reply_to: None,
            result: None,
            error: None,
            extra: Extra::new(),
        }
    }
}
