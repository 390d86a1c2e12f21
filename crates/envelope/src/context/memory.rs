//! A memory: an object with a key and attributes. Its content stands elsewhere, under its hash.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::render;
use super::request::Counter;
use crate::base::error::BadName;
use crate::base::ids::{INTENT_RULE, valid_id};
use crate::base::names::{NAME_RULE, SpaceName, valid_name};
use crate::base::text::{Line, line_problem, quoted};
use crate::base::wire::{Extra, Text, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::message::object::ObjectHash;

/// The longest title, in characters.
const TITLE_LIMIT: usize = 200;
/// The longest summary, in bytes.
const SUMMARY_LIMIT: usize = 2 * 1024;
/// The longest media type, in bytes.
const MEDIA_LIMIT: usize = 128;
/// The most counters whose counts a memory has.
const MOST_COUNTERS: usize = 16;
/// How much of a content [`extract`] takes, in bytes.
const EXTRACT: usize = 240;
/// How many characters of a bad value are quoted.
const QUOTED: usize = 80;

/// The key of a memory in its tree, such as `ms-4821`. It may become a subject token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryKey(String);

impl MemoryKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemoryKey {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match valid_id(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(BadName {
                what: "memory key",
                value: quoted(text, QUOTED),
                rule: INTENT_RULE,
            }),
        }
    }
}

impl fmt::Display for MemoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for MemoryKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MemoryKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

wire_enum! {
    /// What a memory is.
    pub enum Kind {
        /// Something that is so.
        Fact = "fact",
        /// Something that was decided.
        Decision = "decision",
        /// Something that must hold.
        Constraint = "constraint",
        /// Something that is open.
        Question = "question",
        /// What some work came to.
        Result = "result",
        /// Something that was seen.
        Observation = "observation",
        /// What a program wrote while it ran.
        Log = "log",
        /// A file.
        File = "file",
    }
}

wire_enum! {
    /// How much of a memory a view holds.
    pub enum Level {
        /// All of it.
        Full = "full",
        /// Its summary.
        Summary = "summary",
        /// One line that names it.
        Ref = "ref",
        /// Nothing.
        Dropped = "dropped",
    }
}

/// How much a memory matters, by the word of its author: 0 to 1000, default 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relevance(u16);

