//! Records and envelopes as in `docs/protocol.md` sections 7 and 8, read only to the extent that the checks need.

mod methods;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A record of the ledger.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    /// The record id.
    pub id: String,
    /// The intent.
    pub intent: String,
    /// What happened.
    pub event: Event,
    /// When, by the writer's clock.
    pub at: String,
    /// Who wrote it.
    pub by: By,
    /// The state after it.
    pub snapshot: Snapshot,
    /// The envelope, if the record puts work before an agent.
    #[serde(default)]
    pub envelope: Option<Envelope>,
    /// The step, for `step`.
    #[serde(default)]
    pub step: Option<Step>,
    /// What was kept of a rejected raw intent.
    #[serde(default)]
    pub raw: Option<RawKept>,
    /// What people did about an approval.
    #[serde(default)]
    pub people: Option<People>,
    /// The signal, for `signalled`.
    #[serde(default)]
    pub signal: Option<Signal>,
    /// What the waits came to, for `resumed`.
    #[serde(default)]
    pub results: Vec<WaitEnd>,
    /// What a handler waits for, for `waiting` and `fanned_out`.
    #[serde(default)]
    pub waits: Vec<Asked>,
    /// The ends of children, for `child_done`.
    #[serde(default)]
    pub children: Vec<EndsOfCall>,
    /// What each receiver gets, in the record that opens a broadcast.
    #[serde(default)]
    pub broadcast: Option<Broadcast>,
    /// What takes the hop back that ends here.
    #[serde(default)]
    pub undo: Option<Undo>,
    /// What is undone, the latest first.
    #[serde(default)]
    pub undos: Vec<PlannedUndo>,
    /// The protocol that its writer wrote.
    #[serde(default)]
    pub protocol: String,
    /// How much of its view the attempt that ends here could read, if it looked.
    #[serde(default)]
    pub context: Option<Box<RawValue>>,
    /// The sequence in the ledger stream.
    #[serde(skip)]
    pub seq: u64,
    /// When the server stored it, in milliseconds since 1970.
    #[serde(skip)]
    pub time_ms: i64,
    /// The message that holds it, by its index in the evidence.
    #[serde(skip)]
    pub message: usize,
}

/// A wait that a handler asks for.
#[derive(Debug, Clone, Deserialize)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// The children that it asks for.
    #[serde(default)]
    pub children: Option<Called>,
    /// For a fan-out: where the work goes then.
    #[serde(default)]
    pub onward: Option<Box<RawValue>>,
}

/// The children of a call.
#[derive(Debug, Clone, Deserialize)]
pub struct Called {
    /// One for each.
    pub children: Vec<Box<RawValue>>,
    /// The agent of those that name none.
    #[serde(default)]
    pub to: Option<String>,
    /// When the parent goes on.
    #[serde(default)]
    pub join: Option<String>,
    /// How many must complete, for `some`.
    #[serde(default)]
    pub need: Option<usize>,
    /// Whether open ones are left alone.
    #[serde(default)]
    pub detach: bool,
    /// Whether their results may be objects.
    #[serde(default)]
    pub result_refs: bool,
}

/// A message of a channel.
#[derive(Debug, Clone, Deserialize)]
pub struct Broadcast {
    /// What each receiver gets.
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
    /// Whether the message named its receivers.
    #[serde(default)]
    pub named: bool,
}

/// Ends of children of one call.
#[derive(Debug, Clone, Deserialize)]
pub struct EndsOfCall {
    /// The hop of the parent.
    pub hop: u64,
    /// The name of the wait.
    pub name: String,
    /// The ends.
    pub ends: Vec<ChildEnd>,
}

/// The end of a child.
#[derive(Debug, Clone, Deserialize)]
pub struct ChildEnd {
    /// Its place in the call.
    pub index: usize,
    /// Its intent.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of its last status.
    pub state: String,
    /// The sequence of its last record.
    pub seq: u64,
}

/// What people did about an approval.
#[derive(Debug, Clone, Deserialize)]
pub struct People {
    /// What was done.
    pub act: String,
    /// The hop that waits.
    pub hop: u64,
    /// The wait.
    pub wait: String,
    /// Who did it.
    #[serde(default)]
    pub by: Option<String>,
    /// The id of the message.
    #[serde(default)]
    pub id: Option<String>,
    /// The sequence of the message in the intake.
    #[serde(default)]
    pub said: u64,
    /// When the message was stored.
    #[serde(default)]
    pub at: Option<String>,
}

