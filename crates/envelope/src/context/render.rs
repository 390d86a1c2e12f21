//! The text of a view. What somebody wrote stands in a fence that it cannot end, or on one line that it cannot leave.
//!
//! Every part begins with `#` or `-` and ends with a line feed, so the tokens of the parts add up to those of the whole.
//! No part holds a hash, an id of an intent or a time: they cost some 30 tokens each, and say nothing to a model.

use super::candidate::Candidate;
use super::memory::{Level, Memory};
use crate::base::json::Json;
use crate::base::text::{quoted, shown};
use crate::message::envelope::Envelope;
use crate::message::object::ObjectHash;
use crate::message::parts::{Expects, HistoryEntry, Task};

/// How many entries of the history are in a view in full.
const FULL_ENTRIES: usize = 8;
/// How many characters of an older entry a view has.
const ENTRY_LINE: usize = 120;
/// The shortest fence.
const FENCE: usize = 3;

/// The content of an object, where it can be had.
pub type Contents<'a> = dyn Fn(&ObjectHash) -> Option<&'a [u8]> + 'a;

/// What stands in every view: constraints, task, expectations, payload and history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fixed {
    /// The must-carry constraints, as they are written.
    pub constraints: Option<Json>,
    /// The task.
    pub task: Option<Task>,
    /// What the sender expects back.
    pub expects: Option<Expects>,
    /// The payload, where it is text and stands in the envelope.
    pub payload: Option<String>,
    /// What each agent did, the latest last.
    pub history: Vec<HistoryEntry>,
}

impl Fixed {
    /// Those of an envelope.
    pub fn of(envelope: &Envelope) -> Self {
        // What is large is an object in the envelope, also where its receiver has put the content in its place.
        let is_text =
            envelope.payload_encoding.is_none() && !envelope.payload.is_null() && !envelope.has_large_payload();
        let as_string = || envelope.payload.read::<String>().ok();
        Self {
            constraints: envelope.constraints.clone(),
            task: envelope.task.clone(),
            expects: envelope.expects.as_deref().cloned(),
            payload: is_text.then(|| as_string().unwrap_or_else(|| envelope.payload.get().to_owned())),
            history: envelope.history.clone(),
        }
    }

    /// Its parts by name, as a view renders them, in order.
    pub(super) fn parts(&self) -> Vec<(&'static str, String)> {
        let mut parts = Vec::new();
        let mut add = |name: &'static str, text: Option<&str>| {
            if let Some(text) = text {
                parts.push((name, block(&format!("## {name}"), text)));
            }
        };
        add("constraints", self.constraints.as_ref().map(Json::get));
        if let Some(task) = &self.task {
            add("goal", task.goal.as_deref());
            add("state", task.state.as_deref());
            add("ask", task.ask.as_deref());
        }
        let expects = self.expects.as_ref().map(expected);
        add("expects", expects.as_deref().filter(|expects| !expects.is_empty()));
        add("payload", self.payload.as_deref());
        let (older, newer) = self.history.split_at(self.history.len().saturating_sub(FULL_ENTRIES));
        let lines: Vec<String> = older.iter().map(entry_line).collect();
        add(
            "earlier history",
            Some(lines.join("\n").as_str()).filter(|lines| !lines.is_empty()),
        );
        let newer: Vec<String> = newer.iter().map(entry).collect();
        if !newer.is_empty() {
            parts.push(("history", newer.concat()));
        }
        parts
    }
}

fn expected(expects: &Expects) -> String {
    let number = |count: Option<u64>| count.map(|count| format!("{count} characters"));
    labelled(&[
        ("format", expects.format.as_deref()),
        ("length", expects.length.as_deref()),
        ("quality", expects.quality.as_deref()),
        ("at least", number(expects.min_length).as_deref()),
        ("at most", number(expects.max_length).as_deref()),
        ("schema", expects.schema.as_ref().map(Json::get)),
    ])
}

