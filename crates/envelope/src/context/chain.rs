//! The chain: walking from the newest links to the first, or to the nearest catalogue, and what it comes to.
//!
//! A walk asks for objects by their hashes and takes bytes; it does not care where they come from. Every object is compared
//! with its hash before it is read.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Candidate, Out};
use super::link::{Catalogue, ContextLink, Entry, MOST_LINKS};
use super::memory::MemoryKey;
use crate::base::ids::IntentId;
use crate::base::mutants::Mutant;
use crate::message::object::ObjectHash;

/// How far a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To the nearest catalogues, which it believes.
    Catalogue,
    /// To the first link.
    First,
}

/// Has the bytes of an object, where it can be had.
pub type Load<'a> = dyn Fn(&ObjectHash) -> Option<Vec<u8>> + 'a;

/// What is wrong with an object of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// `CONTEXT_MISSING`: it cannot be had.
    #[error("it is not there")]
    Missing,
    /// Its bytes are others.
    #[error("its bytes have the hash {found}")]
    Hash {
        /// Their hash.
        found: ObjectHash,
    },
    /// It cannot be read.
    #[error("{0}")]
    Form(String),
    /// It belongs to another tree.
    #[error("it belongs to the tree \"{tree}\"")]
    ForeignTree {
        /// The tree.
        tree: IntentId,
    },
    /// It stands at another place than it says; in a circle every place is another.
    #[error("it says that it is link {depth} of the chain, and it is link {found}")]
    Depth {
        /// The place that it says.
        depth: u32,
        /// Where it stands.
        found: u32,
    },
    /// The chain is longer than it may be.
    #[error("the chain has more than {MOST_LINKS} links")]
    TooLong,
    /// It lists other memories than the links have.
    #[error("it lists other memories than the links before it have")]
    Catalogue,
}

/// What breaks a chain, and where. A missing object is `CONTEXT_MISSING`, everything else `CONTEXT_CORRUPT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the context of tree \"{tree}\" is broken at {path}, object {hash}: {fault}")]
pub struct ChainError {
    /// The tree.
    pub tree: IntentId,
    /// The way there from the newest link: `head 0, 3 links back, memory 2 "ms-4821"`.
    pub path: String,
    /// The object.
    pub hash: ObjectHash,
    /// What is wrong with it.
    pub fault: ChainFault,
}

#[derive(Debug, Clone)]
enum What {
    Link,
    Catalogue,
}

#[derive(Debug, Clone)]
struct Wanted {
    what: What,
    head: usize,
    back: u32,
}

impl Wanted {
    fn path(&self) -> String {
        let catalogue = match self.what {
            What::Link => "",
            What::Catalogue => ", its catalogue",
        };
        format!("head {}, {} links back{catalogue}", self.head, self.back)
    }
}

/// A walk along a chain. Ask what it [`needs`](Self::needs), let it [`take`](Self::take) that, until it needs nothing, and
/// [`finish`](Self::finish).
#[derive(Debug, Clone)]
pub struct Walk {
    tree: IntentId,
    reach: Reach,
    heads: Vec<ObjectHash>,
    open: BTreeMap<ObjectHash, Wanted>,
    links: BTreeMap<ObjectHash, (ContextLink, Wanted)>,
    catalogues: BTreeMap<ObjectHash, Catalogue>,
}

impl Walk {
    /// A walk from these links.
    pub fn new(tree: IntentId, heads: &[ObjectHash], reach: Reach) -> Self {
        let wanted = |head| Wanted {
            what: What::Link,
            head,
            back: 0,
        };
        let open = heads
            .iter()
            .enumerate()
            .map(|(head, hash)| (hash.clone(), wanted(head)));
        Self {
            tree,
            reach,
            heads: heads.to_vec(),
            open: open.collect(),
            links: BTreeMap::new(),
            catalogues: BTreeMap::new(),
        }
    }

