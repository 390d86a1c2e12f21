//! Assembly: of all that a tree remembers, what one receiver is given. The rules are `trim-1`; they are part of the
//! protocol, and other rules have another name.
//!
//! First the plan, from the counts that are stored with the memories: integers only, whatever the order of the input. Then
//! the text, which is counted as a whole. A count that somebody stored too low is found there and costs nothing but its
//! author's own place.

mod inputs;
mod plan;

use std::collections::HashSet;

use self::plan::{Plan, Slot};
use super::candidate::{Candidate, Out};
use super::manifest::{MANIFEST_FORM, Manifest, ManifestItem, Why};
use super::memory::{Level, Memory, MemoryKey};
use super::overflow::{AssembleError, Part};
use super::render::{self, Contents, Fixed};
use super::request::{Counter, Request, Strategy};
use super::view::{Completeness, ManifestAt, View};
use crate::base::mutants::Mutant;
use crate::base::wire::Extra;
use crate::message::parts::MemoryRef;

/// The name of the rules.
const ASSEMBLER: &str = "trim-1";
/// The most references of an envelope.
pub(super) const MOST_REFS: usize = 256;

/// The most bytes that are read to be counted.
pub const UNCOUNTED_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes of a token: the longest of `o200k_base` are runs of 128 blanks.
const LONGEST_TOKEN: u64 = 128;

/// A view, and what an envelope says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// The view in numbers.
    pub view: View,
    /// What is in the view in full, in the order of rendering.
    pub refs: Vec<MemoryRef>,
    /// What became of everything else.
    pub manifest: Manifest,
    /// The text, with what the sender could have.
    pub text: String,
}

/// A part of the view that is no memory.
struct FixedPart {
    name: &'static str,
    text: String,
    tokens: u64,
}

/// A plan that holds, and the text of it.
struct Settled<'a> {
    ordered: Vec<&'a Candidate>,
    parts: Vec<FixedPart>,
    plan: Plan<'a>,
    text: String,
    count: u64,
}

/// The memories that nobody has counted with this counter, such as those of an agent that has another one: a view is planned
/// with their contents. All pins are among them, and of what might have room the newest, as far as they have
/// [`UNCOUNTED_BYTES`] together; of the others a view has the summary or a line.
pub fn uncounted<'a>(request: &Request, candidates: &'a [Candidate], counter: &Counter<'_>) -> Vec<&'a Memory> {
    let is_uncounted = |one: &&Candidate| {
        let has_room = one.memory.bytes <= request.room().saturating_mul(LONGEST_TOKEN);
        let is_wanted = out_of(one, request).is_none() && (has_room || one.memory.pinned);
        is_wanted && !one.memory.tokens.contains_key(counter.id)
    };
    let mut found: Vec<&Candidate> = candidates.iter().filter(is_uncounted).collect();
    found.sort_by(|a, b| b.position.cmp(&a.position));
    let mut left = UNCOUNTED_BYTES;
    found.retain(|one| match left.checked_sub(one.memory.bytes) {
        _ if one.memory.pinned => true,
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    found.into_iter().map(|one| &one.memory).collect()
}

/// The memories that a view has in full by the counts that are stored, in the order of the chain: those whose contents
/// [`assemble`] needs to make it. The contents are those of what is [`uncounted`].
///
/// # Errors
/// As [`assemble`].
pub fn planned<'a>(
    request: &'a Request,
    fixed: &Fixed,
    candidates: &'a [Candidate],
    counter: &Counter<'_>,
    contents: &Contents<'_>,
) -> Result<Vec<&'a Memory>, AssembleError> {
    let Settled { plan, .. } = settled(request, fixed, candidates, counter, contents)?;
    let given = plan.slots().iter().filter(|slot| slot.level == Level::Full);
    Ok(given.map(|slot| &slot.candidate.memory).collect())
}

