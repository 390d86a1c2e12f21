//! The vocabulary, as it is in the binary and as it is looked things up in.
//!
//! Each token but the 256 single bytes is the join of two tokens of a lower rank: those that merging arrives at before it
//! makes this one. So the file holds pairs of ranks instead of bytes.

use super::table::Table;

/// Made by `vocabulary/make.py`: 256 bytes, the single-byte tokens in the order of their ranks; then five bytes for each
/// further token, little-endian: the rank of its left part and, from the 18th bit on, that of its right part.
const PACKED: &[u8] = include_bytes!("../../vocabulary/o200k_base.bin");
/// How many tokens are a single byte.
const BYTES: usize = 256;
/// The bits of a rank.
const RANK_BITS: u32 = 18;
/// The root of the tree of prefixes.
const ROOT: u32 = 0;
/// No token, and no node.
pub(super) const NONE: u32 = u32::MAX;

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
    /// The tree of prefixes of all tokens: from a node and a byte to the next node.
    tree: Table,
    /// The token that ends at each node of the tree.
    ends: Vec<u32>,
}

impl Vocabulary {
    /// Reads what is in the binary.
    pub(super) fn unpack() -> Self {
        let (bytes, pairs) = packed();
        let parts: Vec<(u32, u32)> = bytes.iter().map(|_| (NONE, NONE)).chain(pairs).collect();
        let mut joined = Table::with_bits(19);
        for (token, (left, right)) in (0..).zip(&parts).skip(BYTES) {
            joined.add(pair(*left, *right), token);
        }
        let Planted {
            lengths,
            tree,
            ends,
            shorter,
        } = plant(bytes, &parts);
        Self {
            parts,
            joined,
            lengths,
            shorter,
            tree,
            ends,
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

    /// The longest token that the text begins with, and how many cells were looked at.
    pub(super) fn longest(&self, text: &[u8]) -> (Option<u32>, u64) {
        let (mut node, mut longest, mut steps) = (ROOT, None, 0);
        for byte in text {
            let (next, looked) = self.tree.get(branch(node, *byte));
            steps += looked;
            let Some(next) = next else { break };
            node = next;
            longest = self
                .ends
                .get(node as usize)
                .copied()
                .filter(|token| *token != NONE)
                .or(longest);
        }
        (longest, steps)
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
            text.extend_from_within(range(&ends, part as usize));
        }
        ends.push(text.len());
    }
    (text, ends)
}

/// Where the bytes of a token are.
fn range(ends: &[usize], token: usize) -> std::ops::Range<usize> {
    let end = |token: usize| ends.get(token).copied().unwrap_or_default();
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

/// What comes of all tokens being put into a tree.
struct Planted {
    lengths: Vec<u8>,
    tree: Table,
    ends: Vec<u32>,
    shorter: Vec<u32>,
}

/// Puts all tokens into a tree. The path of a token is that of its left part and then the bytes of its right part.
fn plant(bytes: &[u8], parts: &[(u32, u32)]) -> Planted {
    let (text, text_ends) = spelled(bytes, parts);
    let mut tree = Table::with_bits(20);
    let (mut parents, mut ends) = (vec![NONE], vec![NONE]);
    let (mut nodes, mut lengths): (Vec<u32>, Vec<u8>) = (Vec::with_capacity(parts.len()), Vec::new());
    for (token, (left, right)) in (0..).zip(parts) {
        let length = range(&text_ends, token as usize).len();
        let (start, rest) = match nodes.get(*left as usize) {
            Some(node) => (*node, range(&text_ends, *right as usize)),
            None => (ROOT, range(&text_ends, token as usize)),
        };
        let mut node = start;
        for byte in text.get(rest).unwrap_or_default() {
            node = match tree.get(branch(node, *byte)).0 {
                Some(next) => next,
                None => {
                    let next = u32::try_from(ends.len()).unwrap_or(NONE);
                    tree.add(branch(node, *byte), next);
                    parents.push(node);
                    ends.push(NONE);
                    next
                }
            };
        }
        if let Some(end) = ends.get_mut(node as usize) {
            *end = token;
        }
        nodes.push(node);
        lengths.push(u8::try_from(length).unwrap_or(u8::MAX));
    }
    // Only now, as a token may begin with one of a higher rank.
    let up = |node: u32| parents.get(node as usize).copied().filter(|parent| *parent != NONE);
    let end = |node: u32| ends.get(node as usize).copied().filter(|token| *token != NONE);
    let above = |node: u32| std::iter::successors(up(node), |node| up(*node)).find_map(end);
    let shorter = nodes.iter().map(|node| above(*node).unwrap_or(NONE)).collect();
    Planted {
        lengths,
        tree,
        ends,
        shorter,
    }
}

/// The key of two tokens.
fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << RANK_BITS | u64::from(right)
}

/// The key of a branch of the tree.
fn branch(node: u32, byte: u8) -> u64 {
    u64::from(node) << u8::BITS | u64::from(byte)
}
