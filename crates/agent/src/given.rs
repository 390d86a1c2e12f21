//! What a hop is given of what the hops before it remember.

use std::sync::Arc;

use baton_envelope::context::{self, Candidate, Completeness, Gap, Level};
use baton_envelope::{ObjectHash, SpaceName, ViewSize};
use baton_jetstream::ReceivedView;

use crate::memory::Seen;

/// What a hop makes its own view with.
#[derive(Debug, Default)]
pub(crate) struct OwnView {
    /// The spaces whose pinned memories are in it.
    pub(crate) spaces: Vec<SpaceName>,
    /// What it is cut to.
    pub(crate) size: ViewSize,
}

/// The view that a hop was given.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) view: Arc<ReceivedView>,
}

/// A memory as a view has it.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The memory.
    pub memory: &'a context::Memory,
    /// Who remembered it.
    pub by: &'a str,
    /// How much of it the text has.
    pub level: &'a Level,
}

impl Context {
    /// The text: constraints, task, payload, history, then the memories. It fits the budget of the handoff.
    pub fn text(&self) -> &str {
        &self.view.text
    }

    /// The memories that the text has anything of, in the order in which they were remembered.
    pub fn memories(&self) -> impl Iterator<Item = Given<'_>> {
        self.items(|level| *level != Level::Dropped)
    }

    /// The memories that the text has nothing of: [`Hop::recall`](crate::Hop::recall) has them.
    pub fn dropped(&self) -> impl Iterator<Item = Given<'_>> {
        self.items(|level| *level == Level::Dropped)
    }

    fn items(&self, is_wanted: fn(&Level) -> bool) -> impl Iterator<Item = Given<'_>> {
        let items = self.view.items.iter().filter(move |(_, level)| is_wanted(level));
        items.map(|(Candidate { memory, by, .. }, level)| Given { memory, by, level })
    }

    /// What was to be in the text and cannot be had.
    pub fn gaps(&self) -> &[Gap] {
        &self.view.gaps
    }

    /// What of it the envelopes after this one tell.
    pub(crate) fn seen(&self) -> Seen {
        let carried = self.view.context.gaps.iter().map(|gap| &gap.hash);
        let has = |hash: &&ObjectHash| self.view.content(hash).is_some();
        Seen {
            gaps: self.view.gaps.clone(),
            found_again: carried.filter(has).cloned().collect(),
        }
    }

    /// How much of what was to be in the text in full could be had.
    pub fn completeness(&self) -> &Completeness {
        &self.view.completeness
    }

    /// The tokens of the text, where the handoff made a view.
    pub fn used(&self) -> Option<u64> {
        self.view.view().map(|view| view.used)
    }

    /// The most that they may be.
    pub fn budget(&self) -> Option<u64> {
        self.view.view().map(|view| view.budget)
    }
}