    /// The objects that it needs next; they can be fetched together.
    pub fn needs(&self) -> impl Iterator<Item = &ObjectHash> {
        self.open.keys()
    }

    fn fail<T>(&self, wanted: &Wanted, hash: &ObjectHash, fault: ChainFault) -> Result<T, ChainError> {
        Err(ChainError {
            tree: self.tree.clone(),
            path: wanted.path(),
            hash: hash.clone(),
            fault,
        })
    }

    /// Takes an object that it needs; `None` where it cannot be had.
    ///
    /// # Errors
    /// When it is not what its name says, cannot be read, or does not belong there.
    pub fn take(&mut self, hash: &ObjectHash, bytes: Option<&[u8]>) -> Result<(), ChainError> {
        let Some(wanted) = self.open.get(hash).cloned() else {
            return Ok(());
        };
        let Some(bytes) = bytes else {
            return self.fail(&wanted, hash, ChainFault::Missing);
        };
        if let Err(fault) = compare(hash, bytes) {
            return self.fail(&wanted, hash, fault);
        }
        let form = |error: crate::base::error::DecodeError| ChainFault::Form(error.to_string());
        match wanted.what {
            What::Link => match ContextLink::decode(bytes) {
                Ok(link) => self.take_link(hash, link, wanted)?,
                Err(error) => return self.fail(&wanted, hash, form(error)),
            },
            What::Catalogue => match Catalogue::decode(bytes) {
                Ok(catalogue) if catalogue.tree != self.tree => {
                    let tree = catalogue.tree;
                    return self.fail(&wanted, hash, ChainFault::ForeignTree { tree });
                }
                Ok(catalogue) => {
                    self.catalogues.insert(hash.clone(), catalogue);
                }
                Err(error) => return self.fail(&wanted, hash, form(error)),
            },
        }
        self.open.remove(hash);
        Ok(())
    }

    fn take_link(&mut self, hash: &ObjectHash, link: ContextLink, wanted: Wanted) -> Result<(), ChainError> {
        if link.tree != self.tree {
            let tree = link.tree;
            return self.fail(&wanted, hash, ChainFault::ForeignTree { tree });
        }
        if self.links.len() >= MOST_LINKS as usize {
            return self.fail(&wanted, hash, ChainFault::TooLong);
        }
        let next = |what, back| Wanted {
            what,
            head: wanted.head,
            back,
        };
        if let Some(catalogue) = &link.catalogue {
            let known = self.catalogues.contains_key(catalogue);
            if !known {
                let next = next(What::Catalogue, wanted.back);
                self.open.entry(catalogue.clone()).or_insert(next);
            }
        }
        if link.catalogue.is_none() || self.reach == Reach::First {
            for previous in &link.previous {
                if !self.links.contains_key(previous) {
                    let next = next(What::Link, wanted.back.saturating_add(1));
                    self.open.entry(previous.clone()).or_insert(next);
                }
            }
        }
        self.links.insert(hash.clone(), (link, wanted));
        Ok(())
    }