/// Makes a view. The order of the candidates makes no difference.
///
/// # Errors
/// When what must be in it does not fit, or the request names what is not there.
pub fn assemble(
    request: &Request,
    fixed: &Fixed,
    candidates: &[Candidate],
    counter: &Counter<'_>,
    contents: &Contents<'_>,
) -> Result<Assembled, AssembleError> {
    let Settled {
        ordered,
        parts,
        plan,
        text,
        count,
    } = settled(request, fixed, candidates, counter, contents)?;
    let manifest = Manifest {
        manifest: MANIFEST_FORM,
        assembler: ASSEMBLER.to_owned(),
        strategy: request.strategy.clone(),
        tokenizer: counter.id.to_owned(),
        factor: request.factor.get(),
        budget: request.budget,
        used: request.of_receiver(count),
        inputs: inputs::hash(ASSEMBLER, request, counter.id, &parts, &ordered),
        items: plan.slots().iter().filter_map(item).collect(),
        extra: Extra::new(),
    };
    let given = plan.slots().iter().filter(|slot| slot.level == Level::Full);
    let refs: Vec<MemoryRef> = given.clone().map(|slot| reference(slot.candidate)).collect();
    let resolved = given.filter(|slot| slot.content(contents).is_some()).count();
    Ok(Assembled {
        view: view(&manifest, &refs, resolved),
        refs,
        manifest,
        text,
    })
}

/// Plans a view, and makes its text.
fn settled<'a>(
    request: &'a Request,
    fixed: &Fixed,
    candidates: &'a [Candidate],
    counter: &Counter<'_>,
    contents: &Contents<'_>,
) -> Result<Settled<'a>, AssembleError> {
    if let Strategy::Unknown(name) = &request.strategy {
        return Err(AssembleError::UnknownStrategy { name: name.clone() });
    }
    let ordered = ordered(request, candidates)?;
    let parts = fixed.parts().into_iter().map(|(name, text)| {
        let tokens = (counter.count)(&text);
        FixedPart { name, text, tokens }
    });
    let parts: Vec<FixedPart> = parts.collect();
    let mut plan = Plan::new(request, &ordered, &parts, counter, contents);
    if let Some(slot) = plan.mandatory().find(|slot| slot.level != Level::Full) {
        let key = slot.candidate.memory.key.clone();
        return Err(AssembleError::Missing { key });
    }
    let pinned = plan.mandatory().count();
    if pinned > MOST_REFS {
        let most = MOST_REFS;
        return Err(AssembleError::TooManyPins { pinned, most });
    }
    if plan.taken() > request.room() {
        return Err(overflow(request, &parts, &plan, plan.taken()));
    }
    plan.fill();
    let settled = plan.settle(&parts, counter, contents);
    let (text, count) = settled.map_err(|needed| overflow(request, &parts, &plan, needed))?;
    Ok(Settled {
        ordered,
        parts,
        plan,
        text,
        count,
    })
}

/// The candidates in the order of the chain. Of one key it is the last that counts.
fn ordered<'a>(request: &Request, candidates: &'a [Candidate]) -> Result<Vec<&'a Candidate>, AssembleError> {
    let mut ordered: Vec<&Candidate> = candidates.iter().collect();
    if !Mutant::C6InputOrderCounts.is_on() {
        ordered.sort_by(|a, b| {
            let (one, other) = (&a.memory, &b.memory);
            let by_memory = || one.key.cmp(&other.key).then_with(|| one.hash.cmp(&other.hash));
            a.position.cmp(&b.position).then_with(by_memory)
        });
    }
    let mut known: HashSet<&MemoryKey> = HashSet::with_capacity(ordered.len());
    ordered.reverse();
    ordered.retain(|candidate| known.insert(&candidate.memory.key));
    ordered.reverse();
    match request.named.iter().find(|key| !known.contains(key)) {
        None => Ok(ordered),
        Some(key) => Err(AssembleError::NotThere {
            key: key.clone(),
            candidates: known.len(),
        }),
    }
}

