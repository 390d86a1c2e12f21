//! Which key may sign which records.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::key::PublicKey;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;
use crate::intent::event::Event;
use crate::intent::record::{Record, Role};

/// What a signer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignerRole {
    /// A controller: every record, and the checkpoints.
    Controller,
    /// A worker: the records of hops of its agent, and what an agent adds to others.
    Worker,
    /// A person: submits, redrives, cancels, moves.
    Operator,
    /// A submitter: the first record of an intent.
    Client,
}

/// One line of trust: a public key, and what it is trusted with. A key may have several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The public key.
    pub key: PublicKey,
    /// What its holder is.
    pub role: SignerRole,
    /// The agent, for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// A name for people: who has the key, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Records that were stored before this are not signed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Records that were stored after this are not signed with it: the end of a key that was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The trusted keys.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    all: Vec<Grant>,
    by_key: HashMap<String, Trusted>,
}

/// A key, and the places of its grants.
#[derive(Debug, Clone)]
pub(super) struct Trusted {
    pub(super) key: PublicKey,
    places: Vec<usize>,
}

/// A document of trust that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grant {at} of key {key}: {problem}")]
pub struct BadGrant {
    /// Its place, from 1.
    pub at: usize,
    /// The key.
    pub key: String,
    /// What is wrong, and what to do.
    pub problem: &'static str,
}

impl Grants {
    /// Takes over a list of grants.
    ///
    /// # Errors
    /// When one contradicts itself.
    pub fn new(all: Vec<Grant>) -> Result<Self, BadGrant> {
        let mut by_key: HashMap<String, Trusted> = HashMap::new();
        for (place, grant) in all.iter().enumerate() {
            let bad = |problem| BadGrant {
                at: place + 1,
                key: grant.key.to_string(),
                problem,
            };
            match (grant.role, &grant.agent) {
                (SignerRole::Worker, None) => return Err(bad("role \"worker\" needs `agent`: name the agent")),
                (SignerRole::Worker, Some(_)) | (_, None) => {}
                (_, Some(_)) => return Err(bad("`agent` belongs to role \"worker\" alone: leave it out")),
            }
            if let (Some(from), Some(until)) = (grant.from, grant.until)
                && from >= until
            {
                return Err(bad("`from` is not before `until`: correct one of them"));
            }
            let trusted = by_key.entry(grant.key.to_string()).or_insert_with(|| Trusted {
                key: grant.key,
                places: Vec::new(),
            });
            trusted.places.push(place);
        }
        Ok(Self { all, by_key })
    }

    /// All of them.
    pub fn all(&self) -> &[Grant] {
        &self.all
    }

    pub(super) fn of(&self, signer: &str) -> Option<&Trusted> {
        self.by_key.get(signer)
    }

    /// The grants of a key that hold at a time; of all times where it is not known.
    pub(super) fn held<'g>(&'g self, trusted: &'g Trusted, at: Option<Timestamp>) -> impl Iterator<Item = &'g Grant> {
        let grants = trusted.places.iter().filter_map(|place| self.all.get(*place));
        grants.filter(move |grant| at.is_none_or(|at| grant.holds_at(at)))
    }
}

impl Grant {
    fn holds_at(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at <= until)
    }

    /// Why it does not cover a record, if it does not. `turn` is whose turn it was before the record: `None` where that is
    /// not known, `Some(None)` before the first record.
    pub(super) fn refuses(&self, record: &Record, turn: Option<Option<&AgentName>>) -> Option<String> {
        let is_child = record.event == Event::Submitted && record.snapshot.parent.is_some();
        if is_child && self.role != SignerRole::Controller {
            return Some("only controllers submit children where records are signed".to_owned());
        }
        match self.role {
            SignerRole::Controller => None,
            SignerRole::Client => not_of(
                record,
                &[Role::Client, Role::Worker],
                matches!(record.event, Event::Submitted),
            ),
            SignerRole::Operator => not_of(record, &[Role::Operator, Role::Client], is_of_operators(&record.event)),
            SignerRole::Worker => self.refuses_worker(record, turn),
        }
    }

    fn refuses_worker(&self, record: &Record, turn: Option<Option<&AgentName>>) -> Option<String> {
        let agent = self.agent.as_ref()?;
        if record.by.role != Role::Worker || record.by.agent.as_ref() != Some(agent) {
            let name = record
                .by
                .agent
                .as_ref()
                .map_or(record.by.role.name(), AgentName::as_str);
            return Some(format!("a worker of \"{agent}\" signed it in the name of \"{name}\""));
        }
        // What an agent adds to the intents of others leaves their state alone.
        if matches!(record.event, Event::Signalled | Event::Submitted) {
            return None;
        }
        if record.event == Event::ToppedUp {
            return Some(format!(
                "a worker of \"{agent}\" signed \"topped_up\", and no worker allots anything"
            ));
        }
        let turn = match turn {
            Some(turn) => turn.cloned(),
            None => said_turn(record),
        };
        (turn.as_ref() != Some(agent)).then(|| {
            let whose = turn.map_or_else(
                || "nobody's turn".to_owned(),
                |other| format!("the turn of \"{other}\""),
            );
            format!(
                "a worker of \"{agent}\" signed \"{}\" when it was {whose}",
                record.event.name()
            )
        })
    }
}

/// Whose turn it was before a record, by what the record itself says.
fn said_turn(record: &Record) -> Option<AgentName> {
    let path = &record.snapshot.path;
    if record.event == Event::HandedOff {
        let before = path.len().checked_sub(2)?;
        return path.get(before).map(|entry| entry.agent.clone());
    }
    record.snapshot.agent.clone()
}

fn not_of(record: &Record, roles: &[Role], may: bool) -> Option<String> {
    let (event, role) = (record.event.name(), record.by.role.name());
    if !may {
        return Some(format!("its signer may not write \"{event}\""));
    }
    (!roles.contains(&record.by.role)).then(|| format!("it is signed in the name of a {role}, which its signer is not"))
}

/// What people do; all else is for agents and controllers.
const fn is_of_operators(event: &Event) -> bool {
    matches!(
        event,
        Event::Submitted
            | Event::Redriven
            | Event::Cancelled
            | Event::Moved
            | Event::Rerouted
            | Event::Repinned
            | Event::Signalled
            | Event::ToppedUp
    )
}
