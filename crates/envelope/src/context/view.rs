//! What an envelope says of its context: the newest links, the view in numbers, and what is missing of it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::manifest::Manifest;
use super::memory::{Memory, MemoryKey};
use super::request::Strategy;
use crate::base::error::{DecodeError, decode};
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::wire::wire_object;
use crate::message::envelope::Envelope;
use crate::message::object::ObjectHash;

/// The most bytes of a manifest that stands in the envelope itself.
const INLINE_MANIFEST: usize = 4 * 1024;
/// Below so many hundredths a view is worth a warning.
const WARNING: u64 = 95;
/// Below so many hundredths it is worth an alarm.
const ALARM: u64 = 80;

wire_object! {
    /// How many of the memories that a receiver is given could be had. What was left out by choice is not among them.
    #[derive(Eq, Default)]
    pub struct Completeness {
        /// How many it is given.
        req requested: u64,
        /// How many of them could be had.
        req resolved: u64,
    }
}

/// What an incomplete view is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// Nothing: 95 of 100 are there, or more.
    None,
    /// A warning.
    Warning,
    /// An alarm: less than 80 of 100 are there.
    Alarm,
}

impl Completeness {
    /// So many of so many.
    pub fn of(resolved: u64, requested: u64) -> Self {
        Self {
            requested,
            resolved,
            extra: crate::base::wire::Extra::new(),
        }
    }

    /// Whether less than so many of 100 could be had. Of nothing, everything could be had.
    pub fn is_below(&self, hundredths: u64) -> bool {
        u128::from(self.resolved) * 100 < u128::from(self.requested) * u128::from(hundredths)
    }

    /// What it is worth.
    pub fn concern(&self) -> Concern {
        match (self.is_below(ALARM), self.is_below(WARNING)) {
            (true, _) => Concern::Alarm,
            (false, true) => Concern::Warning,
            (false, false) => Concern::None,
        }
    }
}

wire_object! {
    /// A memory that a receiver was to get, and that could not be had.
    #[derive(Eq)]
    pub struct Gap {
        /// Its key.
        req key: MemoryKey,
        /// The hash of its content, in hex.
        req hash: ObjectHash,
        /// Why it could not be had.
        req why: String,
    }
}

impl Gap {
    /// The gap that a memory leaves.
    pub fn of(memory: &Memory, why: impl Into<String>) -> Self {
        Self {
            key: memory.key.clone(),
            hash: memory.hash.clone(),
            why: why.into(),
            extra: crate::base::wire::Extra::new(),
        }
    }
}

/// The gaps that the next envelope carries: those of this one that were not closed, and the new ones. A gap is one per key and
/// content.
pub fn carried_gaps(before: &[Gap], found: &[Gap], resolved: impl Fn(&Gap) -> bool) -> Vec<Gap> {
    let is_carried = |gap: &&Gap| !resolved(gap) && !Mutant::C11GapsForgotten.is_on();
    let mut carried: Vec<Gap> = before.iter().filter(is_carried).cloned().collect();
    for gap in found {
        if !carried
            .iter()
            .any(|known| (&known.key, &known.hash) == (&gap.key, &gap.hash))
        {
            carried.push(gap.clone());
        }
    }
    carried
}

/// Where a manifest is.
#[derive(Debug, Clone, PartialEq)]
pub enum ManifestAt {
    /// In the envelope.
    Inline(Box<Manifest>),
    /// In an object.
    Object(ObjectHash),
}

impl ManifestAt {
    /// In the envelope if it is small, else in an object, which then has to be stored.
    pub fn of(manifest: &Manifest) -> Self {
        let encoded = manifest.encode();
        match encoded.len() <= INLINE_MANIFEST {
            true => Self::Inline(Box::new(manifest.clone())),
            false => Self::Object(ObjectHash::of(&encoded)),
        }
    }
}

impl Serialize for ManifestAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Inline(manifest) => manifest.serialize(serializer),
            Self::Object(hash) => hash.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ManifestAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let is_hash = json.get().starts_with('"');
        let read = || -> Result<Self, serde_json::Error> {
            Ok(match is_hash {
                true => Self::Object(json.read()?),
                false => Self::Inline(json.read()?),
            })
        };
        read().map_err(serde::de::Error::custom)
    }
}