fn overflow(request: &Request, parts: &[FixedPart], plan: &Plan<'_>, needed: u64) -> AssembleError {
    let of_fixed = parts.iter().map(|part| (part.name.to_owned(), part.tokens));
    let of_memories = plan.mandatory().map(|slot| {
        let name = format!("memory {}", slot.candidate.memory.key);
        (name, slot.tokens)
    });
    let parts = of_fixed.chain(of_memories).map(|(name, tokens)| Part {
        name,
        tokens: request.of_receiver(tokens),
    });
    AssembleError::Overflow {
        budget: request.budget,
        needed: request.of_receiver(needed),
        parts: parts.collect(),
        is_full: request.strategy == Strategy::Full,
    }
}

/// What the envelope says of a view.
fn view(manifest: &Manifest, refs: &[MemoryRef], resolved: usize) -> View {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let dropped = manifest.items.iter().filter(|item| item.level == Level::Dropped);
    View {
        strategy: manifest.strategy.clone(),
        budget: manifest.budget,
        used: manifest.used,
        tokenizer: manifest.tokenizer.clone(),
        factor: manifest.factor,
        assembler: manifest.assembler.clone(),
        kept: number(refs.len()),
        dropped: number(dropped.count()),
        manifest: ManifestAt::of(manifest),
        assembled: Completeness::of(resolved as u64, refs.len() as u64),
        extra: Extra::new(),
    }
}

fn reference(candidate: &Candidate) -> MemoryRef {
    MemoryRef {
        key: candidate.memory.key.to_string(),
        revision: candidate.memory.revision,
        hash: Some(candidate.memory.hash.to_string()),
        policy: None,
        extra: Extra::new(),
    }
}

/// The line of the manifest for a candidate that is not in the view in full.
fn item(slot: &Slot<'_>) -> Option<ManifestItem> {
    if slot.level == Level::Full {
        return None;
    }
    if slot.level == Level::Dropped && Mutant::C7ManifestForgets.is_on() {
        return None;
    }
    let memory = &slot.candidate.memory;
    let is_choice = slot.candidate.out.is_none() && slot.why != Why::KindExcluded;
    Some(ManifestItem {
        key: memory.key.clone(),
        hash: memory.hash.clone(),
        level: slot.level.clone(),
        tier: is_choice.then_some(slot.tier),
        score: is_choice.then_some(slot.score),
        tokens: slot.tokens,
        needed: slot.lost.map(|lost| lost.needed),
        left: slot.lost.map(|lost| lost.left),
        why: slot.why.clone(),
        extra: Extra::new(),
    })
}

/// The text of a plan, and how many tokens more it has where all of it can be had, or less: what cannot be had at the moment
/// stands in it as a line, and takes what is stored for it.
fn text_of(parts: &[FixedPart], slots: &[Slot<'_>], counter: &Counter<'_>, contents: &Contents<'_>) -> (String, i64) {
    let mut text: String = parts.iter().map(|part| part.text.as_str()).collect();
    let mut absent: i64 = 0;
    let number = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    for slot in slots {
        let content = slot.content(contents);
        let item = render::item(&slot.candidate.memory, &slot.candidate.by, &slot.level, content);
        if slot.level == Level::Full && content.is_none() {
            absent = absent.saturating_add(number(slot.tokens).saturating_sub(number((counter.count)(&item))));
        }
        text.push_str(&item);
    }
    (text, absent)
}

/// Why a candidate has no place in this view, if so.
fn out_of(candidate: &Candidate, request: &Request) -> Option<Why> {
    let memory = &candidate.memory;
    let is_wanted = memory.pinned || request.named.contains(&memory.key);
    let is_excluded = !is_wanted && request.without.contains(&memory.kind);
    match candidate.out {
        Some(Out::Superseded) => Some(Why::Superseded),
        Some(Out::Forgotten) => Some(Why::Forgotten),
        None => is_excluded.then_some(Why::KindExcluded),
    }
}
