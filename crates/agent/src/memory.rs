//! What a handler remembers for the agents after it, and what it asks of their view.

use std::collections::BTreeSet;

use baton_envelope::codes;
use baton_envelope::context::{self, Counter, EnvelopeContext, Gap, Kind, MemoryKey, Relevance, Request, Strategy};
use baton_envelope::{Envelope, ObjectHash, Record, SpaceName, Task};
use baton_tokens::{Counter as _, O200k};

use crate::fault::Fault;

/// Counts the tokens of the mesh: those of `o200k_base`.
pub fn token_counter() -> Counter<'static> {
    Counter {
        id: O200k::ID,
        count: &|text| O200k.count(text),
    }
}

/// Something that the agents after this one are to know: a key, a kind and a content.
///
/// ```
/// use baton_agent::{Kind, Memory};
///
/// let decision = Memory::new("ms-4825", Kind::Decision, "Retry with jitter, at most 5 times.")
///     .title("Retry strategy")
///     .relevance(900)
///     .pin();
/// # drop(decision);
/// ```
#[derive(Debug, Clone)]
pub struct Memory {
    key: String,
    kind: Kind,
    pub(crate) content: Vec<u8>,
    title: Option<String>,
    media: Option<String>,
    summary: Option<String>,
    supersedes: Option<String>,
    relevance: Option<i64>,
    pinned: bool,
    /// The space that it is taken over from, and its revision there.
    from: Option<(SpaceName, u64)>,
}

impl Memory {
    /// A memory. The same key in a later hop is its next revision.
    pub fn new(key: impl Into<String>, kind: Kind, content: impl Into<Vec<u8>>) -> Self {
        Self {
            key: key.into(),
            kind,
            content: content.into(),
            title: None,
            media: None,
            summary: None,
            supersedes: None,
            relevance: None,
            pinned: false,
            from: None,
        }
    }

    /// Says which revision of which space it is taken over from.
    pub(crate) fn taken_from(mut self, space: SpaceName, revision: u64) -> Self {
        self.from = Some((space, revision));
        self
    }

    /// One line that says what it is about, of at most 200 characters.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The media type of the content, where it is not plain text. A view shows text and JSON, and names everything else.
    #[must_use]
    pub fn media(mut self, media: impl Into<String>) -> Self {
        self.media = Some(media.into());
        self
    }

    /// What stands for it where all of it has no room, of at most 2 KiB; without it the beginning of the content does.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = Some(summary.into());
        self
    }

    /// The key of a memory that this one takes the place of: no view has that from now on.
    #[must_use]
    pub fn supersedes(mut self, key: impl Into<String>) -> Self {
        self.supersedes = Some(key.into());
        self
    }

    /// How much it matters: 0 to 1000, without this 500.
    #[must_use]
    pub fn relevance(mut self, relevance: i64) -> Self {
        self.relevance = Some(relevance);
        self
    }

    /// Puts it into every view, in full. A handoff whose pins do not fit fails.
    #[must_use]
    pub fn pin(mut self) -> Self {
        self.pinned = true;
        self
    }

    /// What a link says of it.
    pub(crate) fn described(&self) -> Result<context::Memory, Fault> {
        let refused = |problem: String| Fault::terminal(codes::BAD_MEMORY, problem);
        let key = |text: &str| text.parse::<MemoryKey>().map_err(|error| refused(error.to_string()));
        let mut memory = context::Memory::new(key(&self.key)?, self.kind.clone(), &self.content);
        memory.title.clone_from(&self.title);
        memory.pinned = self.pinned;
        if self.media.is_some() {
            memory.media.clone_from(&self.media);
        }
        if self.summary.is_some() {
            memory.summary.clone_from(&self.summary);
        }
        memory.supersedes = self.supersedes.as_deref().map(key).transpose()?;
        if let Some(relevance) = self.relevance {
            let problem = |problem| refused(format!("memory \"{}\": {problem}", self.key));
            memory.relevance = Relevance::new(relevance).map_err(problem)?;
        }
        (memory.space, memory.revision) = self.from.clone().unzip();
        memory.check().map_err(|bad| refused(bad.to_string()))?;
        Ok(memory)
    }
}

/// What a handoff asks of the view of its receiver. Without it the receiver gets [`View::trim`].
///
/// ```
/// use baton_agent::View;
///
/// let view = View::trim().include_recent(20).name("ms-4821").tokens(4_000);
/// # drop(view);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    strategy: Strategy,
    tokens: Option<u64>,
    include_recent: Option<u32>,
    names: BTreeSet<String>,
    without: Vec<Kind>,
}

impl View {
    const fn of(strategy: Strategy) -> Self {
        Self {
            strategy,
            tokens: None,
            include_recent: None,
            names: BTreeSet::new(),
            without: Vec::new(),
        }
    }

