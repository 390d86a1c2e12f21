//! Raw intents: messages that anyone may publish without knowing about envelopes.

mod asked;

use std::time::Duration;

use base64::Engine as _;

use crate::base::codes;
use crate::base::error::DecodeError;
use crate::base::header::*;
use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::names::AgentName;
use crate::base::text::quoted;
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::message::body::Body;
use crate::message::convert;
use crate::message::envelope::{Envelope, MaxHops, Priority};
use crate::message::parts::{Budget, Expects, Task};
use crate::message::text::{BadText, check_kind, check_order_key, check_reply_to, check_traceparent};
use crate::message::unique::{OnConflict, Unique};
use crate::version::pinning::Pinning;

/// How many characters of a header's value a rejection quotes.
const QUOTED: usize = 200;
/// How long an ask is waited for that does not say so: less than the 5 s that `nats req` waits.
const ASK_WAIT: Duration = Duration::from_secs(4);
/// The longest that an ask may be waited for. Where accounts are kept apart, the server forgets after 5 minutes where an
/// answer goes.
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 60);
/// The most receivers of one message of a channel: as many as a call has children.
const MOST_RECEIVERS: usize = 10_000;
/// How many characters of what a head's fault is.
const LONGEST_FAULT: usize = 1_200;

wire_object! {
    /// A raw intent that could not become an intent, kept whole.
    pub struct RawKept {
        /// The subject it was published on.
        req subject: String,
        /// Its headers.
        def headers: Vec<(String, String)>,
        /// Its body, in base64.
        req body_base64: String,
    }
}

/// A message of the intake stream.
#[derive(Debug, Clone)]
pub struct RawIntent<'a> {
    /// The subject it was published on.
    pub subject: &'a str,
    /// Its headers, in order.
    pub headers: Vec<(&'a str, &'a str)>,
    /// Its body.
    pub body: &'a [u8],
    /// When the server stored it.
    pub stored_at: Timestamp,
    /// The id it gets if it names none.
    pub derived_id: IntentId,
}

/// The fields of a raw intent, checked.
#[derive(Debug, Clone, Default)]
pub struct RawFields {
    /// The id that the sender chose, if any.
    pub intent: Option<IntentId>,
    /// The kind.
    pub kind: Option<String>,
    /// The priority.
    pub priority: Priority,
    /// The limit on hops.
    pub max_hops: MaxHops,
    /// The deadline.
    pub deadline: Option<Timestamp>,
    /// When its work begins at the earliest.
    pub not_before: Option<Timestamp>,
    /// How it chooses versions.
    pub pinning: Option<Pinning>,
    /// Who gets the result.
    pub reply_to: Option<String>,
    /// The trace context.
    pub traceparent: Option<String>,
    /// The key in whose order the agent gets it.
    pub order_key: Option<String>,
    /// The agents to go to after the first.
    pub itinerary: Vec<AgentName>,
    /// What the sender says of the work.
    pub task: Option<Task>,
    /// What it expects back.
    pub expects: Option<Expects>,
    /// What it may spend.
    pub budget: Option<Budget>,
}

/// Why a raw intent is refused: `field`, `value` and `fix` point to the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} \"{value}\": {problem}; fix: {fix}")]
pub struct RawRejection {
    /// The code of the rejection, such as `BAD_HEADER`.
    pub code: &'static str,
    /// The offending header or field.
    pub field: String,
    /// Its value.
    pub value: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl<'a> RawIntent<'a> {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    /// The message id that its sender gave it. An empty one names nothing; the server does not deduplicate by it either.
    pub fn named_id(&self) -> Option<&'a str> {
        self.header(HEADER_MSG_ID).filter(|id| !id.is_empty())
    }

    /// The id by which an intent knows it again when it comes once more.
    pub fn message_id(&self) -> &str {
        self.named_id().unwrap_or(self.derived_id.as_str())
    }

