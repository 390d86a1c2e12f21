//! The context of a hop, as a program is told of it, and what a program adds to it.

use baton_envelope::context::{Gap, Kind, Level, Strategy};
use serde::{Deserialize, Serialize};

use crate::given::{Context, Given};
use crate::memory::{Memory, View};

/// What a program is told of what the hops before it remember.
#[derive(Debug, Serialize)]
pub(super) struct ToldContext<'a> {
    text: &'a str,
    /// What the text has something of, and what it has nothing of.
    memories: Vec<ToldMemory<'a>>,
    dropped: Vec<ToldMemory<'a>>,
    gaps: &'a [Gap],
    requested: u64,
    resolved: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ToldMemory<'a> {
    key: &'a str,
    kind: &'a Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    by: &'a str,
    level: &'a Level,
    pinned: bool,
    bytes: u64,
}

impl<'a> ToldMemory<'a> {
    fn of(Given { memory, by, level }: Given<'a>) -> Self {
        Self {
            key: memory.key.as_str(),
            kind: &memory.kind,
            title: memory.title.as_deref(),
            by,
            level,
            pinned: memory.pinned,
            bytes: memory.bytes,
        }
    }
}

impl<'a> ToldContext<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        Self {
            text: context.text(),
            memories: context.memories().map(ToldMemory::of).collect(),
            dropped: context.dropped().map(ToldMemory::of).collect(),
            gaps: context.gaps(),
            requested: context.completeness().requested,
            resolved: context.completeness().resolved,
            used: context.used(),
            budget: context.budget(),
        }
    }
}

/// What a program remembers.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "for `remember` an object, such as {\"key\": \"ms-1\", \"kind\": \"fact\", \"content\": \"…\"}"
)]
pub(super) struct AskedMemory {
    key: String,
    kind: Kind,
    content: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    media: Option<String>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    supersedes: Option<String>,
    #[serde(default)]
    relevance: Option<i64>,
    #[serde(default)]
    pinned: bool,
}

impl AskedMemory {
    pub(super) fn memory(self) -> Result<Memory, String> {
        let mut memory = Memory::new(self.key, self.kind, self.content);
        if let Some(title) = self.title {
            memory = memory.title(title);
        }
        if let Some(media) = self.media {
            memory = memory.media(media);
        }
        if let Some(summary) = self.summary {
            memory = memory.summary(summary);
        }
        if let Some(key) = self.supersedes {
            memory = memory.supersedes(key);
        }
        if let Some(relevance) = self.relevance {
            memory = memory.relevance(relevance);
        }
        if self.pinned {
            memory = memory.pin();
        }
        memory.described().map_err(|fault| fault.message)?;
        Ok(memory)
    }
}

/// What a program asks of the view of whoever is next.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "for `context` an object, such as {\"strategy\": \"trim\", \"tokens\": 4000}"
)]
pub(super) struct AskedView {
    #[serde(default)]
    strategy: Option<Strategy>,
    #[serde(default)]
    tokens: Option<u64>,
    #[serde(default)]
    include_recent: Option<u32>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    without: Vec<Kind>,
}

impl AskedView {
    pub(super) fn view(self) -> View {
        let mut view = View::by(self.strategy.unwrap_or(Strategy::Trim));
        if let Some(tokens) = self.tokens {
            view = view.tokens(tokens);
        }
        if let Some(count) = self.include_recent {
            view = view.include_recent(count);
        }
        view = self.names.into_iter().fold(view, View::name);
        self.without.into_iter().fold(view, View::without)
    }
}