wire_object! {
    /// The view of one receiver, in numbers.
    pub struct View {
        /// How it was made.
        req strategy: Strategy,
        /// The most tokens that the receiver takes.
        req budget: u64,
        /// Its tokens, as the receiver counts them.
        req used: u64,
        /// The id of the counter.
        req tokenizer: String,
        /// The factor of the receiver, in thousandths.
        req factor: u32,
        /// The rules by which it was made.
        req assembler: String,
        /// How many memories it has in full.
        req kept: u32,
        /// How many candidates it does not have at all.
        req dropped: u32,
        /// What became of the candidates that are not in it in full: the manifest, or its hash.
        req manifest: ManifestAt,
        /// What of it the sender could have.
        req assembled: Completeness,
    }
}

wire_object! {
    /// What an envelope says of the context of its intent.
    #[derive(Default)]
    pub struct EnvelopeContext {
        /// The newest link.
        opt head: ObjectHash,
        /// How many links the chain has up to there, by its longest way.
        def links: u32,
        /// How many memories, each revision.
        def memories: u32,
        /// The bytes of their contents.
        def bytes: u64,
        /// What the receiver is given.
        opt view: Box<View>,
        /// What could not be had on the way here, and was not found since.
        def gaps: Vec<Gap>,
        /// How many hops added no link because their agents know of none.
        def unlinked: u32,
        /// The hop that this was written for. That of a later envelope says that the hops between have added nothing.
        opt hop: u32,
    }
}

/// What a child of a hop begins with, where the hop that calls has nothing to add: what the envelope of the hop says, without the
/// view that its receiver was given.
pub(crate) fn handed_down(parent: &Envelope) -> Option<Json> {
    // What cannot be read fails the hop that reads it, and no child.
    let context = EnvelopeContext::counted(parent).ok()?;
    match context.is_empty() {
        true => None,
        false => context.for_hop(parent.hop.saturating_add(1)).json(),
    }
}

/// The most gaps that an envelope carries: as many memories as a view may have.
pub const MOST_GAPS: usize = 256;

impl EnvelopeContext {
    /// What an envelope says of its context; nothing where it says nothing.
    ///
    /// # Errors
    /// Names the field, the value and the problem.
    pub fn of(envelope: &Envelope) -> Result<Self, DecodeError> {
        envelope
            .context
            .as_ref()
            .map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// What `context` of an envelope, of a call or of a snapshot says.
    ///
    /// # Errors
    /// Names the field, the value and the problem.
    pub fn read(json: &Json) -> Result<Self, DecodeError> {
        const WHAT: &str = "context";
        let context: Self = decode(WHAT, json.get().as_bytes())?;
        match context.gaps.len() > MOST_GAPS {
            false => Ok(context),
            true => Err(DecodeError {
                what: WHAT,
                field: "gaps".to_owned(),
                value: Some(context.gaps.len().to_string()),
                problem: format!("it has more than {MOST_GAPS}"),
            }),
        }
    }

    /// What the envelope says, with the hops in `unlinked` that have handed on what they got and added nothing: their agents know
    /// of no links.
    ///
    /// # Errors
    /// As [`EnvelopeContext::of`].
    pub fn counted(envelope: &Envelope) -> Result<Self, DecodeError> {
        let context = Self::of(envelope)?;
        let silent = context.hop.map_or(0, |hop| envelope.hop.saturating_sub(hop));
        Ok(Self {
            unlinked: context.unlinked.saturating_add(silent),
            hop: context.hop.map(|_| envelope.hop),
            ..context
        })
    }

    /// It for the envelope of a hop that gives its receiver no view of its own.
    #[must_use]
    pub fn for_hop(self, hop: u32) -> Self {
        Self {
            view: None,
            hop: Some(hop),
            ..self
        }
    }

    /// Whether anything is remembered.
    pub fn is_empty(&self) -> bool {
        self.head.is_none() && self.gaps.is_empty()
    }

    /// It as an envelope carries it.
    pub fn json(&self) -> Option<Json> {
        Json::of(self).ok()
    }
}