fn labelled(fields: &[(&str, Option<&str>)]) -> String {
    let given = fields.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let lines: Vec<String> = given.map(|(name, value)| format!("{name}: {value}")).collect();
    lines.join("\n")
}

fn entry_author(entry: &HistoryEntry) -> String {
    match &entry.version {
        Some(version) => format!("{}@{version}", entry.agent),
        None => entry.agent.to_string(),
    }
}

fn entry(entry: &HistoryEntry) -> String {
    let refs = entry.refs.join(", ");
    let text = labelled(&[
        ("did", entry.did.as_deref()),
        ("decided", entry.decided.as_deref()),
        ("why", entry.why.as_deref()),
        ("refs", Some(refs.as_str()).filter(|refs| !refs.is_empty())),
    ]);
    block(&format!("## history of {}", entry_author(entry)), &text)
}

fn entry_line(entry: &HistoryEntry) -> String {
    let said = entry.decided.as_deref().or(entry.did.as_deref()).unwrap_or_default();
    format!("{}: {}", entry_author(entry), quoted(said, ENTRY_LINE))
}

/// A header, and a text in a fence that is longer than any run of backticks in it.
fn block(header: &str, text: &str) -> String {
    let mut fence = FENCE;
    let mut run = 0;
    for byte in text.bytes() {
        run = if byte == b'`' { run + 1 } else { 0 };
        fence = fence.max(run + 1);
    }
    let fence = "`".repeat(fence);
    format!("{header}\n{fence}\n{text}\n{fence}\n")
}

/// A memory as a view renders it at a level. Without its content, what would stand in full says that it cannot be had.
pub(super) fn item(memory: &Memory, by: &str, level: &Level, content: Option<&[u8]>) -> String {
    // Made where it is shown: most candidates of a large tree are left out.
    let what = || format!("{} {} by {}", memory.key, memory.kind.name(), shown(by));
    let text = content.and_then(|content| std::str::from_utf8(content).ok());
    match (level, &memory.summary, text) {
        (Level::Dropped | Level::Unknown(_), _, _) => String::new(),
        (Level::Summary, Some(summary), _) => block(&format!("### {}, summary", what()), summary),
        (Level::Full, _, Some(text)) if memory.is_text() => block(&format!("### {}", what()), text),
        (Level::Full, _, _) if content.is_none() => line(memory, &what(), Some("not readable")),
        (Level::Full | Level::Summary | Level::Ref, _, _) if shows_size(memory, content) => {
            let media = memory.media.as_deref().unwrap_or("no text");
            line(
                memory,
                &what(),
                Some(&format!("{}, {} bytes", shown(media), memory.bytes)),
            )
        }
        (Level::Full | Level::Summary | Level::Ref, _, _) => line(memory, &what(), None),
    }
}

/// Whether a memory is shown by its name, type and size alone: its content is no text, by its type or by its bytes.
fn shows_size(memory: &Memory, content: Option<&[u8]>) -> bool {
    !memory.is_text() || content.is_some_and(|content| std::str::from_utf8(content).is_err())
}

fn line(memory: &Memory, what: &str, remark: Option<&str>) -> String {
    let title = memory.title.as_deref().map(|title| format!(": {}", shown(title)));
    let remark = remark.map(|remark| format!(" ({remark})"));
    format!("- {what}{}{}\n", title.unwrap_or_default(), remark.unwrap_or_default())
}

/// The text of a view: the fixed parts, then the memories in the order of the chain, each at its level.
pub fn render<'c>(
    fixed: &Fixed,
    items: impl IntoIterator<Item = (&'c Candidate, Level)>,
    contents: &Contents<'_>,
) -> String {
    let mut text: String = fixed.parts().into_iter().map(|(_, part)| part).collect();
    for (candidate, level) in items {
        let content = (level == Level::Full)
            .then(|| contents(&candidate.memory.hash))
            .flatten();
        text.push_str(&item(&candidate.memory, &candidate.by, &level, content));
    }
    text
}
