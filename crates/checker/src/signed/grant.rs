//! The trusted keys, and what each may sign.

use serde::{Deserialize, Serialize};

use super::key;
use crate::record::{Record, millis};

/// What the records are verified by: `trust.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// `accept`: a record without a signature counts. `require`: it is void above `since`.
    #[serde(default)]
    pub signatures: String,
    /// `baton.signatures.since`: up to this ledger sequence records need no signature.
    #[serde(default)]
    pub since: u64,
    /// The keys.
    pub grants: Vec<Grant>,
}

/// A trusted key, and what it is trusted with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The public key.
    pub key: String,
    /// `controller`, `worker`, `operator` or `client`.
    pub role: String,
    /// The agent of a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Records stored before are not signed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Records stored after are not signed with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// What persons may write.
const OPERATORS: [&str; 7] = [
    "submitted",
    "redriven",
    "cancelled",
    "moved",
    "rerouted",
    "repinned",
    "signalled",
];
/// What a worker may write on any intent.
const ANYWHERE: [&str; 3] = ["submitted", "signalled", "child_done"];

impl Trust {
    /// The bytes of a key, if it is trusted with anything at all.
    pub(crate) fn key(&self, text: &str) -> Option<[u8; 32]> {
        let is_there = self.grants.iter().any(|grant| grant.key == text);
        is_there.then(|| key::bytes_of(text))?
    }

    /// Whether a key was trusted as a controller when a message was stored.
    pub(crate) fn is_controller(&self, text: &str, stored_ms: i64) -> bool {
        self.held(text, stored_ms).any(|grant| grant.role == "controller")
    }

    /// Whether a key was trusted to sign a record when it was stored. `turn` is whose turn it was before.
    pub(crate) fn covers(&self, text: &str, stored_ms: i64, record: &Record, turn: Option<&str>) -> bool {
        self.held(text, stored_ms).any(|grant| grant.covers(record, turn))
    }

    fn held(&self, text: &str, stored_ms: i64) -> impl Iterator<Item = &Grant> {
        let text = text.to_owned();
        self.grants.iter().filter(move |grant| {
            let begun = grant
                .from
                .as_deref()
                .and_then(millis)
                .is_none_or(|from| from <= stored_ms);
            let ended = grant
                .until
                .as_deref()
                .and_then(millis)
                .is_some_and(|until| until < stored_ms);
            grant.key == text && begun && !ended
        })
    }
}

impl Grant {
    fn covers(&self, record: &Record, turn: Option<&str>) -> bool {
        let (event, role) = (record.event.name.as_str(), record.by.role.as_str());
        match self.role.as_str() {
            "controller" => true,
            "operator" => OPERATORS.contains(&event) && ["operator", "client"].contains(&role),
            "client" => event == "submitted" && ["client", "worker"].contains(&role),
            "worker" => {
                let agent = self.agent.as_deref();
                let is_own = role == "worker" && agent.is_some() && record.by.agent.as_deref() == agent;
                is_own && (ANYWHERE.contains(&event) || turn == agent)
            }
            _ => false,
        }
    }
}