    /// The id under which this message is recorded: the sender's if it is valid, else one derived from the message.
    pub fn intent_id(&self) -> IntentId {
        match (self.header(HEADER_INTENT), self.named_id()) {
            (Some(chosen), _) => chosen.parse().unwrap_or_else(|_| self.derived_id.clone()),
            (None, Some(message_id)) => IntentId::from_foreign(message_id),
            (None, None) => self.derived_id.clone(),
        }
    }

    /// The intent that a whole envelope names, even if something else in it is wrong (its deadline, its agent). `None` for a
    /// message that is no envelope.
    pub fn enveloped_id(&self) -> Option<IntentId> {
        self.header(HEADER_PROTOCOL)?;
        let envelope = Envelope::decode(self.body).ok()?;
        Some(envelope.intent)
    }

    /// The whole message, for the record of its refusal.
    pub fn keep(&self) -> RawKept {
        RawKept {
            subject: self.subject.to_owned(),
            headers: self
                .headers
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            body_base64: base64::engine::general_purpose::STANDARD.encode(self.body),
            extra: Extra::new(),
        }
    }

    /// What is wrong with a message whose head or subject could not be read as it was published.
    pub fn malformed(&self) -> Option<RawRejection> {
        let fault = self.header(HEADER_MALFORMED)?;
        let (code, fix) = if fault.starts_with("subject ") {
            (
                codes::BAD_SUBJECT,
                "publish on the subject of an agent, in printable ASCII",
            )
        } else {
            let fix = "write each header as one line of UTF-8, `Name: value`, with a name of printable ASCII";
            (codes::BAD_HEADER, fix)
        };
        Some(RawRejection {
            code,
            field: HEADER_MALFORMED.to_owned(),
            value: quoted(fault, LONGEST_FAULT),
            problem: "it could not be read as it was published".to_owned(),
            fix: fix.to_owned(),
        })
    }

    /// Makes the first envelope of the intent.
    ///
    /// With a `Baton-Protocol` header the body is a whole envelope. Otherwise the whole body is the payload: JSON if it
    /// is JSON, else a string if it is UTF-8, else base64.
    ///
    /// # Errors
    /// Names the header or field, its value, and the fix.
    pub fn to_envelope(&self, id: EnvelopeId, to: &AgentName, now: Timestamp) -> Result<Envelope, RawRejection> {
        if self.header(HEADER_PROTOCOL).is_some() {
            return self.enveloped(to, now);
        }
        let fields = self.fields(now)?;
        let intent = fields.intent.unwrap_or_else(|| self.intent_id());
        let Body {
            json: payload,
            encoding,
        } = Body::of_bytes(self.body);
        let mut envelope = Envelope::first(id, intent, to.clone(), payload);
        envelope.payload_encoding = encoding;
        envelope.kind = fields.kind;
        envelope.priority = fields.priority;
        envelope.max_hops = fields.max_hops;
        envelope.deadline = fields.deadline;
        envelope.pinning = fields.pinning;
        envelope.not_before = fields.not_before;
        envelope.reply_to = fields.reply_to;
        envelope.traceparent = fields.traceparent;
        envelope.order_key = fields.order_key;
        envelope.itinerary = fields.itinerary;
        envelope.task = fields.task;
        envelope.expects = fields.expects.map(Box::new);
        envelope.budget = fields.budget.map(Box::new);
        Ok(envelope)
    }

    /// Checks the headers of a message before it becomes an envelope.
    ///
    /// # Errors
    /// Names the header, its value, and the fix.
    pub fn check(&self, now: Timestamp) -> Result<(), RawRejection> {
        self.fields(now).map(drop)
    }

    /// How long whoever asks waits for the answer: `Baton-Wait`, by default 4 s.
    ///
    /// # Errors
    /// When it is no duration, or longer than 4 min.
    pub fn wait(&self) -> Result<Duration, RawRejection> {
        let Some(value) = self.header(HEADER_WAIT) else {
            return Ok(ASK_WAIT);
        };
        let wait = humantime::parse_duration(value.trim()).map_err(|_| "is no duration".to_owned());
        wait.and_then(|wait| match wait <= LONGEST_WAIT {
            true => Ok(wait),
            false => Err("is longer than 4m".to_owned()),
        })
        .map_err(|problem| RawRejection {
            code: codes::BAD_HEADER,
            field: HEADER_WAIT.to_owned(),
            value: quoted(value, QUOTED),
            problem,
            fix: "give a duration such as 30s, at most 4m".to_owned(),
        })
    }

