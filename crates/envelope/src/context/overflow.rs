//! Why there is no view.

use super::memory::MemoryKey;
use crate::base::codes;

/// A part that must be in a view, and its tokens as the receiver counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `constraints`, `ask`, `history`, …, or `memory` and a key.
    pub name: String,
    /// Its tokens.
    pub tokens: u64,
}

/// Why there is no view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// `CONTEXT_OVERFLOW`: what must be in the view does not fit.
    #[error(
        "what must be in the view takes {needed} tokens, and the budget is {budget}: {}; {}",
        listed(parts),
        fix(*needed, *is_full)
    )]
    Overflow {
        /// The budget.
        budget: u64,
        /// What the parts take together.
        needed: u64,
        /// The parts.
        parts: Vec<Part>,
        /// Whether everything has to be in the view: the strategy is `full`.
        is_full: bool,
    },
    /// The handoff names a memory that is not there.
    #[error(
        "the handoff names memory \"{key}\", which no hop of this tree has remembered; name one of the {candidates} that \
         there are, or remember it first"
    )]
    NotThere {
        /// The name.
        key: MemoryKey,
        /// How many memories there are.
        candidates: usize,
    },
    /// `CONTEXT_MISSING`: what must be in the view can neither be read nor counted.
    #[error(
        "memory \"{key}\" must be in the view, and its content is not there; put it back under its hash, or unpin it"
    )]
    Missing {
        /// Its key.
        key: MemoryKey,
    },
    /// More memories must be in the view than one may hold.
    #[error(
        "{pinned} memories must be in the view in full, and {most} are the most; unpin some of them, put several into one, \
         or give another strategy than full"
    )]
    TooManyPins {
        /// How many must be.
        pinned: usize,
        /// The most.
        most: usize,
    },
    /// A strategy that this build does not know.
    #[error("`strategy` \"{name}\" is none; give full, summary, trim or lazy")]
    UnknownStrategy {
        /// The name.
        name: String,
    },
}

impl AssembleError {
    /// Its code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => codes::CONTEXT_MISSING,
            Self::Overflow { .. } | Self::TooManyPins { .. } => codes::CONTEXT_OVERFLOW,
            Self::NotThere { .. } | Self::UnknownStrategy { .. } => codes::BAD_MEMORY,
        }
    }
}

/// The parts, the largest first.
fn listed(parts: &[Part]) -> String {
    let mut parts: Vec<&Part> = parts.iter().collect();
    parts.sort_by(|a, b| b.tokens.cmp(&a.tokens).then_with(|| a.name.cmp(&b.name)));
    let parts: Vec<String> = parts
        .iter()
        .map(|part| format!("{} {}", part.name, part.tokens))
        .collect();
    parts.join(", ")
}

fn fix(needed: u64, is_full: bool) -> String {
    match is_full {
        true => format!("give a budget of {needed} or more, or another strategy, such as trim"),
        false => format!("give a budget of {needed} or more, or unpin a memory"),
    }
}