impl Relevance {
    /// Takes a number in the range.
    ///
    /// # Errors
    /// When it is outside; the error names the value and the range.
    pub fn new(value: i64) -> Result<Self, String> {
        match u16::try_from(value) {
            Ok(number) if number <= 1_000 => Ok(Self(number)),
            Ok(_) | Err(_) => Err(format!("relevance {value} is out of range: expected 0 to 1000")),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Relevance {
    fn default() -> Self {
        Self(500)
    }
}

impl Serialize for Relevance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Relevance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

wire_object! {
    /// The tokens of a memory at each level, each counted as a view renders it: with its header and its fence.
    #[derive(Eq)]
    pub struct Counts {
        /// All of it.
        req full: u64,
        /// Its summary, where it has one.
        opt summary: u64,
        /// The line that names it.
        req line: u64,
    }
}

wire_object! {
    /// What is known of a memory. The content is the object under `hash`.
    #[derive(Eq)]
    pub struct Memory {
        /// Its key; the same key again is its next revision.
        req key: MemoryKey,
        /// The SHA-256 of the content, in hex.
        req hash: ObjectHash,
        /// What it is.
        req kind: Kind,
        /// One line that says what it is about; the name, for a file.
        opt title: String,
        /// It is in every view, in full.
        def pinned: bool,
        /// How much it matters.
        def relevance: Relevance,
        /// The size of the content in bytes.
        req bytes: u64,
        /// Its tokens, by the id of the counter.
        def tokens: BTreeMap<String, Counts>,
        /// The media type of the content; absent means plain text.
        opt media: String,
        /// What stands for it where all of it has no room.
        opt summary: String,
        /// The key of the memory that it takes the place of.
        opt supersedes: MemoryKey,
        /// The space that it was taken over from.
        opt space: SpaceName,
        /// The revision that it had there.
        opt revision: u64,
    }
}

/// An attribute of a memory that is refused: whose, which, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("memory \"{key}\": `{field}` \"{value}\" {problem}; {fix}")]
pub struct BadMemory {
    /// The key of the memory.
    pub key: String,
    /// The attribute.
    pub field: &'static str,
    /// Its value, shortened, with what cannot be printed escaped.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl Memory {
    /// A memory of this content, as text where it is UTF-8. A text that is long gets [`extract`] as its summary.
    pub fn new(key: MemoryKey, kind: Kind, content: &[u8]) -> Self {
        let text = std::str::from_utf8(content).ok();
        Self {
            key,
            hash: ObjectHash::of(content),
            kind,
            title: None,
            pinned: false,
            relevance: Relevance::default(),
            bytes: content.len() as u64,
            tokens: BTreeMap::new(),
            media: text.is_none().then(|| "application/octet-stream".to_owned()),
            summary: text.and_then(extract),
            supersedes: None,
            space: None,
            revision: None,
            extra: Extra::new(),
        }
    }

    /// The same memory with its tokens by this counter, as a view renders it for an author. Set every other attribute
    /// before: a count is that of what is rendered.
    #[must_use]
    pub fn counted(mut self, by: &str, content: &[u8], counter: &Counter<'_>) -> Self {
        let at = |level: Level| (counter.count)(&render::item(&self, by, &level, Some(content)));
        let counts = Counts {
            full: at(Level::Full),
            summary: self.summary.is_some().then(|| at(Level::Summary)),
            line: at(Level::Ref),
            extra: Extra::new(),
        };
        self.tokens.insert(counter.id.to_owned(), counts);
        self
    }

    /// Whether a view shows the content itself: text of any kind, and JSON.
    pub fn is_text(&self) -> bool {
        let Some(media) = &self.media else { return true };
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        media.starts_with("text/") || media == "application/json" || media.ends_with("+json")
    }

    /// Checks the attributes that have bounds.
    ///
    /// # Errors
    /// Names the first that is refused.
    pub fn check(&self) -> Result<(), BadMemory> {
        let bad = |field, value: &str, problem: String, fix: String| {
            let (key, value) = (self.key.to_string(), quoted(value, QUOTED));
            Err(BadMemory {
                key,
                field,
                value,
                problem,
                fix,
            })
        };
        if !valid_name(self.kind.name()) {
            let fix = format!("give one of {}, or {NAME_RULE}", known_kinds());
            return bad("kind", self.kind.name(), "is no kind".to_owned(), fix);
        }
        if let Some(title) = &self.title {
            let characters = title.chars().count();
            let fix = format!("give one line of at most {TITLE_LIMIT} characters, or leave it out");
            if characters > TITLE_LIMIT {
                return bad("title", title, format!("has {characters} characters"), fix);
            }
            if let Some(problem) = line_problem(title, Line::Text, usize::MAX) {
                return bad("title", title, problem, fix);
            }
        }
        if let Some(media) = &self.media
            && let Some(problem) = line_problem(media, Line::Ascii, MEDIA_LIMIT)
        {
            let fix = format!("give a media type such as text/markdown, at most {MEDIA_LIMIT} bytes, or leave it out");
            return bad("media", media, problem, fix);
        }
        if let Some(summary) = &self.summary
            && summary.len() > SUMMARY_LIMIT
        {
            let (problem, fix) = (
                format!("has {} bytes", summary.len()),
                format!(
                    "shorten it to {SUMMARY_LIMIT} bytes, or leave it out: the beginning of the content stands for it then"
                ),
            );
            return bad("summary", summary, problem, fix);
        }
        if self.supersedes.as_ref() == Some(&self.key) {
            let fix = "name another memory; the same key again is its next revision already".to_owned();
            return bad("supersedes", self.key.as_str(), "is its own key".to_owned(), fix);
        }
        if self.tokens.len() > MOST_COUNTERS {
            let (problem, fix) = (
                format!("has {} counters", self.tokens.len()),
                format!("keep the counts of at most {MOST_COUNTERS}"),
            );
            return bad("tokens", "", problem, fix);
        }
        match self
            .tokens
            .keys()
            .find(|id| line_problem(id, Line::Ascii, MEDIA_LIMIT).is_some())
        {
            None => Ok(()),
            Some(id) => bad(
                "tokens",
                id,
                "names no counter".to_owned(),
                "give the id of a counter, such as o200k_base#1".to_owned(),
            ),
        }
    }
}

fn known_kinds() -> String {
    let names: Vec<&str> = Kind::ALL.iter().map(Kind::name).collect();
    names.join(", ")
}

/// `extract-1`: what stands for a text whose author gave no summary. Its first 240 bytes, cut between characters and
/// marked; `None` for a text that is no longer than that.
pub fn extract(text: &str) -> Option<String> {
    if text.len() <= EXTRACT {
        return None;
    }
    let end = (0..=EXTRACT).rev().find(|end| text.is_char_boundary(*end))?;
    text.get(..end).map(|beginning| format!("{beginning}…"))
}
