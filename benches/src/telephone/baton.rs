//! Baton as the carrier: the links, the chain, the assembly, the manifest and the levels of a view are those of the product. The store
//! is a map, of which some objects cannot be read at a hop. A link, a manifest or a catalogue that cannot be read fails the attempt,
//! and the next one may have more luck; a memory is a gap.

use std::collections::{BTreeMap, HashSet};

use baton_envelope::codes;
use baton_envelope::context::{
    Catalogue, Chain, ContextLink, Counter, EnvelopeContext, Fixed, Gap, Kind, Level, Manifest, ManifestAt, Memory,
    Reach, Request, assemble, carried_gaps, levels, render,
};
use baton_envelope::{Envelope, IntentId, Json, ObjectHash, Timestamp};
use baton_tokens::{Counter as _, O200k};
use rand::Rng as _;
use rand::rngs::StdRng;

use super::story::{Piece, Story};
use super::{BUDGET, Told, UNREADABLE};
use crate::error::BenchError;

const COUNTER: Counter<'static> = Counter {
    id: O200k::ID,
    count: &|text| O200k.count(text),
};
/// How often a hop is tried.
const ATTEMPTS: u32 = 5;

/// How an agent reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// What it is given.
    View,
    /// It also recalls what it lacks.
    Recalls,
    /// It recalls, and cannot read everything.
    Unlucky,
}

/// The objects of a tree, and which of them cannot be read at present.
#[derive(Default)]
struct Store {
    objects: BTreeMap<ObjectHash, Vec<u8>>,
    unreadable: HashSet<ObjectHash>,
    stored: u64,
}

impl Store {
    fn put(&mut self, bytes: Vec<u8>) -> ObjectHash {
        let hash = ObjectHash::of(&bytes);
        if !self.objects.contains_key(&hash) {
            self.stored += bytes.len() as u64;
        }
        self.objects.insert(hash.clone(), bytes);
        hash
    }

    fn get(&self, hash: &ObjectHash) -> Option<&[u8]> {
        let there = self.objects.get(hash).filter(|_| !self.unreadable.contains(hash));
        there.map(Vec::as_slice)
    }

    /// Another attempt, another set that cannot be read.
    fn change(&mut self, reader: Reader, luck: &mut StdRng) {
        let mut unlucky = || reader == Reader::Unlucky && luck.random_range(0..100) < UNREADABLE;
        self.unreadable = self.objects.keys().filter(|_| unlucky()).cloned().collect();
    }
}

/// Hands a story on from agent to agent.
pub(super) fn hand_on(story: &Story, reader: Reader, luck: &mut StdRng) -> Result<Told, BenchError> {
    let mut hands = Hands::new(story)?;
    let mut told = Told::default();
    for hop in 1..=story.agents {
        let Some(given) = hands.attempts(hop, reader, luck, &mut told)? else {
            // It is parked, and says why.
            told.flagged = true;
            return Ok(told);
        };
        if hop == 1 {
            continue;
        }
        let all = story.constraints.iter().map(|piece| piece.text.as_str());
        told.handoffs += 1;
        told.with_constraints += u64::from(all.clone().all(|rule| given.text.contains(rule)));
        told.tokens += O200k.count(&given.text);
        if hop == story.agents {
            let needed = story.needed().map_or("", |needed| needed.text.as_str());
            told.in_view = given.text.contains(needed.trim_end());
            let asked = given.needed.as_ref().and_then(|hash| hands.store.get(hash));
            let recalled = reader != Reader::View && asked == Some(needed.as_bytes());
            told.had = told.in_view || recalled;
            // A gap, an answer that it cannot be had, or a line of the manifest for what the view has no room for.
            let is_named = given.needed.is_some() && reader == Reader::View;
            told.flagged = !given.gaps.is_empty() || is_named || (reader != Reader::View && asked.is_none());
        }
    }
    told.bytes += hands.store.stored;
    Ok(told)
}

/// What an agent is given.
struct Given {
    text: String,
    gaps: Vec<Gap>,
    /// The object of the fact that the last one needs.
    needed: Option<ObjectHash>,
}

/// The state of a chain: the envelope, and the store.
struct Hands<'s> {
    story: &'s Story,
    tree: IntentId,
    envelope: Envelope,
    store: Store,
}

/// Something cannot be read: the attempt fails.
struct Unread;

impl<'s> Hands<'s> {
    fn new(story: &'s Story) -> Result<Self, BenchError> {
        let bad = |error: String| BenchError::Broken(error);
        let name = format!("chain-{}", story.number);
        let tree: IntentId = name.parse().map_err(|error| bad(format!("{error}")))?;
        let to = "agent".parse().map_err(|error| bad(format!("{error}")))?;
        let id = baton_envelope::EnvelopeId::generate(Timestamp::default(), [0; 10]);
        let mut envelope = Envelope::first(id, tree.clone(), to, Json::string("assemble the shelf"));
        let rules: BTreeMap<String, &str> = (0..).map(|of: u32| format!("rule-{of}")).zip(rules(story)).collect();
        envelope.constraints = Some(Json::of(&rules).map_err(|error| bad(error.to_string()))?);
        Ok(Self {
            story,
            tree,
            envelope,
            store: Store::default(),
        })
    }