    /// As much in full as has room, by priority.
    pub fn trim() -> Self {
        Self::of(Strategy::Trim)
    }

    /// Everything in full: the handoff fails where that has no room.
    pub fn full() -> Self {
        Self::of(Strategy::Full)
    }

    /// Pins in full, of everything else the summary.
    pub fn summary() -> Self {
        Self::of(Strategy::Summary)
    }

    /// Pins in full, of everything else one line; the receiver recalls what it needs.
    pub fn lazy() -> Self {
        Self::of(Strategy::Lazy)
    }

    /// With a strategy by its name on the wire.
    pub(crate) const fn by(strategy: Strategy) -> Self {
        Self::of(strategy)
    }

    /// The most tokens of the view. The constraint `max_tokens` may ask for less, and counts then.
    #[must_use]
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// How many of the newest memories come before the older ones; without this 20.
    #[must_use]
    pub fn include_recent(mut self, count: u32) -> Self {
        self.include_recent = Some(count);
        self
    }

    /// Puts this memory first.
    #[must_use]
    pub fn name(mut self, key: impl Into<String>) -> Self {
        self.names.insert(key.into());
        self
    }

    /// Leaves out a kind, but for what is pinned or named.
    #[must_use]
    pub fn without(mut self, kind: Kind) -> Self {
        self.without.push(kind);
        self
    }

    /// The request, with the budget that is left when `budget` has had its say.
    pub(crate) fn request(self, budget: impl FnOnce(Option<u64>) -> u64) -> Result<Request, Fault> {
        let parsed = self.names.iter().map(|key| key.parse::<MemoryKey>());
        let named: Result<BTreeSet<MemoryKey>, _> = parsed.collect();
        let named = named.map_err(|error| Fault::terminal(codes::BAD_MEMORY, format!("the view: {error}")))?;
        let default = Request::trim(budget(self.tokens));
        Ok(Request {
            strategy: self.strategy,
            include_recent: self.include_recent.unwrap_or(default.include_recent),
            named,
            without: self.without,
            ..default
        })
    }
}

/// What a hop saw of its view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// What the view was to have and could not.
    pub(crate) gaps: Vec<Gap>,
    /// The contents that could not be had before, and that the view has.
    pub(crate) found_again: Vec<ObjectHash>,
}

/// What a child leaves of what it knew, or the hop itself when it called others.
#[derive(Debug, Clone)]
pub(crate) struct LeftBehind {
    /// Its newest link.
    pub(crate) head: ObjectHash,
    /// What it was told of, or saw itself, that could not be had.
    pub(crate) gaps: Vec<Gap>,
}

impl LeftBehind {
    /// What the last call of a hop left of what the hop knew then, where that was more than its envelope says: what it remembers
    /// later stands behind that link.
    pub(crate) fn by_call<'r>(history: impl IntoIterator<Item = &'r Record>, hop: u32) -> Option<Self> {
        let of_hop = history.into_iter().filter(|record| record.snapshot.hop == hop);
        let asked = of_hop.flat_map(|record| record.waits.iter());
        let contexts = asked.filter_map(|wait| wait.children.as_ref()?.context.as_ref());
        let context: EnvelopeContext = contexts.last()?.read().ok()?;
        Some(Self {
            head: context.head?,
            gaps: context.gaps,
        })
    }
}

/// What a hop hands on of its context.
#[derive(Debug, Clone, Default)]
pub(crate) struct HandedOn {
    /// What it has remembered, in its order.
    pub(crate) memories: Vec<context::Memory>,
    /// What its call leaves, and the children that it has joined.
    pub(crate) joined: Vec<LeftBehind>,
    /// What it saw of its view, if it looked.
    pub(crate) seen: Option<Box<Seen>>,
    /// What it asks of the view of its receiver.
    pub(crate) view: Option<Box<View>>,
    /// What it tells its receiver of the task anew.
    pub(crate) task: Option<Box<Task>>,
}

impl HandedOn {
    pub(crate) const NONE: Self = Self {
        memories: Vec::new(),
        joined: Vec::new(),
        seen: None,
        view: None,
        task: None,
    };

    /// Whether a handoff of this envelope has to look at its context at all: where nobody remembers anything it costs nothing.
    pub(crate) fn matters(&self, envelope: &Envelope) -> bool {
        self.adds() || envelope.context.is_some()
    }

    /// Whether whoever comes next is told more than its envelope says, be it of gaps alone.
    pub(crate) fn tells(&self) -> bool {
        let seen = self.seen.as_ref();
        self.adds() || seen.is_some_and(|seen| !(seen.gaps.is_empty() && seen.found_again.is_empty()))
    }

    /// Whether it has more than its envelope says.
    pub(crate) fn adds(&self) -> bool {
        !(self.memories.is_empty() && self.joined.is_empty())
    }
}
