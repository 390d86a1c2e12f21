//! The manifest: what became of every candidate that is not in the view in full, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::Candidate;
use super::memory::{Level, MemoryKey};
use super::request::Strategy;
use crate::base::error::{DecodeError, decode};
use crate::base::wire::wire_object;
use crate::base::wire_enum::wire_enum;
use crate::message::object::ObjectHash;
use crate::message::parts::MemoryRef;

/// The form of a manifest that this build writes and reads.
pub(super) const MANIFEST_FORM: u64 = 1;
/// The most items of a manifest: as many objects as a tree may have.
const MOST_ITEMS: usize = 10_000;
/// About as many bytes as an item takes.
const ITEM_BYTES: usize = 200;

wire_enum! {
    /// Why a memory is not in a view in full.
    pub enum Why {
        /// The strategy gives no more of it.
        Strategy = "strategy",
        /// It had no room when its turn came.
        Budget = "budget",
        /// It had, by its count; but the text as a whole was too long.
        Count = "count",
        /// The envelope has all the references that it may have.
        Refs = "refs",
        /// A later memory takes its place.
        Superseded = "superseded",
        /// Somebody had it forgotten.
        Forgotten = "forgotten",
        /// The handoff leaves out its kind.
        KindExcluded = "kind_excluded",
        /// It could neither be read nor counted.
        Unresolved = "unresolved",
    }
}

wire_object! {
    /// A candidate that is not in the view in full.
    pub struct ManifestItem {
        /// Its key.
        req key: MemoryKey,
        /// Its revision, by the hash of its content.
        req hash: ObjectHash,
        /// How much of it the view has.
        req level: Level,
        /// 0 for what must be there, then 1 to 3; absent for what was no choice.
        opt tier: u32,
        /// Its place among those of its tier.
        opt score: u32,
        /// What it takes in the view.
        def tokens: u64,
        /// What the next higher level would have taken.
        opt needed: u64,
        /// What was left for it.
        opt left: u64,
        /// Why it is here.
        req why: Why,
    }
}

wire_object! {
    /// What became of every candidate that is not in the view in full. `tokens`, `needed` and `left` are those of the
    /// counter; `budget` and `used` are those of the receiver, which takes `factor` thousandths for each.
    pub struct Manifest {
        /// The form: 1.
        req manifest: u64,
        /// The rules by which the view was made.
        req assembler: String,
        /// The strategy.
        req strategy: Strategy,
        /// The id of the counter.
        req tokenizer: String,
        /// The factor of the receiver, in thousandths.
        req factor: u32,
        /// The most tokens that the receiver takes.
        req budget: u64,
        /// The tokens of the view.
        req used: u64,
        /// The SHA-256 of all candidates and parameters, in hex.
        req inputs: ObjectHash,
        /// The candidates, in the order of the chain.
        def items: Vec<ManifestItem>,
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Names the field and the problem.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let manifest: Self = decode("manifest", bytes)?;
        let bad = |field: String, value: String, problem: String| {
            let (what, value) = ("manifest", Some(value));
            Err(DecodeError {
                what,
                field,
                value,
                problem,
            })
        };
        if manifest.manifest != MANIFEST_FORM {
            let problem = format!("this build reads form {MANIFEST_FORM}");
            return bad("manifest".to_owned(), manifest.manifest.to_string(), problem);
        }
        if manifest.items.len() > MOST_ITEMS {
            let problem = format!("it has more than {MOST_ITEMS}");
            return bad("items".to_owned(), manifest.items.len().to_string(), problem);
        }
        let mut seen = BTreeSet::new();
        for (at, item) in manifest.items.iter().enumerate() {
            if !seen.insert(&item.key) {
                return bad(
                    format!("items[{at}].key"),
                    item.key.to_string(),
                    "it is there twice".to_owned(),
                );
            }
            if item.level == Level::Full {
                let problem = "what is in the view in full is in the envelope".to_owned();
                return bad(format!("items[{at}].level"), item.level.name().to_owned(), problem);
            }
        }
        Ok(manifest)
    }

    /// The manifest as it is stored. The same manifest always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(self.items.len().saturating_add(2).saturating_mul(ITEM_BYTES));
        // Numbers, strings and raw JSON can always be written.
        match serde_json::to_writer(&mut encoded, self) {
            Ok(()) => encoded,
            Err(_) => Vec::new(),
        }
    }

    /// The hash under which it is stored.
    pub fn hash(&self) -> ObjectHash {
        ObjectHash::of(&self.encode())
    }
}