    /// One hop, until an attempt succeeds. The last agent hands nothing on.
    fn attempts(
        &mut self,
        hop: u32,
        reader: Reader,
        luck: &mut StdRng,
        told: &mut Told,
    ) -> Result<Option<Given>, BenchError> {
        for _ in 0..ATTEMPTS {
            self.store.change(reader, luck);
            let Ok(given) = self.given() else { continue };
            if hop == self.story.agents {
                return Ok(Some(given));
            }
            if let Ok(handed_on) = self.handed_on(hop, &given)? {
                told.bytes += serde_json::to_vec(&handed_on.context).map_or(0, |json| json.len() as u64)
                    + serde_json::to_vec(&handed_on.memory).map_or(0, |json| json.len() as u64);
                self.envelope = handed_on;
                return Ok(Some(given));
            }
        }
        Ok(None)
    }

    fn context(&self) -> Result<EnvelopeContext, Unread> {
        EnvelopeContext::of(&self.envelope).map_err(|_| Unread)
    }

    fn chain(&self, heads: &[ObjectHash]) -> Result<Chain, Unread> {
        let load = |hash: &ObjectHash| self.store.get(hash).map(<[u8]>::to_vec);
        Chain::read(self.tree.clone(), heads, Reach::Catalogue, &load).map_err(|_| Unread)
    }

    /// What the envelope gives its receiver.
    fn given(&self) -> Result<Given, Unread> {
        let context = self.context()?;
        let heads: Vec<ObjectHash> = context.head.iter().cloned().collect();
        let (Some(view), false) = (context.view.as_deref(), heads.is_empty()) else {
            let none = |_: &ObjectHash| None;
            return Ok(Given {
                text: render(&Fixed::of(&self.envelope), [], &none),
                gaps: Vec::new(),
                needed: None,
            });
        };
        let manifest = match &view.manifest {
            ManifestAt::Inline(manifest) => (**manifest).clone(),
            ManifestAt::Object(hash) => {
                let bytes = self.store.get(hash).ok_or(Unread)?;
                Manifest::decode(bytes).map_err(|_| Unread)?
            }
        };
        let candidates = self.chain(&heads)?.candidates();
        let levels = levels(&candidates, &self.envelope.memory, &manifest).map_err(|_| Unread)?;
        let items: Vec<_> = candidates.iter().zip(levels).collect();
        let lost = items.iter().filter(|(_, level)| *level == Level::Full);
        let lost = lost.filter(|(one, _)| self.store.get(&one.memory.hash).is_none());
        let gaps = lost
            .map(|(one, _)| Gap::of(&one.memory, codes::CONTEXT_MISSING))
            .collect();
        let key = fact_key(self.story.needed);
        let needed = candidates.iter().find(|one| one.memory.key.as_str() == key);
        let needed = needed.map(|one| one.memory.hash.clone());
        let content = |hash: &ObjectHash| self.store.get(hash);
        let text = render(&Fixed::of(&self.envelope), items, &content);
        Ok(Given { text, gaps, needed })
    }

    /// The next envelope: what this hop remembers, and the view of the next one.
    fn handed_on(&mut self, hop: u32, given: &Given) -> Result<Result<Envelope, Unread>, BenchError> {
        let Ok(before) = self.context() else {
            return Ok(Err(Unread));
        };
        let heads: Vec<ObjectHash> = before.head.iter().cloned().collect();
        let Ok(chain) = self.chain(&heads) else {
            return Ok(Err(Unread));
        };
        let id = self.envelope.id;
        let by = format!("agent-{hop}@1.0.0");
        let first = ContextLink::first(
            self.tree.clone(),
            self.tree.clone(),
            hop,
            id,
            by.clone(),
            Timestamp::default(),
        );
        let mut link = first.after(&chain.heads());
        let notes = self.story.notes.get(hop as usize - 1);
        let mut memories: Vec<(String, Kind, &Piece)> = Vec::new();
        if hop == 1 {
            let facts = self.story.facts.iter().enumerate();
            memories.extend(facts.map(|(of, fact)| (fact_key(of), Kind::Fact, fact)));
        }
        memories.extend(notes.map(|notes| (format!("notes-{hop}"), Kind::Observation, notes)));
        for (key, kind, piece) in memories {
            let key = key
                .parse()
                .map_err(|_| BenchError::Broken("a key of telephone".to_owned()))?;
            let memory = Memory::new(key, kind, piece.text.as_bytes()).counted(&by, piece.text.as_bytes(), &COUNTER);
            self.store.put(piece.text.clone().into_bytes());
            link.memories.push(memory);
        }
        let candidates = chain.candidates_with(&link);
        let content = |hash: &ObjectHash| self.store.get(hash);
        let made = assemble(
            &Request::trim(BUDGET),
            &Fixed::of(&self.envelope),
            &candidates,
            &COUNTER,
            &content,
        );
        let made = made.map_err(|error| BenchError::Broken(error.to_string()))?;
        if let ManifestAt::Object(_) = &made.view.manifest {
            link.manifest = Some(self.store.put(made.manifest.encode()));
        }
        if link.wants_catalogue() {
            let catalogue = Catalogue::of(self.tree.clone(), chain.entries().to_vec()).encode();
            link.catalogue = Some(self.store.put(catalogue));
        }
        let head = self.store.put(link.encode());
        let is_closed = |gap: &Gap| self.store.get(&gap.hash).is_some();
        let context = EnvelopeContext {
            head: Some(head),
            links: link.depth,
            view: Some(Box::new(made.view)),
            gaps: carried_gaps(&before.gaps, &given.gaps, is_closed),
            ..before
        };
        let mut next = self.envelope.clone();
        next.hop = hop + 1;
        next.context = context.json();
        next.memory = made.refs;
        Ok(Ok(next))
    }
}

fn rules(story: &Story) -> impl Iterator<Item = &str> {
    story.constraints.iter().map(|piece| piece.text.as_str())
}

fn fact_key(of: usize) -> String {
    format!("fact-{of}")
}
