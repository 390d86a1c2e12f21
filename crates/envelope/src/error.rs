//! Errors of the pure protocol: each names the field, the value and the fix.

use serde::de::DeserializeOwned;

use crate::names::AgentName;

/// A name that may not become a subject token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{value}\" is not valid: {rule}")]
pub struct BadName {
    /// What the name was meant for: `agent`, `namespace`, `intent id`.
    pub what: &'static str,
    /// The value that was given.
    pub value: String,
    /// What is allowed.
    pub rule: &'static str,
}

/// JSON that could not be read as what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: field `{field}`{}: {problem}", value.as_ref().map(|v| format!(" (value {v})")).unwrap_or_default())]
pub struct DecodeError {
    /// What was being read: `envelope`, `ledger record`.
    pub what: &'static str,
    /// The path of the field, or `.` for the whole document.
    pub field: String,
    /// The value found there, shortened.
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: String,
}

impl DecodeError {
    /// What the author of the document should do.
    pub fn fix(&self) -> String {
        match self.field.rsplit('.').next().unwrap_or_default() {
            "priority" => "give a whole number from 1 (least urgent) to 10 (most urgent)".to_owned(),
            "max_hops" => "give a whole number from 1 to 64".to_owned(),
            "deadline" => "give RFC 3339 in the future, such as 2026-11-21T05:00:00Z".to_owned(),
            "protocol" => format!("this Baton reads protocol {}.x", crate::protocol::PROTOCOL.major()),
            "" => "send one JSON object, or a raw body without the Baton-Protocol header".to_owned(),
            field => format!("correct `{field}` as docs/protocol.md describes it"),
        }
    }
}

/// A handoff that would pass `max_hops`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hop {hop} to agent \"{to}\" would pass max_hops {max_hops}")]
pub struct HopLimit {
    /// The agent that the handoff was meant for.
    pub to: AgentName,
    /// The hop that it would have been.
    pub hop: u32,
    /// The limit of this intent.
    pub max_hops: u32,
}

/// A successor that drops or alters the must-carry constraints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the must-carry constraints were altered (hash {found}, expected {expected})")]
pub struct MustCarryBroken {
    /// The hash that the predecessor carries.
    pub expected: String,
    /// The hash of what the successor carries.
    pub found: String,
}

/// Reads JSON; on failure says which field, which value, what is wrong.
///
/// The first pass is the fast one. Only a document that failed is read again, field by field, to find the place.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| locate(what, bytes, &error))
}

fn locate(what: &'static str, bytes: &[u8], error: &serde_json::Error) -> DecodeError {
    let problem = error.to_string();
    let whole =
        |problem: String| DecodeError { what, field: ".".to_owned(), value: Some(excerpt(bytes)), problem };
    if !error.is_data() {
        return whole(format!("not valid JSON: {problem}"));
    }
    if let Some(field) = problem.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return DecodeError { what, field: field.to_owned(), value: None, problem: "is missing".to_owned() };
    }
    // serde_json names line and column of the end of the offending value; the key is found by walking the members.
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(bytes) else { return whole(problem) };
    let place = problem.rfind(" at line ").unwrap_or(problem.len());
    let text = problem.get(..place).unwrap_or(&problem).to_owned();
    let column = column_of(bytes, error);
    let (field, value) = key_before(bytes, column, &members);
    DecodeError { what, field, value, problem: text }
}

fn column_of(bytes: &[u8], error: &serde_json::Error) -> usize {
    let before: usize = bytes.split(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(|l| l.len() + 1).sum();
    before + error.column()
}

/// The member whose key stands last before `position`.
fn key_before(
    bytes: &[u8],
    position: usize,
    members: &serde_json::Map<String, serde_json::Value>,
) -> (String, Option<String>) {
    let text = String::from_utf8_lossy(bytes.get(..position.min(bytes.len())).unwrap_or(bytes)).into_owned();
    members
        .iter()
        .filter_map(|(key, value)| {
            text.rfind(&format!("\"{key}\"")).map(|at| (at, key.clone(), excerpt(value.to_string().as_bytes())))
        })
        .max_by_key(|(at, _, _)| *at)
        .map_or_else(|| (".".to_owned(), None), |(_, key, value)| (key, Some(value)))
}

fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