    /// The unique key, if it has one.
    ///
    /// # Errors
    /// Names the header, its value, and the fix.
    pub fn unique(&self) -> Result<Option<Unique>, RawRejection> {
        let bad = |header: &str, value: &str, problem: String, fix: &str| RawRejection {
            code: codes::BAD_HEADER,
            field: header.to_owned(),
            value: quoted(value, QUOTED),
            problem,
            fix: fix.to_owned(),
        };
        let Some(key) = self.header(HEADER_UNIQUE) else {
            let stray = [HEADER_WITHIN, HEADER_ON_CONFLICT]
                .into_iter()
                .find_map(|header| Some((header, self.header(header)?)));
            return match stray {
                Some((header, value)) => {
                    let problem = "is nothing without Baton-Unique".to_owned();
                    Err(bad(
                        header,
                        value,
                        problem,
                        "give a key in Baton-Unique, or leave it out",
                    ))
                }
                None => Ok(None),
            };
        };
        let within = match self.header(HEADER_WITHIN) {
            None => None,
            Some(value) => Some(humantime::parse_duration(value.trim()).map_err(|_| {
                let fix = "give a duration such as 10m or 1h";
                bad(HEADER_WITHIN, value, "is no duration".to_owned(), fix)
            })?),
        };
        let on_conflict = match self.header(HEADER_ON_CONFLICT) {
            None => OnConflict::default(),
            Some(value) => value.trim().parse().map_err(|problem| {
                let fix = "give keep, replace or refuse";
                bad(HEADER_ON_CONFLICT, value, problem, fix)
            })?,
        };
        let unique = Unique::new(key, within, on_conflict).map_err(|text| {
            let header = if text.field == "within" {
                HEADER_WITHIN
            } else {
                HEADER_UNIQUE
            };
            refused(codes::BAD_HEADER, header, text)
        })?;
        Ok(Some(unique))
    }

