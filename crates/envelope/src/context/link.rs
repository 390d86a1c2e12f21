//! The context link: what one hop added to what its tree remembers, and which links stand before it.
//!
//! A link is an object of the tree, and its name is the hash of its bytes. So whoever knows the name of the newest knows
//! all before it: none of them can be another.

use std::collections::BTreeSet;

use super::candidate::Position;
use super::memory::Memory;
use crate::base::error::{DecodeError, decode};
use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::text::{Line, line_problem, quoted};
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;
use crate::message::object::ObjectHash;
use crate::message::parts::HistoryEntry;

/// The most memories of one link.
pub const MOST_MEMORIES: usize = 1_000;
/// How many links have one catalogue among them: a reader fetches at most so many, and the catalogue.
pub const CATALOGUE_EVERY: u32 = 16;
/// The most links of a chain.
pub(super) const MOST_LINKS: u32 = 4_096;
/// The most memories of a catalogue: as many objects as a tree may have.
const MOST_ENTRIES: usize = 10_000;
/// The most links that one link may follow.
pub const MOST_PREVIOUS: usize = 1_024;
/// The form of a link and of a catalogue that this build writes and reads.
const FORM: u64 = 1;
/// The longest name of an author, in bytes.
const BY_LIMIT: usize = 256;

wire_object! {
    /// What one hop added.
    pub struct ContextLink {
        /// The form: 1.
        req link: u64,
        /// The first intent of the tree.
        req tree: IntentId,
        /// The intent.
        req intent: IntentId,
        /// The hop.
        req hop: u32,
        /// The envelope that the hop had.
        req envelope: EnvelopeId,
        /// Who wrote it, as `agent@version` or a name that the client chose.
        req by: String,
        /// When.
        req at: Timestamp,
        /// How many links the chain has up to this one, by its longest way: 1 for the first.
        req depth: u32,
        /// The links before it: none at the first hop, several after a join.
        def previous: Vec<ObjectHash>,
        /// What the hop remembered, in its order.
        def memories: Vec<Memory>,
        /// The object that the payload is, where it is one.
        opt payload: ObjectHash,
        /// What the hop did and decided.
        opt history: HistoryEntry,
        /// The manifest of the view that the hop gave its receiver, where it left anything out.
        opt manifest: ObjectHash,
        /// All memories of the links before this one, so that no reader has to go on to those.
        opt catalogue: ObjectHash,
    }
}

wire_object! {
    /// A memory, and where it was remembered.
    pub struct Entry {
        /// `depth` of its link.
        req depth: u32,
        /// The intent.
        req intent: IntentId,
        /// The hop.
        req hop: u32,
        /// Its place in the link, from 0.
        req index: u32,
        /// Who remembered it.
        req by: String,
        /// The memory.
        req memory: Memory,
    }
}

wire_object! {
    /// All memories of the links before one, in the order of the chain.
    pub struct Catalogue {
        /// The form: 1.
        req catalogue: u64,
        /// The first intent of the tree.
        req tree: IntentId,
        /// The memories.
        def memories: Vec<Entry>,
    }
}

pub(super) fn bad<T>(what: &'static str, field: String, value: &str, problem: String) -> Result<T, DecodeError> {
    Err(DecodeError {
        what,
        field,
        value: Some(quoted(value, 80)),
        problem,
    })
}

pub(super) fn check_by(what: &'static str, field: String, by: &str) -> Result<(), DecodeError> {
    match line_problem(by, Line::Text, BY_LIMIT) {
        None => Ok(()),
        Some(problem) => bad(what, field, by, problem),
    }
}

pub(super) fn check_memory(what: &'static str, path: &str, memory: &Memory) -> Result<(), DecodeError> {
    match memory.check() {
        Ok(()) => Ok(()),
        Err(refused) => bad(
            what,
            format!("{path}.{}", refused.field),
            &refused.value,
            format!("{}; {}", refused.problem, refused.fix),
        ),
    }
}

impl Entry {
    /// Where it was remembered.
    pub fn position(&self) -> Position {
        Position {
            depth: self.depth,
            intent: self.intent.clone(),
            hop: self.hop,
            index: self.index,
        }
    }
}

impl ContextLink {
    /// The first link of a tree, without anything in it. [`ContextLink::after`] puts it behind others.
    pub fn first(tree: IntentId, intent: IntentId, hop: u32, envelope: EnvelopeId, by: String, at: Timestamp) -> Self {
        Self {
            link: FORM,
            tree,
            intent,
            hop,
            envelope,
            by,
            at,
            depth: 1,
            previous: Vec::new(),
            memories: Vec::new(),
            payload: None,
            history: None,
            manifest: None,
            catalogue: None,
            extra: crate::base::wire::Extra::new(),
        }
    }

