//! The tree of all prefixes of all tokens: the longest token that a text begins with.

use super::NONE;

/// The node of the empty prefix.
const ROOT: u32 = 0;
/// How many nodes there are.
const NODES: usize = 421_661;

/// The tree, with its nodes level by level: the children of a node follow each other, in the order of their bytes. So what
/// a text needs of it is close together, and all of it takes 4 MB.
#[derive(Debug)]
pub(super) struct Tree {
    /// The first child of each node; its last one is before the first child of the next node.
    children: Vec<u32>,
    /// The last byte of each node's prefix.
    bytes: Vec<u8>,
    /// The token that each node's prefix is.
    tokens: Vec<u32>,
}

/// A token with its first eight bytes, which decide most comparisons.
type Headed = (u64, u32);

impl Tree {
    /// The tree of so many tokens, and for each token the longest other one that it begins with.
    pub(super) fn of<'a>(many: usize, spelled: impl Fn(u32) -> &'a [u8]) -> (Self, Vec<u32>) {
        let mut sorted: Vec<Headed> = (0..).take(many).map(|token| (head(spelled(token)), token)).collect();
        sorted.sort_unstable_by(|one, other| {
            let by_head = one.0.cmp(&other.0);
            by_head.then_with(|| spelled(one.1).cmp(spelled(other.1)))
        });
        let mut tree = Self {
            children: Vec::with_capacity(NODES + 1),
            bytes: Vec::with_capacity(NODES),
            tokens: Vec::with_capacity(NODES),
        };
        let mut shorter = vec![NONE; many];
        tree.bytes.push(0);
        // A node stands for all tokens that begin with its prefix: neighbours, and the prefix itself is the first.
        let mut level: Vec<(&[Headed], u32)> = vec![(&sorted, NONE)];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for (mut below, above) in level {
                let own = below.first().map(|(_, token)| *token);
                let own = own.filter(|token| spelled(*token).len() == depth);
                if let Some(own) = own {
                    below = below.get(1..).unwrap_or_default();
                    if let Some(shorter) = shorter.get_mut(own as usize) {
                        *shorter = above;
                    }
                }
                tree.tokens.push(own.unwrap_or(NONE));
                tree.children.push(number(tree.bytes.len()));
                let byte = |(_, token): &Headed| spelled(*token).get(depth).copied().unwrap_or_default();
                for child in below.chunk_by(|one, other| byte(one) == byte(other)) {
                    tree.bytes.extend(child.first().map(byte));
                    next.push((child, own.unwrap_or(above)));
                }
            }
            (level, depth) = (next, depth + 1);
        }
        tree.children.push(number(tree.bytes.len()));
        (tree, shorter)
    }

    /// The longest token that the text begins with, and how many nodes were looked at.
    pub(super) fn longest(&self, text: &[u8]) -> (Option<u32>, u64) {
        let Some((first, rest)) = text.split_first() else {
            return (None, 1);
        };
        // Each byte is a token, so the root has a child for each.
        let mut node = ROOT + 1 + u32::from(*first);
        let (mut longest, mut steps) = (self.token(node), 1);
        for byte in rest {
            steps += 1;
            let Some(next) = self.child(node, *byte) else { break };
            node = next;
            longest = self.token(node).or(longest);
        }
        (longest, steps)
    }

    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        let at = node as usize;
        let (first, end) = (*self.children.get(at)?, *self.children.get(at + 1)?);
        let bytes = self.bytes.get(first as usize..end as usize)?;
        let place = bytes.binary_search(&byte).ok()?;
        Some(first + number(place))
    }

    fn token(&self, node: u32) -> Option<u32> {
        let token = self.tokens.get(node as usize).copied();
        token.filter(|token| *token != NONE)
    }
}

/// The first eight bytes, as a number that is in their order.
fn head(bytes: &[u8]) -> u64 {
    let first = |at: usize| bytes.get(at).copied().unwrap_or_default();
    u64::from_be_bytes(std::array::from_fn(first))
}

/// Fewer than [`NONE`], as there are fewer nodes.
fn number(nodes: usize) -> u32 {
    u32::try_from(nodes).unwrap_or(NONE)
}