    /// The agents that a message of a channel names as its receivers, each once; `None` where it names none.
    ///
    /// # Errors
    /// Names the header, its value, and the fix.
    pub fn receivers(&self) -> Result<Option<Vec<AgentName>>, RawRejection> {
        let Some(value) = self.header(HEADER_RECEIVERS) else {
            return Ok(None);
        };
        let bad = |problem: String| RawRejection {
            code: codes::BAD_HEADER,
            field: HEADER_RECEIVERS.to_owned(),
            value: quoted(value, QUOTED),
            problem,
            fix: "give names of agents, separated by commas, or leave it out for those that subscribed".to_owned(),
        };
        let mut found: Vec<AgentName> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let agent: AgentName = name.parse().map_err(|error: crate::base::error::BadName| {
                bad(format!("\"{}\" is no agent: {}", quoted(name, 80), error.rule))
            })?;
            if seen.insert(agent.clone()) {
                found.push(agent);
            }
        }
        match found.len() {
            0 => Err(bad("names no agent".to_owned())),
            1..=MOST_RECEIVERS => Ok(Some(found)),
            count => Err(bad(format!("names {count} agents, and {MOST_RECEIVERS} are the most"))),
        }
    }

    fn enveloped(&self, to: &AgentName, now: Timestamp) -> Result<Envelope, RawRejection> {
        let envelope = Envelope::decode(self.body).map_err(|error| malformed(&error))?;
        let place = |field| convert::place_of(envelope.protocol, field);
        if envelope.to != *to {
            return Err(RawRejection {
                code: codes::MALFORMED_ENVELOPE,
                field: place("to").to_owned(),
                value: envelope.to.to_string(),
                problem: format!("the envelope was published on {}", self.subject),
                fix: format!(
                    "publish it on the subject of agent {}, or set `{}` to {to}",
                    envelope.to,
                    place("to")
                ),
            });
        }
        if envelope.hop != 1 {
            return Err(RawRejection {
                code: codes::MALFORMED_ENVELOPE,
                field: "hop".to_owned(),
                value: envelope.hop.to_string(),
                problem: "a submitted envelope starts at hop 1".to_owned(),
                fix: "set `hop` to 1".to_owned(),
            });
        }
        envelope.check_texts().map_err(|bad| {
            let code = if bad.field == "reply_to" {
                codes::BAD_REPLY_TO
            } else {
                codes::MALFORMED_ENVELOPE
            };
            refused(code, place(bad.field), bad)
        })?;
        envelope
            .check_payload_ref()
            .map_err(|bad| refused(codes::MALFORMED_ENVELOPE, place(bad.field), bad))?;
        envelope
            .check_budget()
            .map_err(|bad| refused(codes::MALFORMED_ENVELOPE, place(bad.field), bad))?;
        check_deadline(envelope.deadline, now, place("deadline"))?;
        let stated = envelope.constraints_hash.clone();
        let constraints = envelope.constraints.clone().unwrap_or_default();
        let envelope = envelope.with_constraints(constraints);
        if stated.is_some() && stated != envelope.constraints_hash {
            return Err(RawRejection {
                code: codes::MALFORMED_ENVELOPE,
                field: "constraints_hash".to_owned(),
                value: stated.unwrap_or_default(),
                problem: "does not match the constraints".to_owned(),
                fix: "leave it out: it is computed here".to_owned(),
            });
        }
        Ok(envelope)
    }

    fn fields(&self, now: Timestamp) -> Result<RawFields, RawRejection> {
        if let Some(rejection) = self.malformed() {
            return Err(rejection);
        }
        let text = |header: &str, check: fn(&str) -> Result<(), BadText>, code| match self.header(header) {
            None => Ok(None),
            Some(value) => match check(value) {
                Ok(()) => Ok(Some(value.to_owned())),
                Err(bad) => Err(refused(code, header, bad)),
            },
        };
        let mut fields = RawFields {
            kind: text(HEADER_KIND, check_kind, codes::BAD_HEADER)?,
            reply_to: text(HEADER_REPLY_TO, check_reply_to, codes::BAD_REPLY_TO)?,
            traceparent: text(HEADER_TRACEPARENT, check_traceparent, codes::BAD_HEADER)?,
            order_key: text(HEADER_ORDER_KEY, check_order_key, codes::BAD_HEADER)?,
            ..RawFields::default()
        };
        if let Some(value) = self.header(HEADER_INTENT) {
            let id = value.parse().map_err(|e: crate::base::error::BadName| {
                bad(
                    HEADER_INTENT,
                    value,
                    e.rule.to_owned(),
                    "choose another id, or leave the header out",
                )
            })?;
            fields.intent = Some(id);
        }
        if let Some(value) = self.header(HEADER_PRIORITY) {
            fields.priority = value
                .trim()
                .parse()
                .map_err(|_| "not a whole number".to_owned())
                .and_then(Priority::new)
                .map_err(|problem| bad(HEADER_PRIORITY, value, problem, "give a whole number from 1 to 10"))?;
        }
        if let Some(value) = self.header(HEADER_MAX_HOPS) {
            fields.max_hops = value
                .trim()
                .parse()
                .map_err(|_| "not a whole number".to_owned())
                .and_then(MaxHops::new)
                .map_err(|problem| bad(HEADER_MAX_HOPS, value, problem, "give a whole number from 1 to 64"))?;
        }
        if let Some(value) = self.header(HEADER_PINNING) {
            fields.pinning = Some(match value.trim() {
                "hop" => Pinning::Hop,
                "chain" => Pinning::Chain,
                _ => {
                    return Err(bad(
                        HEADER_PINNING,
                        value,
                        "is no way of pinning".to_owned(),
                        "give hop or chain",
                    ));
                }
            });
        }
        fields.itinerary = self.itinerary()?;
        (fields.task, fields.expects) = self.task()?;
        fields.budget = self.budget()?;
        if let Some(value) = self.header(HEADER_DEADLINE) {
            let deadline = Timestamp::parse_or_after(value.trim(), self.stored_at)
                .map_err(|problem| bad(HEADER_DEADLINE, value, problem, "give a time or a duration such as 10m"))?;
            check_deadline(Some(deadline), now, HEADER_DEADLINE)?;
            fields.deadline = Some(deadline);
        }
        fields.not_before = self.not_before(fields.deadline)?;
        if let (Some(key), Some(_)) = (&fields.order_key, fields.not_before) {
            let problem = "is for work that begins in its turn, and this has a time to begin at".to_owned();
            let fix = "leave out Baton-Not-Before or Baton-Order-Key";
            return Err(bad(HEADER_ORDER_KEY, key, problem, fix));
        }
        Ok(fields)
    }
}