    /// The same link behind these: each named by its hash, with its depth.
    #[must_use]
    pub fn after(mut self, links: &[(ObjectHash, u32)]) -> Self {
        self.depth = links
            .iter()
            .map(|(_, depth)| *depth)
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        self.previous = links.iter().map(|(hash, _)| hash.clone()).collect();
        self
    }

    /// Whether the link should have a catalogue: at its depth one is due, or it joins so many that a reader would have to fetch
    /// too many links.
    pub fn wants_catalogue(&self) -> bool {
        self.depth.is_multiple_of(CATALOGUE_EVERY) || self.previous.len() >= CATALOGUE_EVERY as usize
    }

    /// Reads a link.
    ///
    /// # Errors
    /// Names the field, the value and the problem.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "context link";
        let link: Self = decode(WHAT, bytes)?;
        if link.link != FORM {
            let problem = format!("this build reads form {FORM}");
            return bad(WHAT, "link".to_owned(), &link.link.to_string(), problem);
        }
        check_by(WHAT, "by".to_owned(), &link.by)?;
        let depth = || link.depth.to_string();
        if link.depth == 0 || link.depth > MOST_LINKS {
            return bad(
                WHAT,
                "depth".to_owned(),
                &depth(),
                format!("expected 1 to {MOST_LINKS}"),
            );
        }
        if link.previous.is_empty() != (link.depth == 1) {
            let problem = format!("the link follows {} others", link.previous.len());
            return bad(WHAT, "depth".to_owned(), &depth(), problem);
        }
        if link.previous.len() > MOST_PREVIOUS {
            let count = link.previous.len().to_string();
            return bad(
                WHAT,
                "previous".to_owned(),
                &count,
                format!("it has more than {MOST_PREVIOUS}"),
            );
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = link.previous.iter().find(|hash| !seen.insert(*hash)) {
            return bad(
                WHAT,
                "previous".to_owned(),
                twice.as_str(),
                "it is there twice".to_owned(),
            );
        }
        if link.memories.len() > MOST_MEMORIES {
            let count = link.memories.len().to_string();
            return bad(
                WHAT,
                "memories".to_owned(),
                &count,
                format!("it has more than {MOST_MEMORIES}"),
            );
        }
        for (at, memory) in link.memories.iter().enumerate() {
            check_memory(WHAT, &format!("memories[{at}]"), memory)?;
        }
        Ok(link)
    }

    /// The link as it is stored. The same link always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Numbers, strings and raw JSON can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its name: the hash of what is stored.
    pub fn hash(&self) -> ObjectHash {
        ObjectHash::of(&self.encode())
    }

    /// Its memories, each with its place.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.memories.iter().zip(0..).map(|(memory, index)| Entry {
            depth: self.depth,
            intent: self.intent.clone(),
            hop: self.hop,
            index,
            by: self.by.clone(),
            memory: memory.clone(),
            extra: crate::base::wire::Extra::new(),
        })
    }
}

impl Catalogue {
    /// The catalogue of these memories.
    pub fn of(tree: IntentId, memories: Vec<Entry>) -> Self {
        Self {
            catalogue: FORM,
            tree,
            memories,
            extra: crate::base::wire::Extra::new(),
        }
    }

    /// Reads a catalogue.
    ///
    /// # Errors
    /// Names the field, the value and the problem.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "catalogue";
        let catalogue: Self = decode(WHAT, bytes)?;
        if catalogue.catalogue != FORM {
            let problem = format!("this build reads form {FORM}");
            return bad(WHAT, "catalogue".to_owned(), &catalogue.catalogue.to_string(), problem);
        }
        if catalogue.memories.len() > MOST_ENTRIES {
            let count = catalogue.memories.len().to_string();
            return bad(
                WHAT,
                "memories".to_owned(),
                &count,
                format!("it has more than {MOST_ENTRIES}"),
            );
        }
        let mut before: Option<Position> = None;
        for (at, entry) in catalogue.memories.iter().enumerate() {
            let path = format!("memories[{at}]");
            let position = entry.position();
            if before.is_some_and(|before| before >= position) {
                return bad(
                    WHAT,
                    path,
                    entry.memory.key.as_str(),
                    "it is not in the order of the chain".to_owned(),
                );
            }
            before = Some(position);
            check_by(WHAT, format!("{path}.by"), &entry.by)?;
            check_memory(WHAT, &format!("{path}.memory"), &entry.memory)?;
        }
        Ok(catalogue)
    }

    /// The catalogue as it is stored. The same catalogue always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Numbers, strings and raw JSON can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
