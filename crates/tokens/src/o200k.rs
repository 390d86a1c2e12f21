//! `o200k_base`: how OpenAI's models from GPT-4o on split text.
//!
//! A text is first split into pieces by a pattern ([`split`]); then the bytes of each piece are merged pair by pair, the
//! pair with the lowest rank first ([`merge`]). Both take time in proportion to the text, whatever it holds: the mesh counts
//! what strangers send.

mod class;
mod classes;
mod merge;
mod split;
mod table;
mod tree;
mod vocabulary;

use std::sync::LazyLock;

#[cfg(feature = "reference")]
pub(crate) use self::{
    class::{Class, class},
    vocabulary::tokens,
};

use self::merge::Merge;
use self::split::Pieces;
use self::vocabulary::Vocabulary;
use crate::Counter;

/// No token, and no node of the tree.
const NONE: u32 = u32::MAX;

/// Made by the first count, which takes some 50 ms and 12 MB; a process that never counts pays for none of it.
static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(Vocabulary::unpack);

/// The counter of `o200k_base`.
///
/// **Where sums are exact.** If one text is empty or ends with a line feed, and the next begins with neither white space
/// nor `/`, the count of both together is the sum of their counts. For other texts it may be less or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct O200k;

/// What a count found, and how much work it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// How many tokens.
    pub tokens: u64,
    /// Characters and table cells looked at: what the time is in proportion to. Tests hold it linear.
    pub steps: u64,
}

impl O200k {
    /// The id of this counter, for ever: a test holds the SHA-256 of vocabulary, pattern and classes of characters to it.
    pub const ID: &str = "o200k_base#1";

    /// The pattern whose matches are the pieces that tokens do not cross, as tiktoken has it.
    pub const PATTERN: &str = split::PATTERN;

    /// Counts, and says how much work it was.
    pub fn measure(self, text: &str) -> Counted {
        let mut pieces = Pieces::of(text);
        let mut merge = Merge::with(&VOCABULARY);
        let mut tokens = 0;
        for piece in pieces.by_ref() {
            tokens += merge.count(piece.as_bytes());
        }
        let steps = pieces.steps() + merge.steps();
        Counted { tokens, steps }
    }
}

impl Counter for O200k {
    fn id(&self) -> &'static str {
        Self::ID
    }

    fn count(&self, text: &str) -> u64 {
        self.measure(text).tokens
    }
}