/// References, manifest and candidates that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncovered {
    /// A candidate is in neither.
    #[error("memory \"{key}\" is neither in the view nor in its manifest")]
    Lost {
        /// Its key.
        key: MemoryKey,
    },
    /// A candidate is in both, or twice in one of them.
    #[error("memory \"{key}\" is twice in the view and its manifest")]
    Twice {
        /// Its key.
        key: MemoryKey,
    },
    /// What is named is no candidate.
    #[error("{place} names memory \"{key}\", which the chain does not have")]
    Foreign {
        /// `memory[2]`, `items[5]`.
        place: String,
        /// Its key.
        key: String,
    },
    /// Another revision is named than the newest.
    #[error("{place} names another content of memory \"{key}\" than the chain has")]
    Other {
        /// `memory[2]`, `items[5]`.
        place: String,
        /// Its key.
        key: String,
    },
    /// A reference is not where it belongs.
    #[error("{place}, memory \"{key}\", is not in the order of the chain")]
    OutOfOrder {
        /// `memory[2]`, `items[5]`.
        place: String,
        /// Its key.
        key: String,
    },
}

/// The level of each candidate: those of the envelope's references are in the view in full, the manifest says it of all
/// others. Candidates stand in the order of the chain.
///
/// # Errors
/// When the two are not exactly the candidates, each once and in order; it says which is not.
pub fn levels(candidates: &[Candidate], refs: &[MemoryRef], manifest: &Manifest) -> Result<Vec<Level>, Uncovered> {
    let by_key: BTreeMap<&str, usize> = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| (candidate.memory.key.as_str(), at))
        .collect();
    let mut found: Vec<Option<Level>> = vec![None; candidates.len()];
    let mut put = |list: &str, place: usize, before: &mut Option<usize>, key: &str, hash: &str, level: Level| {
        let (place, key) = (format!("{list}[{place}]"), key.to_owned());
        let Some((at, candidate)) = by_key
            .get(key.as_str())
            .and_then(|at| Some((*at, candidates.get(*at)?)))
        else {
            return Err(Uncovered::Foreign { place, key });
        };
        if candidate.memory.hash.as_str() != hash {
            return Err(Uncovered::Other { place, key });
        }
        match found.get_mut(at) {
            Some(found @ None) => *found = Some(level),
            Some(_) | None => {
                let key = candidate.memory.key.clone();
                return Err(Uncovered::Twice { key });
            }
        }
        if before.is_some_and(|before| before >= at) {
            return Err(Uncovered::OutOfOrder { place, key });
        }
        *before = Some(at);
        Ok(())
    };
    let mut before = None;
    for (place, given) in refs.iter().enumerate() {
        let hash = given.hash.as_deref().unwrap_or_default();
        put("memory", place, &mut before, &given.key, hash, Level::Full)?;
    }
    before = None;
    for (place, item) in manifest.items.iter().enumerate() {
        let (key, hash) = (item.key.as_str(), item.hash.as_str());
        put("items", place, &mut before, key, hash, item.level.clone())?;
    }
    let levels = candidates.iter().zip(found).map(|(candidate, level)| {
        let key = || candidate.memory.key.clone();
        level.ok_or_else(|| Uncovered::Lost { key: key() })
    });
    levels.collect()
}