/// An open wait.
#[derive(Debug, Clone, Deserialize)]
pub struct Wait {
    /// The hop that waits.
    pub hop: u64,
    /// Its name.
    pub name: String,
    /// How long it waits at most, in milliseconds.
    #[serde(default)]
    pub after_ms: Option<i64>,
    /// The sequence of the record that opened it.
    #[serde(default)]
    pub seq: Option<u64>,
    /// The state of an approval.
    #[serde(default)]
    pub ballot: Option<Ballot>,
}

/// The state of an approval.
#[derive(Debug, Clone, Deserialize)]
pub struct Ballot {
    /// Who may decide.
    #[serde(default)]
    pub seats: Vec<Seat>,
    /// Whether nobody else may.
    #[serde(default)]
    pub closed: bool,
    /// Who may not.
    #[serde(default)]
    pub barred: Vec<String>,
    /// The outcome.
    #[serde(default)]
    pub decided: Option<Box<RawValue>>,
}

/// One vote.
#[derive(Debug, Clone, Deserialize)]
pub struct Seat {
    /// Whose it is.
    #[serde(default)]
    pub person: Option<String>,
    /// The sequence in the intake of the last word about it.
    #[serde(default)]
    pub said: u64,
}

/// What happened.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    /// The name.
    #[serde(rename = "type")]
    pub name: String,
}

/// Who wrote a record.
#[derive(Debug, Clone, Deserialize)]
pub struct By {
    /// `client`, `worker`, `controller` or `operator`.
    pub role: String,
    /// Which one.
    pub instance: String,
    /// The agent, for a worker.
    #[serde(default)]
    pub agent: Option<String>,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
}

/// The status of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// The name.
    pub state: String,
    /// The code of `parked`, `rejected` and `failed`.
    #[serde(default)]
    pub code: Option<String>,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{}:{code}", self.state),
            None => f.write_str(&self.state),
        }
    }
}

/// The state after a record.
#[derive(Debug, Clone, Deserialize)]
pub struct Snapshot {
    /// The status.
    pub status: Status,
    /// The agent whose turn it is.
    #[serde(default)]
    pub agent: Option<String>,
    /// The version of that agent.
    #[serde(default)]
    pub version: Option<String>,
    /// The hop.
    #[serde(default)]
    pub hop: u64,
    /// The limit on hops.
    #[serde(default = "ten")]
    pub max_hops: u64,
    /// The attempt.
    #[serde(default)]
    pub attempt: u64,
    /// The epoch.
    #[serde(default)]
    pub epoch: u64,
    /// Who holds the hop.
    #[serde(default)]
    pub holder: Option<String>,
    /// The envelope of the hop.
    #[serde(default)]
    pub envelope: Option<String>,
    /// The sequence of the record that holds it.
    #[serde(default)]
    pub envelope_seq: Option<u64>,
    /// The deadline.
    #[serde(default)]
    pub deadline: Option<String>,
    /// The work waits until this time.
    #[serde(default)]
    pub wake_at: Option<String>,
    /// The agents that had a turn.
    #[serde(default)]
    pub path: Vec<PathEntry>,
    /// The versions that the intent is pinned to, by agent.
    #[serde(default)]
    pub pins: BTreeMap<String, String>,
    /// The result, once completed.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// The object that the result is.
    #[serde(default)]
    pub result_ref: Option<Box<RawValue>>,
    /// The intent whose child this is.
    #[serde(default)]
    pub parent: Option<String>,
    /// The open waits.
    #[serde(default)]
    pub waits: Vec<Wait>,
    /// The signals that nobody has taken.
    #[serde(default)]
    pub signals: Vec<Signal>,
    /// Where a person does the hop.
    #[serde(default)]
    pub manual: Option<Manual>,
    /// The turn that a hop waits for, or has had.
    #[serde(default)]
    pub order: Option<Turn>,
    /// The channel, where the intent is a message of one.
    #[serde(default)]
    pub channel: Option<String>,
    /// How far it is with undoing what it did.
    #[serde(default)]
    pub undo: Option<Undoing>,
    /// What its tree remembers, once a hop has completed it.
    #[serde(default)]
    pub context: Option<Box<RawValue>>,
}

/// How far an intent is with undoing what it did.
#[derive(Debug, Clone, Deserialize)]
pub struct Undoing {
    /// Why, once it has begun.
    #[serde(default)]
    pub error: Option<Box<RawValue>>,
}

/// What takes a step or a hop back.
#[derive(Debug, Clone, Deserialize)]
pub struct Undo {
    /// The agent.
    pub agent: String,
    /// What it is asked.
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
}

/// An undo of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PlannedUndo {
    /// The hop.
    pub hop: u64,
    /// The step; absent for the hop itself.
    #[serde(default)]
    pub step: Option<String>,
    /// The agent.
    pub agent: String,
}