    /// What the walk came to.
    ///
    /// # Errors
    /// When something that it needs was not taken, or a link stands at another place than it says.
    pub fn finish(self) -> Result<Chain, ChainError> {
        if let Some((hash, wanted)) = self.open.first_key_value() {
            return self.fail(wanted, hash, ChainFault::Missing);
        }
        let mut ordered = Vec::with_capacity(self.links.len());
        let mut entries: BTreeMap<_, Entry> = BTreeMap::new();
        let mut add = |entry: Entry| {
            let order = (entry.position(), entry.memory.key.clone(), entry.memory.hash.clone());
            entries.entry(order).or_insert(entry);
        };
        for (hash, (link, wanted)) in &self.links {
            let before = link.previous.iter().filter_map(|previous| self.links.get(previous));
            let deepest = before.map(|(link, _)| link.depth).max();
            // Each link is deeper than those before it, so no way along them can lead back.
            if let Some(found) = deepest.map(|deepest| deepest.saturating_add(1))
                && found != link.depth
                && link.previous.iter().all(|previous| self.links.contains_key(previous))
            {
                let depth = link.depth;
                return self.fail(wanted, hash, ChainFault::Depth { depth, found });
            }
            link.entries().for_each(&mut add);
            let is_read = !Mutant::C2CatalogueUnread.is_on();
            let catalogue = link.catalogue.as_ref().filter(|_| is_read);
            let catalogue = catalogue.and_then(|hash| self.catalogues.get(hash));
            if let Some(late) =
                catalogue.and_then(|catalogue| catalogue.memories.iter().find(|entry| entry.depth >= link.depth))
            {
                let (depth, found) = (late.depth, link.depth);
                return self.fail(wanted, hash, ChainFault::Depth { depth, found });
            }
            catalogue
                .into_iter()
                .flat_map(|catalogue| catalogue.memories.iter().cloned())
                .for_each(&mut add);
            ordered.push((link.depth, link.intent.clone(), link.hop, hash.clone()));
        }
        ordered.sort();
        let mut links = self.links;
        let links = ordered.into_iter().filter_map(|(_, _, _, hash)| {
            let (link, wanted) = links.remove(&hash)?;
            Some((hash, link, wanted))
        });
        Ok(Chain {
            tree: self.tree,
            heads: self.heads,
            links: links.collect(),
            catalogues: self.catalogues,
            entries: entries.into_values().collect(),
        })
    }
}

/// Compares bytes with the hash that names them.
fn compare(hash: &ObjectHash, bytes: &[u8]) -> Result<(), ChainFault> {
    let found = ObjectHash::of(bytes);
    if found == *hash || Mutant::C3HashesIgnored.is_on() {
        Ok(())
    } else {
        Err(ChainFault::Hash { found })
    }
}

/// What the hops of a tree remembered, in order.
#[derive(Debug, Clone)]
pub struct Chain {
    tree: IntentId,
    heads: Vec<ObjectHash>,
    links: Vec<(ObjectHash, ContextLink, Wanted)>,
    catalogues: BTreeMap<ObjectHash, Catalogue>,
    entries: Vec<Entry>,
}

impl Chain {
    /// Walks a chain.
    ///
    /// # Errors
    /// When any of its objects is not what its name says; see [`ChainError`].
    pub fn read(tree: IntentId, heads: &[ObjectHash], reach: Reach, load: &Load<'_>) -> Result<Self, ChainError> {
        let mut walk = Walk::new(tree, heads, reach);
        loop {
            let needed: Vec<ObjectHash> = walk.needs().cloned().collect();
            if needed.is_empty() {
                return walk.finish();
            }
            for hash in needed {
                walk.take(&hash, load(&hash).as_deref())?;
            }
        }
    }

    /// Walks a chain to its first link, and looks at everything that it names: every catalogue lists exactly the memories
    /// of the links before it, every content has its hash and its size.
    ///
    /// # Errors
    /// The first fault, the newest link first, and where it is.
    pub fn verify(tree: IntentId, heads: &[ObjectHash], load: &Load<'_>) -> Result<Self, ChainError> {
        let chain = Self::read(tree, heads, Reach::First, load)?;
        for (_, link, wanted) in chain.links.iter().rev() {
            let fail = |path: String, hash: &ObjectHash, fault| {
                let (tree, hash) = (chain.tree.clone(), hash.clone());
                Err(ChainError {
                    tree,
                    path,
                    hash,
                    fault,
                })
            };
            if let Some(hash) = &link.catalogue
                && let Some(catalogue) = chain.catalogues.get(hash)
                && catalogue.memories != chain.before(link)
            {
                let path = format!("{}, its catalogue", wanted.path());
                return fail(path, hash, ChainFault::Catalogue);
            }
            for (at, memory) in link.memories.iter().enumerate() {
                let path = || format!("{}, memory {at} \"{}\"", wanted.path(), memory.key);
                let Some(content) = load(&memory.hash) else {
                    return fail(path(), &memory.hash, ChainFault::Missing);
                };
                if let Err(fault) = compare(&memory.hash, &content) {
                    return fail(path(), &memory.hash, fault);
                }
                if content.len() as u64 != memory.bytes {
                    let said = format!("it has {} bytes, and its link says {}", content.len(), memory.bytes);
                    return fail(path(), &memory.hash, ChainFault::Form(said));
                }
            }
            for named in [&link.payload, &link.manifest].into_iter().flatten() {
                let path = || format!("{}, what it names", wanted.path());
                match load(named).map(|content| compare(named, &content)) {
                    Some(Ok(())) => {}
                    Some(Err(fault)) => return fail(path(), named, fault),
                    None => return fail(path(), named, ChainFault::Missing),
                }
            }
        }
        Ok(chain)
    }

