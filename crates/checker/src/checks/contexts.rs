//! C1: what a record says that the tree remembers is there. From the newest link that an envelope or a last record names, each link
//! and each content is an object of the same tree, with the hash by which it is named; and a chain has as many links and memories as
//! the envelope says.
//!
//! Not seen: objects of trees that were taken away on purpose, since a run does not last that long; and what the links of one tree
//! say of one another beyond `previous`.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::evidence::Message;
use crate::history::{Context, History};
use crate::signed::hash_of;
use crate::verdict::{Counts, Violation};

/// What an envelope or a snapshot says.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    head: Option<String>,
    #[serde(default)]
    links: usize,
    #[serde(default)]
    memories: usize,
}

#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) tree: String,
    pub(super) depth: usize,
    #[serde(default)]
    pub(super) intent: String,
    #[serde(default)]
    pub(super) hop: u64,
    #[serde(default)]
    pub(super) previous: Vec<String>,
    #[serde(default)]
    pub(super) memories: Vec<Memory>,
}

#[derive(Deserialize)]
pub(super) struct Memory {
    #[serde(default)]
    pub(super) key: String,
    pub(super) hash: String,
}

/// The objects of all trees, by tree and hash.
pub(super) type Objects<'a> = HashMap<&'a str, &'a Message>;

pub(super) fn objects<'a>(context: &Context<'a>) -> Objects<'a> {
    let messages = context.evidence.messages.iter();
    messages
        .filter_map(|message| Some((message.subject.strip_prefix("mesh.context.")?, message)))
        .collect()
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let objects = objects(context);
    let mut known = HashSet::new();
    for history in context.histories.values() {
        for (seq, tree, said) in said(history) {
            let Some(head) = &said.head else { continue };
            counts.contexts += 1;
            if !known.insert((tree.clone(), head.clone())) {
                continue;
            }
            if let Err(problem) = walk(&objects, &tree, head, &said) {
                let what = format!("record {seq}: {problem}");
                found.push(Violation::of("C1", &history.intent, what));
            }
        }
    }
}

/// What the records of an intent say, each with its sequence and its tree.
fn said(history: &History) -> Vec<(u64, String, Said)> {
    let mut all = Vec::new();
    let mut tree = history.intent.clone();
    for record in &history.records {
        let envelope = record.envelope.as_ref();
        if let Some(root) = envelope.and_then(|envelope| envelope.text("root")) {
            tree = root;
        }
        let of_envelope = envelope.and_then(|envelope| envelope.raw("context"));
        let of_snapshot = record.snapshot.context.as_ref().map(|context| context.get());
        for text in of_envelope.into_iter().chain(of_snapshot) {
            if let Ok(said) = serde_json::from_str(text) {
                all.push((record.seq, tree.clone(), said));
            }
        }
    }
    all
}

fn walk(objects: &Objects<'_>, tree: &str, head: &str, said: &Said) -> Result<(), String> {
    let mut left = vec![head.to_owned()];
    let mut links: HashSet<String> = HashSet::new();
    let (mut depth, mut memories) = (0, 0);
    while let Some(hash) = left.pop() {
        if !links.insert(hash.clone()) {
            continue;
        }
        let link = link(objects, tree, &hash)?;
        if link.tree != tree {
            return Err(format!("link {hash} is of tree {} and stands in {tree}", link.tree));
        }
        depth = depth.max(link.depth);
        memories += link.memories.len();
        for memory in &link.memories {
            object(objects, tree, &memory.hash)?;
        }
        left.extend(link.previous);
    }
    match (said.links, said.memories) {
        told if told == (depth, memories) => Ok(()),
        (told, of) => Err(format!(
            "it tells of {told} links and {of} memories, and there are {depth} and {memories}"
        )),
    }
}

pub(super) fn link(objects: &Objects<'_>, tree: &str, hash: &str) -> Result<Link, String> {
    let bytes = object(objects, tree, hash)?;
    serde_json::from_slice(&bytes).map_err(|error| format!("link {hash} cannot be read: {error}"))
}

/// The bytes of an object, which are those of its hash.
pub(super) fn object(objects: &Objects<'_>, tree: &str, hash: &str) -> Result<Vec<u8>, String> {
    let place = format!("{tree}.{hash}");
    let message = objects
        .get(place.as_str())
        .ok_or_else(|| format!("object {place} is missing"))?;
    let bytes = message.bytes();
    let digest = hash_of(&bytes);
    // The list of the pieces of a large content stands under the hash of the whole. The load remembers nothing that large.
    match digest == hash || bytes.starts_with(b"{\"object\":") {
        true => Ok(bytes),
        false => Err(format!("object {place} has other bytes: their hash is {digest}")),
    }
}
