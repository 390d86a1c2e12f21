//! An intent as it arrived, in whichever way it was submitted.

use baton_envelope::{AgentName, Envelope, HEADER_PROTOCOL, IntentId, RawIntent, RawRejection, Record};
use baton_jetstream::Mesh;
use serde_json::Value;

use crate::record::{Stored, raw_of};

/// How an intent was submitted (section 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// A body on the subject of an agent, and headers.
    Raw,
    /// A whole envelope there.
    Envelope,
    /// A record in the ledger, and its ticket.
    Record,
}

impl Way {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Envelope => "envelope",
            Self::Record => "record",
        }
    }
}

/// An intent that arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) way: Way,
    pub(super) message: Stored,
    pub(super) intent: String,
    /// The envelope that it says, or why it says none.
    pub(super) read: Result<Envelope, RawRejection>,
    /// Whether its submitter said that all is well. Until then what it owes may be missing.
    pub(super) is_confirmed: bool,
}

impl Arrival {
    /// Reads a message of the intake.
    pub(super) fn of_intake(mesh: &Mesh, message: Stored) -> Self {
        let stored_at = message.time.parse().unwrap_or_else(|_| mesh.now());
        let nanos = nanos_of(&message.time);
        let stream = mesh.subjects().intake_stream();
        let raw = RawIntent {
            subject: &message.subject,
            headers: message
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            body: &message.bytes,
            stored_at,
            // Never a valid id itself, so its hash.
            derived_id: IntentId::from_foreign(&format!("{stream}\n{}\n{nanos}", message.seq)),
        };
        let way = match raw.header(HEADER_PROTOCOL) {
            Some(_) => Way::Envelope,
            None => Way::Raw,
        };
        let agent = message.subject.rsplit('.').next().unwrap_or_default();
        let read = match agent.parse::<AgentName>() {
            Ok(agent) => raw.to_envelope(mesh.clock().envelope_id(), &agent, mesh.now()),
            Err(error) => Err(rejection("the subject", agent, error.rule)),
        };
        let intent = match &read {
            Ok(envelope) => envelope.intent.to_string(),
            Err(_) => raw.intent_id().to_string(),
        };
        Self {
            way,
            intent,
            read,
            message,
            is_confirmed: false,
        }
    }

    /// Reads a record of the ledger.
    pub(super) fn of_ledger(message: Stored) -> Self {
        let read = match Record::decode(&message.bytes) {
            Err(error) => Err(rejection("the record", &message.body, &error.to_string())),
            Ok(record) => record
                .envelope
                .map(|envelope| *envelope)
                .ok_or_else(|| rejection("`envelope`", "", "is not there")),
        };
        let intent = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
        Self {
            way: Way::Record,
            intent,
            read,
            message,
            is_confirmed: false,
        }
    }

    /// The bytes of a member of its envelope, where it wrote a whole one.
    pub(super) fn envelope_raw(&self, path: &[&str]) -> Option<String> {
        let envelope = match self.way {
            Way::Raw => return None,
            Way::Envelope => self.message.body.clone(),
            Way::Record => raw_of(&self.message.body, &["envelope"])?,
        };
        raw_of(&envelope, path)
    }

    /// A number of its record's snapshot, text or any value; `Null` where it wrote none.
    pub(super) fn at(&self, pointer: &str) -> &Value {
        self.message.at(pointer)
    }

    /// In a few words.
    pub(super) fn in_words(&self) -> String {
        format!("\"{}\" ({}, on {})", self.intent, self.way.name(), self.message.subject)
    }
}

fn rejection(field: &str, value: &str, problem: &str) -> RawRejection {
    RawRejection {
        code: baton_envelope::codes::MALFORMED_ENVELOPE,
        field: field.to_owned(),
        value: value.chars().take(200).collect(),
        problem: problem.to_owned(),
        fix: "write it as docs/protocol.md says".to_owned(),
    }
}

/// The nanoseconds since 1970 of a time that the server wrote: the milliseconds as they are read, and the digits behind.
fn nanos_of(time: &str) -> i128 {
    let millis = time
        .parse::<baton_envelope::Timestamp>()
        .map_or(0, baton_envelope::Timestamp::unix_millis);
    let fraction: String = time
        .split_once('.')
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
        .unwrap_or_default();
    let digits: String = format!("{fraction:0<9}").chars().skip(3).take(6).collect();
    i128::from(millis) * 1_000_000 + digits.parse::<i128>().unwrap_or_default()
}

/// In words, several of them.
pub(super) fn list(arrivals: &[Arrival]) -> String {
    if arrivals.is_empty() {
        return "nothing arrived".to_owned();
    }
    let words: Vec<String> = arrivals.iter().map(Arrival::in_words).collect();
    words.join("; ")
}
