//! The tree of all prefixes of all tokens: the longest token that a text begins with.

use super::NONE;
use super::table::Table;

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

impl Tree {
    /// The longest token that the text begins with, and how many nodes were looked at.
    pub(super) fn longest(&self, text: &[u8]) -> (Option<u32>, u64) {
        let Some((first, rest)) = text.split_first() else {
            return (None, 1);
        };
        // Each byte is a token, so the root has a child for each.
        let mut node = ROOT + 1 + u32::from(*first);
        let (mut longest, mut steps) = (entry(&self.tokens, node), 1);
        for byte in rest {
            steps += 1;
            let Some(next) = self.child(node, *byte) else { break };
            node = next;
            longest = entry(&self.tokens, node).or(longest);
        }
        (longest, steps)
    }

    fn child(&self, node: u32, byte: u8) -> Option<u32> {
        let at = node as usize;
        let (first, end) = (*self.children.get(at)?, *self.children.get(at + 1)?);
        let bytes = self.bytes.get(first as usize..end as usize)?;
        let place = bytes.binary_search(&byte).ok()?;
        Some(first + u32::try_from(place).ok()?)
    }
}

/// A tree to which prefixes are added, with its nodes in the order in which they came.
pub(super) struct Sapling {
    branches: Table,
    parents: Vec<u32>,
    bytes: Vec<u8>,
    tokens: Vec<u32>,
}

impl Sapling {
    pub(super) fn new() -> Self {
        let mut root = Self {
            branches: Table::with_bits(20),
            parents: Vec::with_capacity(NODES),
            bytes: Vec::with_capacity(NODES),
            tokens: Vec::with_capacity(NODES),
        };
        root.push(NONE, 0);
        root
    }

    /// Adds a token: the bytes that follow a node, or the root. Returns its node.
    pub(super) fn add(&mut self, from: Option<u32>, bytes: &[u8], token: u32) -> u32 {
        let mut node = from.unwrap_or(ROOT);
        for byte in bytes {
            let branch = u64::from(node) << u8::BITS | u64::from(*byte);
            node = if let (Some(next), _) = self.branches.get(branch) {
                next
            } else {
                let next = number(self.parents.len());
                self.branches.add(branch, next);
                self.push(node, *byte);
                next
            };
        }
        if let Some(end) = self.tokens.get_mut(node as usize) {
            *end = token;
        }
        node
    }

    fn push(&mut self, parent: u32, byte: u8) {
        self.parents.push(parent);
        self.bytes.push(byte);
        self.tokens.push(NONE);
    }

    /// The longest token that is a prefix of this node's and shorter.
    pub(super) fn above(&self, node: u32) -> Option<u32> {
        let up = |node: &u32| entry(&self.parents, *node);
        std::iter::successors(up(&node), up).find_map(|node| entry(&self.tokens, node))
    }

    /// The tree, when no more is added.
    pub(super) fn grown(self) -> Tree {
        let Self {
            branches,
            parents,
            bytes,
            tokens,
        } = self;
        // What is no longer needed goes first: this is when a process takes the most.
        drop(branches);
        let (mut siblings, starts) = by_parent(&parents);
        drop(parents);
        let nodes = bytes.len();
        let byte = |node: &u32| bytes.get(*node as usize).copied().unwrap_or_default();
        let mut tree = Tree {
            children: Vec::with_capacity(nodes + 1),
            bytes: Vec::with_capacity(nodes),
            tokens: Vec::with_capacity(nodes),
        };
        let mut level_by_level = Vec::with_capacity(nodes);
        level_by_level.push(ROOT);
        let mut at = 0;
        while let Some(node) = level_by_level.get(at).copied() {
            tree.children.push(number(level_by_level.len()));
            tree.bytes.push(byte(&node));
            tree.tokens.push(entry(&tokens, node).unwrap_or(NONE));
            let start = |node: usize| starts.get(node).map_or(nodes - 1, |start| *start as usize);
            let of_node = start(node as usize)..start(node as usize + 1);
            if let Some(siblings) = siblings.get_mut(of_node) {
                siblings.sort_unstable_by_key(byte);
                level_by_level.extend_from_slice(siblings);
            }
            at += 1;
        }
        tree.children.push(number(nodes));
        tree
    }
}

/// All nodes but the root, those of one parent together, and where those of each begin.
fn by_parent(parents: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut places = vec![0_u32; parents.len()];
    for parent in parents.iter().skip(1) {
        if let Some(count) = places.get_mut(*parent as usize) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for place in &mut places {
        sum += *place;
        *place = sum;
    }
    // Each parent's place is the end of its children now, and their start when all of them have been put before it.
    let mut siblings = vec![NONE; parents.len() - 1];
    for (node, parent) in parents.iter().enumerate().skip(1) {
        let Some(place) = places.get_mut(*parent as usize) else {
            continue;
        };
        *place -= 1;
        if let Some(sibling) = siblings.get_mut(*place as usize) {
            *sibling = number(node);
        }
    }
    (siblings, places)
}

/// Fewer than [`NONE`], as there are fewer nodes.
fn number(nodes: usize) -> u32 {
    u32::try_from(nodes).unwrap_or(NONE)
}

/// An entry of a list in which most have none.
fn entry(list: &[u32], at: u32) -> Option<u32> {
    list.get(at as usize).copied().filter(|entry| *entry != NONE)
}
