//! Errors of the pure protocol. Each names the field, the value and the fix.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::base::json::Json;

/// A name that must not become a subject token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{value}\" is not valid: {rule}")]
pub struct BadName {
    /// What the name is for: `agent`, `namespace`, `intent id`.
    pub what: &'static str,
    /// The value given.
    pub value: String,
    /// What is allowed.
    pub rule: &'static str,
}

/// JSON that does not have the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: field `{field}`{}: {problem}", value.as_ref().map(|v| format!(" (value {v})")).unwrap_or_default())]
pub struct DecodeError {
    /// What was being read: `envelope`, `ledger record`.
    pub what: &'static str,
    /// The path of the field, or `.` for the whole document.
    pub field: String,
    /// The value found there, shortened.
    pub value: Option<String>,
    /// What is wrong with the value.
    pub problem: String,
}

impl DecodeError {
    /// What the author of the document should do.
    pub fn fix(&self) -> String {
        match self.field.rsplit('.').next().unwrap_or_default() {
            "priority" => "give a whole number from 1 (least urgent) to 10 (most urgent)".to_owned(),
            "max_hops" => "give a whole number from 1 to 64".to_owned(),
            "at" if !self.field.ends_with("due.at") => "give RFC 3339, such as 2026-11-21T05:00:00Z".to_owned(),
            "deadline" | "at" => "give RFC 3339 in the future, such as 2026-11-21T05:00:00Z".to_owned(),
            "protocol" => format!("this Baton reads protocol {}", crate::base::protocol::readable()),
            "" => "send one JSON object, or a raw body without the Baton-Protocol header".to_owned(),
            field => format!("correct `{field}` as docs/protocol.md describes it"),
        }
    }
}

/// Reads JSON. An error names the field, the value and the problem.
///
/// The first pass is fast. Only a document that failed is read again, this time with its path tracked.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(|error| locate::<T>(what, bytes, &error))
}

/// Explains why the fast pass could not read a document.
pub(crate) fn locate<T: DeserializeOwned>(what: &'static str, bytes: &[u8], error: &serde_json::Error) -> DecodeError {
    let whole = || DecodeError {
        what,
        field: ".".to_owned(),
        value: Some(excerpt(bytes)),
        problem: error.to_string(),
    };
    // serde reports a number that no float can hold as a syntax error, but the document is whole and the path is known.
    if !error.is_data() && !error.to_string().starts_with("number out of range") {
        return whole();
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Err(tracked) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        return whole();
    };
    let (path, problem) = (tracked.path(), tracked.inner().to_string());
    let problem = problem
        .rfind(" at line ")
        .and_then(|end| problem.get(..end))
        .unwrap_or(&problem)
        .to_owned();
    if let Some(name) = problem
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        let field = if path.iter().len() == 0 {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        return DecodeError {
            what,
            field,
            value: None,
            problem,
        };
    }
    let value = serde_json::from_slice::<Json>(bytes)
        .ok()
        .and_then(|document| value_at(document, path));
    DecodeError {
        what,
        field: path.to_string(),
        value: value.map(|found| excerpt(found.get().as_bytes())),
        problem,
    }
}

/// The value at a path, in its original spelling.
fn value_at(document: Json, path: &serde_path_to_error::Path) -> Option<Json> {
    path.iter().try_fold(document, |value, segment| match segment {
        Segment::Map { key } => value.read::<BTreeMap<String, Json>>().ok()?.remove(key),
        Segment::Seq { index } => value.read::<Vec<Json>>().ok()?.into_iter().nth(*index),
        Segment::Enum { .. } | Segment::Unknown => Some(value),
    })
}

/// The beginning of a value, for a message.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