/// The turn of a hop.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Turn {
    /// The hop.
    pub hop: u64,
    /// The key; absent where the turn is among submitters.
    #[serde(default)]
    pub key: Option<String>,
    /// The sequence of its message in the intake, until it has a place.
    #[serde(default)]
    pub intake: Option<u64>,
    /// The sequence of the record that gave it its place, but in that record.
    #[serde(default)]
    pub place: Option<u64>,
    /// How many could have their turn when it got this.
    #[serde(default)]
    pub given: Option<u64>,
}

/// A signal.
#[derive(Debug, Clone, Deserialize)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// The id of its message.
    pub id: String,
}

/// The result of a wait.
#[derive(Debug, Clone, Deserialize)]
pub struct WaitEnd {
    /// Its name.
    pub name: String,
    /// `signalled`, `decided`, `slept`, `joined`, `timed_out` or `abandoned`.
    pub outcome: String,
    /// The children that had ended, for a call.
    #[serde(default)]
    pub children: Vec<ChildEnd>,
    /// The record of the signal that it has taken.
    #[serde(default)]
    pub seq: Option<u64>,
}

/// That a hop is done by hand.
#[derive(Debug, Clone, Deserialize)]
pub struct Manual {
    /// The envelope of that hop.
    pub envelope: String,
}

impl Snapshot {
    /// Whether it has begun to undo what it did.
    #[must_use]
    pub fn is_undoing(&self) -> bool {
        self.undo.as_ref().is_some_and(|undo| undo.error.is_some())
    }

    /// Whether the present hop waits for a turn that it has not had.
    #[must_use]
    pub fn is_before_its_turn(&self) -> bool {
        let order = self.order.as_ref().filter(|order| order.hop == self.hop);
        order.is_some_and(|order| order.given.is_none())
    }

    /// Whether a person does the present hop: no ticket belongs to it, and no handler runs it.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        self.manual.as_ref().map(|manual| &manual.envelope) == self.envelope.as_ref() && self.manual.is_some()
    }
}

const fn ten() -> u64 {
    10
}

/// One turn of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PathEntry {
    /// The agent.
    pub agent: String,
    /// The version.
    pub version: String,
}

/// A recorded step.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What the effect returned.
    #[serde(default)]
    pub result: Option<Box<RawValue>>,
    /// What takes it back.
    #[serde(default)]
    pub undo: Option<Undo>,
}

/// What was kept of a rejected raw intent.
#[derive(Debug, Clone, Deserialize)]
pub struct RawKept {
    /// The subject it was published on.
    #[serde(default)]
    pub subject: String,
    /// Its headers.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body_base64: String,
}

/// An envelope, in any form: its fields as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Envelope {
    fields: BTreeMap<String, Box<RawValue>>,
}

impl Envelope {
    /// A field as written.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.fields
            .get(name)
            .map(|value| value.get())
            .filter(|text| *text != "null")
    }

    /// A field that is a string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// The hop.
    #[must_use]
    pub fn hop(&self) -> u64 {
        self.raw("hop").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The limit on hops.
    #[must_use]
    pub fn max_hops(&self) -> u64 {
        self.raw("max_hops").and_then(|text| text.parse().ok()).unwrap_or(10)
    }

    /// The agent that it is for: `to`, or `to.agent` in the draft of 2.0.
    #[must_use]
    pub fn to(&self) -> Option<String> {
        self.text("to").or_else(|| inner(self.raw("to")?, "agent"))
    }

    /// The version that it is for.
    #[must_use]
    pub fn to_version(&self) -> Option<String> {
        self.text("to_version").or_else(|| inner(self.raw("to")?, "version"))
    }

    /// The `key` of the payload, which is `content.data` in the draft of 2.0.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        if let Some(payload) = self.raw("payload") {
            return inner(payload, "key");
        }
        let content: BTreeMap<String, Box<RawValue>> = serde_json::from_str(self.raw("content")?).ok()?;
        inner(content.get("data")?.get(), "key")
    }

    /// The ends that the payload allows, where it says which; it does so for children, which nobody submits from outside.
    #[must_use]
    pub fn expected(&self) -> Vec<String> {
        let payload = self.raw("payload");
        payload.and_then(|payload| inner(payload, "expect")).unwrap_or_default()
    }
}

/// A field of a JSON object.
pub(crate) fn inner<T: serde::de::DeserializeOwned>(object: &str, field: &str) -> Option<T> {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(object).ok()?;
    serde_json::from_str(fields.get(field)?.get()).ok()
}

/// A time of the protocol in milliseconds since 1970.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok()
}