/// The rejection of a header whose value cannot be read.
fn bad(field: &str, value: &str, problem: String, fix: &str) -> RawRejection {
    RawRejection {
        code: codes::BAD_HEADER,
        field: field.to_owned(),
        value: quoted(value, QUOTED),
        problem,
        fix: fix.to_owned(),
    }
}

impl RawIntent<'_> {
    /// The agents that the work goes to after the first.
    fn itinerary(&self) -> Result<Vec<AgentName>, RawRejection> {
        let Some(value) = self.header(HEADER_ITINERARY) else {
            return Ok(Vec::new());
        };
        let agents: Result<Vec<AgentName>, _> = value.split(',').map(|name| name.trim().parse()).collect();
        agents.map_err(|problem: crate::base::error::BadName| {
            let fix = "give names of agents, separated by commas, or leave the header out";
            bad(HEADER_ITINERARY, value, problem.to_string(), fix)
        })
    }

    /// When the work begins at the earliest. A time that has passed since the message was stored is no fault.
    fn not_before(&self, deadline: Option<Timestamp>) -> Result<Option<Timestamp>, RawRejection> {
        let Some(value) = self.header(HEADER_NOT_BEFORE) else {
            return Ok(None);
        };
        let bad = |problem: String, fix: &str| RawRejection {
            code: codes::BAD_HEADER,
            field: HEADER_NOT_BEFORE.to_owned(),
            value: quoted(value, QUOTED),
            problem,
            fix: fix.to_owned(),
        };
        let from = Timestamp::parse_or_after(value.trim(), self.stored_at)
            .map_err(|problem| bad(problem, "give a time or a duration such as 10m"))?;
        if from < self.stored_at {
            let problem = format!("was in the past when the message was stored ({})", self.stored_at);
            return Err(bad(problem, "give a time in the future, or leave the header out"));
        }
        if let Some(deadline) = deadline.filter(|deadline| *deadline <= from) {
            let problem = format!("is not before the deadline, {deadline}");
            return Err(bad(problem, "give a deadline after it, or none"));
        }
        Ok(Some(from))
    }
}

fn check_deadline(deadline: Option<Timestamp>, now: Timestamp, field: &str) -> Result<(), RawRejection> {
    match deadline {
        Some(deadline) if deadline <= now => Err(RawRejection {
            code: codes::DEADLINE_PAST,
            field: field.to_owned(),
            value: deadline.to_string(),
            problem: format!("is in the past (now {now})"),
            fix: "give a deadline in the future, or none".to_owned(),
        }),
        Some(_) | None => Ok(()),
    }
}

fn refused(code: &'static str, field: &str, bad: BadText) -> RawRejection {
    RawRejection {
        code,
        field: field.to_owned(),
        value: bad.value,
        problem: bad.problem,
        fix: bad.fix,
    }
}

fn malformed(error: &DecodeError) -> RawRejection {
    RawRejection {
        code: codes::MALFORMED_ENVELOPE,
        field: error.field.clone(),
        value: error.value.clone().unwrap_or_default(),
        problem: error.problem.clone(),
        fix: error.fix(),
    }
}
