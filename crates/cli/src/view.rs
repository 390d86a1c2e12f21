//! How records, snapshots and results look to a person, and the documents that a program gets.

#[cfg(test)]
pub(crate) mod fixtures;
mod holders;
mod rollout;
mod timeline;
mod versions;
mod waits;

use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Body, Json, Record, Snapshot, Timestamp};
use baton_jetstream::{Head, Listed};
use serde::Serialize;

pub(crate) use holders::{Holder, holders};
pub(crate) use rollout::{rollout_line, rollout_status};
pub(crate) use timeline::{event_line, timeline};
pub(crate) use versions::{alarms, cap, caps, clocks, pauses, protocol, version_state, versions};
pub(crate) use waits::{WaitView, waits, waits_table};

use crate::output::Output;
use crate::parse::Span;

/// A record and its sequence, as one document: the record's own fields, and `seq`.
#[derive(Debug, Serialize)]
pub(crate) struct Numbered<'a> {
    seq: u64,
    #[serde(flatten)]
    record: &'a Record,
}

impl<'a> Numbered<'a> {
    /// A record and its sequence.
    pub(crate) fn new(seq: u64, record: &'a Record) -> Self {
        Self { seq, record }
    }
}

impl<'a> From<&'a Head> for Numbered<'a> {
    fn from(head: &'a Head) -> Self {
        Self::new(head.seq, &head.record)
    }
}

/// Where an intent stands, as a document.
#[derive(Debug, Serialize)]
pub(crate) struct Standing<'a> {
    intent: &'a str,
    seq: u64,
    snapshot: &'a Snapshot,
}

impl<'a> From<&'a Head> for Standing<'a> {
    fn from(head: &'a Head) -> Self {
        Self {
            intent: head.record.intent.as_str(),
            seq: head.seq,
            snapshot: &head.record.snapshot,
        }
    }
}

/// Says so where a list lacks what the archive has.
pub(crate) fn note_incomplete(listed: &Listed, output: Output) {
    if !listed.is_complete {
        output.note("no controller answers, so archived intents are not listed");
    }
}

/// `code@1.4.0`, or `-` where no agent has a turn.
pub(crate) fn agent_at(agent: Option<&AgentName>, version: Option<&AgentVersion>) -> String {
    match (agent, version) {
        (Some(agent), Some(version)) => format!("{agent}@{version}"),
        (Some(agent), None) => agent.to_string(),
        (None, _) => "-".to_owned(),
    }
}

/// An agent, or one of its versions, as the arguments of a command: `code 1.4.0`.
pub(crate) fn arguments(agent: &AgentName, version: Option<&AgentVersion>) -> String {
    match version {
        Some(version) => format!("{agent} {version}"),
        None => agent.to_string(),
    }
}

/// The agent whose turn it is.
pub(crate) fn turn(snapshot: &Snapshot) -> String {
    agent_at(snapshot.agent.as_ref(), snapshot.version.as_ref())
}

/// `research@1.0.0 → code@1.0.0`.
pub(crate) fn path(snapshot: &Snapshot) -> String {
    let hops: Vec<String> = snapshot
        .path
        .iter()
        .map(|entry| format!("{}@{}", entry.agent, entry.version))
        .collect();
    hops.join(" → ")
}

/// The error of a snapshot: `CODE: message`.
pub(crate) fn error(snapshot: &Snapshot) -> String {
    snapshot
        .error
        .as_ref()
        .map(|error| format!("{}: {}", error.code, error.message))
        .unwrap_or_default()
}

/// A value as a person wants it: a string without its quotes, anything else as it was written.
pub(crate) fn value(json: &Json) -> String {
    json.read::<String>().unwrap_or_else(|_| json.get().to_owned())
}

/// The bytes of a result that is not text.
pub(crate) fn bytes(snapshot: &Snapshot) -> Option<Vec<u8>> {
    let result = snapshot.result.as_ref()?;
    Body::bytes(result, snapshot.result_encoding.as_deref())
}

/// A time, where there is one.
pub(crate) fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

/// Seconds as people write them: `1m 30s`.
pub(crate) fn seconds(seconds: u64) -> String {
    Span(Duration::from_secs(seconds)).to_string()
}

/// A number with its noun: `1 warning`, `2 warnings`.
pub(crate) fn count_of<N: std::fmt::Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let noun = if count == N::from(1) { one } else { many };
    format!("{count} {noun}")
}

/// Parts of a page with an empty line between them; empty ones are left out.
pub(crate) fn paragraphs(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n")
}

/// Text with every line moved in.
pub(crate) fn indented(text: &str) -> String {
    // Not `lines`: a carriage return is to be seen.
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let lines: Vec<String> = lines.map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// A text of others below a heading. Its lines are moved in: none can look like a line of the page around it.
pub(crate) fn body(heading: &str, text: &str) -> String {
    format!("{heading}\n{}", indented(text))
}

/// Text on one line of a table, cut where it gets too long.
pub(crate) fn one_line(text: &str, longest: usize) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(longest) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_shown_without_quotes_and_the_rest_as_written() {
        assert_eq!(value(&Json::string("OTTERS\n")), "OTTERS\n");
        assert_eq!(
            value(&Json::parse(r#"{"b": 1, "a": 2}"#).expect("json")),
            r#"{"b": 1, "a": 2}"#
        );
    }

    #[test]
    fn a_body_has_no_line_that_begins_as_those_of_the_page_do() {
        assert_eq!(body("text", "a\r\nto decide\n"), "text\n  a\r\n  to decide");
        assert_eq!(body("text", ""), "text\n  ");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(one_line("ä\n b  c", 3), "ä b…");
        assert_eq!(one_line("short", 10), "short");
    }
}