    /// The memories of all links before one, in order.
    fn before(&self, link: &ContextLink) -> Vec<Entry> {
        let by_hash: BTreeMap<&ObjectHash, &ContextLink> =
            self.links.iter().map(|(hash, link, _)| (hash, link)).collect();
        let (mut open, mut seen): (Vec<&ObjectHash>, BTreeSet<&ObjectHash>) =
            (link.previous.iter().collect(), BTreeSet::new());
        while let Some(hash) = open.pop() {
            if seen.insert(hash)
                && let Some(link) = by_hash.get(hash)
            {
                open.extend(&link.previous);
            }
        }
        let links = self.links.iter().filter(|(hash, _, _)| seen.contains(hash));
        let mut entries: Vec<Entry> = links.flat_map(|(_, link, _)| link.entries()).collect();
        entries.sort_by_cached_key(Entry::position);
        entries
    }

    /// The newest links, each with its depth: what the next link stands behind. One that another of them stands behind is none.
    pub fn heads(&self) -> Vec<(ObjectHash, u32)> {
        let passed: BTreeSet<&ObjectHash> = self.links.iter().flat_map(|(_, link, _)| &link.previous).collect();
        let depth = |head: &ObjectHash| {
            let found = self.links.iter().find(|(hash, _, _)| hash == head);
            found.map(|(_, link, _)| link.depth)
        };
        let heads = self.heads.iter().filter(|head| !passed.contains(head));
        heads.filter_map(|head| Some((head.clone(), depth(head)?))).collect()
    }

    /// The links that were walked along, in order.
    pub fn links(&self) -> impl Iterator<Item = (&ObjectHash, &ContextLink)> {
        self.links.iter().map(|(hash, link, _)| (hash, link))
    }

    /// Everything remembered, each revision, in order: what the catalogue of the next link lists.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What may be in a view of whoever comes after this link, which is to stand behind the chain.
    pub fn candidates_with(&self, link: &ContextLink) -> Vec<Candidate> {
        let mut longer = self.clone();
        longer.entries.extend(link.entries());
        longer.candidates()
    }

    /// What may be in a view: the newest revision of each memory, in order. What a later memory takes the place of is out.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut newest: BTreeMap<&MemoryKey, usize> = BTreeMap::new();
        let mut superseded: BTreeMap<&MemoryKey, usize> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            newest.insert(&entry.memory.key, at);
            if let Some(key) = &entry.memory.supersedes {
                superseded.insert(key, at);
            }
        }
        let newest: BTreeSet<usize> = newest.into_values().collect();
        let entries = newest.into_iter().filter_map(|at| Some((at, self.entries.get(at)?)));
        let candidates = entries.map(|(at, entry)| Candidate {
            memory: entry.memory.clone(),
            position: entry.position(),
            by: entry.by.clone(),
            out: superseded
                .get(&entry.memory.key)
                .is_some_and(|by| *by > at)
                .then_some(Out::Superseded),
        });
        candidates.collect()
    }
}
