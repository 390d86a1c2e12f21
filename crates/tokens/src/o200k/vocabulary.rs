//! The vocabulary, as it is in the binary and as it is looked things up in.
//!
//! Each token but the 256 single bytes is the join of two tokens of a lower rank: those that merging arrives at before it
//! makes this one. So the file holds pairs of ranks instead of bytes.

use super::NONE;
use super::table::Table;
use super::tree::Tree;

/// Made by `vocabulary/make.py`: 256 bytes, the single-byte tokens in the order of their ranks; then five bytes for each
/// further token, little-endian: the rank of its left part and, from the 18th bit on, that of its right part.
const PACKED: &[u8] = include_bytes!("../../vocabulary/o200k_base.bin");
/// How many tokens are a single byte.
const BYTES: usize = 256;
/// The bits of a rank.
const RANK_BITS: u32 = 18;

/// What merging looks up. A token is named by its rank.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Left and right part of each token; a single byte has none.
    parts: Vec<(u32, u32)>,
    /// The token that two tokens are the parts of.
    joined: Table,
    /// How many bytes each token has.
    lengths: Vec<u8>,
    /// For each token the longest other one that it begins with.
    shorter: Vec<u32>,
    tree: Tree,
}

impl Vocabulary {
    /// Reads what is in the binary.
    pub(super) fn unpack() -> Self {
        let (bytes, pairs) = packed();
        let parts: Vec<(u32, u32)> = bytes.iter().map(|_| (NONE, NONE)).chain(pairs).collect();
        let (text, ends) = spelled(bytes, &parts);
        let range = |token: u32| range(&ends, token);
        let (tree, shorter) = Tree::of(parts.len(), |token| text.get(range(token)).unwrap_or_default());
        let length = |token: u32| u8::try_from(range(token).len()).unwrap_or(u8::MAX);
        let lengths = (0..).zip(&parts).map(|(token, _)| length(token)).collect();
        let mut joined = Table::with_bits(19);
        for (token, (left, right)) in (0..).zip(&parts).skip(BYTES) {
            joined.add(pair(*left, *right), token);
        }
        Self {
            parts,
            joined,
            lengths,
            shorter,
            tree,
        }
    }

    /// Left and right part of a token, unless it is a single byte.
    pub(super) fn parts(&self, token: u32) -> Option<(u32, u32)> {
        let parts = self.parts.get(token as usize).copied();
        parts.filter(|(left, _)| *left != NONE)
    }

    /// The token that these two are the parts of, and how many cells were looked at.
    pub(super) fn joined(&self, left: u32, right: u32) -> (Option<u32>, u64) {
        self.joined.get(pair(left, right))
    }

    /// How many bytes a token has.
    pub(super) fn length(&self, token: u32) -> usize {
        self.lengths.get(token as usize).copied().map_or(0, usize::from)
    }

    /// The longest other token that a token begins with.
    pub(super) fn shorter(&self, token: u32) -> Option<u32> {
        self.shorter.get(token as usize).copied().filter(|token| *token != NONE)
    }

    /// The longest token that the text begins with, and how many nodes were looked at.
    pub(super) fn longest(&self, text: &[u8]) -> (Option<u32>, u64) {
        self.tree.longest(text)
    }
}

/// The single bytes, and the parts of all other tokens.
fn packed() -> (&'static [u8], impl Iterator<Item = (u32, u32)>) {
    let (bytes, rest) = PACKED.split_at_checked(BYTES).unwrap_or_default();
    let (pairs, _) = rest.as_chunks::<5>();
    let pairs = pairs.iter().map(|[a, b, c, d, e]| {
        let both = u64::from_le_bytes([*a, *b, *c, *d, *e, 0, 0, 0]);
        let rank = |bits: u64| u32::try_from(bits & ((1 << RANK_BITS) - 1)).unwrap_or(NONE);
        (rank(both), rank(both >> RANK_BITS))
    });
    (bytes, pairs)
}

/// The bytes of all tokens, one after the other, and where each ends.
fn spelled(bytes: &[u8], parts: &[(u32, u32)]) -> (Vec<u8>, Vec<usize>) {
    let (mut text, mut ends) = (bytes.to_vec(), (1..=bytes.len()).collect::<Vec<_>>());
    for (left, right) in parts.iter().skip(BYTES) {
        for part in [*left, *right] {
            text.extend_from_within(range(&ends, part));
        }
        ends.push(text.len());
    }
    (text, ends)
}

/// Where the bytes of a token are.
fn range(ends: &[usize], token: u32) -> std::ops::Range<usize> {
    let end = |token: u32| ends.get(token as usize).copied().unwrap_or_default();
    token.checked_sub(1).map_or(0, end)..end(token)
}

/// The bytes of each token, in the order of their ranks.
#[cfg(feature = "reference")]
pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let (bytes, pairs) = packed();
    let mut tokens: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
    for (left, right) in pairs {
        let part = |rank: u32| tokens.get(rank as usize).cloned().unwrap_or_default();
        tokens.push([part(left), part(right)].concat());
    }
    tokens
}

/// The key of two tokens.
fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << RANK_BITS | u64::from(right)
}
