//! Work that a program names for other agents: children, and what takes something back.

use baton_envelope::{AgentName, Body, Child, Json, Priority, Timestamp, Undo, check_kind};
use serde::Deserialize;

/// What a program asks another agent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedChild {
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    payload: Option<Json>,
    #[serde(default)]
    payload_encoding: Option<String>,
    #[serde(default)]
    priority: Option<Priority>,
    #[serde(default)]
    deadline: Option<Timestamp>,
}

impl AskedChild {
    pub(super) fn child(self) -> Result<Child, String> {
        let body = body("payload", self.payload, self.payload_encoding)?;
        let mut child = Child::new(body.json);
        child.payload_encoding = body.encoding;
        child.to = self.to.map(|to| agent(&to)).transpose()?;
        child.kind = self.kind;
        child.priority = self.priority;
        child.deadline = self.deadline;
        Ok(child)
    }
}

/// What takes a step or a hop back.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "for `undo` an object, such as {\"agent\": \"cancel-flight\"}"
)]
pub(super) struct AskedUndo {
    agent: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    payload: Option<Json>,
    #[serde(default)]
    payload_encoding: Option<String>,
}

impl AskedUndo {
    pub(super) fn undo(self) -> Result<Undo, String> {
        let body = body("payload", self.payload, self.payload_encoding).map_err(|bad| format!("undo: {bad}"))?;
        let agent = self.agent.parse::<AgentName>();
        let agent = agent.map_err(|bad| format!("undo: agent: {bad}"))?;
        if let Some(Err(bad)) = self.kind.as_deref().map(check_kind) {
            return Err(format!("undo: {bad}"));
        }
        let mut undo = Undo::new(agent, body.json);
        (undo.kind, undo.payload_encoding) = (self.kind, body.encoding);
        Ok(undo)
    }
}

/// The name of an agent.
pub(super) fn agent(name: &str) -> Result<AgentName, String> {
    name.parse().map_err(|bad| format!("to: {bad}"))
}

/// A result or a payload with its encoding, which must be one that every reader knows.
pub(super) fn body(field: &str, json: Option<Json>, encoding: Option<String>) -> Result<Body, String> {
    let json = json.unwrap_or_default();
    match encoding.as_deref() {
        Some("base64") if Body::bytes(&json, Some("base64")).is_none() => Err(format!(
            "`{field}` is no string of base64 (with padding), as `{field}_encoding` says"
        )),
        Some("base64") | None => Ok(Body { json, encoding }),
        Some(other) => Err(format!(
            "`{field}_encoding` is \"{other}\": give \"base64\", or leave it out"
        )),
    }
}
