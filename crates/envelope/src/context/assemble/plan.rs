//! The plan of a view: the level of each candidate, from stored counts.

use std::cmp::Reverse;

use super::{FixedPart, out_of};
use crate::base::mutants::Mutant;
use crate::context::assemble::{MOST_REFS, text_of};
use crate::context::candidate::Candidate;
use crate::context::manifest::Why;
use crate::context::memory::{Kind, Level};
use crate::context::render::{self, Contents};
use crate::context::request::{Counter, Request, Strategy};

/// What the next higher level of a candidate would have taken, and what was left for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) needed: u64,
    pub(super) left: u64,
}

/// A candidate and its place in the view.
#[derive(Debug, Clone)]
pub(super) struct Slot<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) level: Level,
    pub(super) tokens: u64,
    pub(super) tier: u32,
    pub(super) score: u32,
    pub(super) lost: Option<Lost>,
    pub(super) why: Why,
    /// The levels it can have, the highest first, each with fewer tokens than the one before it.
    ladder: Vec<(Level, u64)>,
}

impl<'a> Slot<'a> {
    /// The content, where the view has it.
    pub(super) fn content<'c>(&self, contents: &Contents<'c>) -> Option<&'c [u8]> {
        match self.level == Level::Full {
            true => contents(&self.candidate.memory.hash),
            false => None,
        }
    }

    fn is_mandatory(&self) -> bool {
        self.tier == 0
    }

    /// The level below the present one, and its tokens.
    fn lower(&self) -> (Level, u64) {
        let lower = self.ladder.iter().skip_while(|(level, _)| *level != self.level).nth(1);
        lower.cloned().unwrap_or((Level::Dropped, 0))
    }

    /// This level and its tokens. Where it has none of that level, the next higher one takes no more than that would.
    fn at(&self, wanted: &Level) -> (Level, u64) {
        let is_enough = |level: &Level| match (level, wanted) {
            (Level::Full, _) => true,
            (Level::Summary, wanted) => *wanted != Level::Full,
            (Level::Ref, wanted) => *wanted == Level::Ref,
            (Level::Dropped | Level::Unknown(_), _) => false,
        };
        let found = self.ladder.iter().rev().find(|(level, _)| is_enough(level));
        found.or(self.ladder.first()).cloned().unwrap_or((Level::Dropped, 0))
    }
}

/// The slots of all candidates in the order of the chain, and what is left of the room.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    request: &'a Request,
    slots: Vec<Slot<'a>>,
    /// The slots that may be lowered, by their place in `slots`. The last is lowered first.
    priority: Vec<usize>,
    taken: u64,
}

impl<'a> Plan<'a> {
    /// A plan with what must be in the view, and nothing else.
    pub(super) fn new(
        request: &'a Request,
        candidates: &[&'a Candidate],
        parts: &[FixedPart],
        counter: &Counter<'_>,
        contents: &Contents<'_>,
    ) -> Self {
        let live = candidates
            .iter()
            .filter(|candidate| out_of(candidate, request).is_none())
            .count();
        let mut rank = live;
        let mut slots = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let candidate: &'a Candidate = candidate;
            let out = out_of(candidate, request);
            let mut slot = Slot {
                candidate,
                level: Level::Dropped,
                tokens: 0,
                tier: 3,
                score: 0,
                lost: None,
                why: Why::Strategy,
                ladder: Vec::new(),
            };
            if let Some(why) = out {
                slot.why = why;
            } else {
                rank -= 1;
                slot.tier = tier(request, candidate, rank);
                slot.score = score(candidate, rank, live);
                (slot.ladder, slot.why) = ladder(candidate, counter, contents);
            }
            slots.push(slot);
        }
        let mut plan = Self {
            request,
            slots,
            priority: Vec::new(),
            taken: sum(parts),
        };
        let is_full = request.strategy == Strategy::Full;
        for at in 0..plan.slots.len() {
            let Some(slot) = plan.slots.get_mut(at).filter(|slot| !slot.ladder.is_empty()) else {
                continue;
            };
            if is_full {
                slot.tier = 0;
            }
            if slot.is_mandatory() {
                (slot.level, slot.tokens) = slot.at(&Level::Full);
                plan.taken = plan.taken.saturating_add(slot.tokens);
            } else {
                plan.priority.push(at);
            }
        }
        plan.rank();
        plan
    }

    /// Puts what is to be lowered last first. No two have the same place, so of two with the same score the newer comes first,
    /// and their keys are never asked.
    fn rank(&mut self) {
        // In the order of the chain so far. The oldest is lowered first, so it stands last.
        self.priority.reverse();
        match self.request.strategy {
            Strategy::Summary | Strategy::Lazy => {}
            Strategy::Full | Strategy::Trim | Strategy::Unknown(_) => {
                let slots = &self.slots;
                let rank = |at: &usize| slots.get(*at).map(|slot| (slot.tier, Reverse(slot.score)));
                self.priority.sort_by_cached_key(rank);
            }
        }
    }

    /// What must be in the view of the memories.
    pub(super) fn mandatory(&self) -> impl Iterator<Item = &Slot<'a>> {
        self.slots
            .iter()
            .filter(|slot| slot.is_mandatory() && slot.level != Level::Dropped)
    }

    /// The tokens of everything that is in the view so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    pub(super) fn slots(&self) -> &[Slot<'a>] {
        &self.slots
    }

    fn left(&self) -> u64 {
        self.request.room().saturating_sub(self.taken)
    }

    /// Fills what is left.
    pub(super) fn fill(&mut self) {
        match self.request.strategy {
            Strategy::Trim | Strategy::Full | Strategy::Unknown(_) => self.fill_by_priority(),
            Strategy::Summary => self.fill_and_lower(&Level::Summary),
            Strategy::Lazy => self.fill_and_lower(&Level::Ref),
        }
    }

    /// Goes down the list once. Each takes the highest level that has room; what has none leaves it to those after it.
    fn fill_by_priority(&mut self) {
        let mut refs = self.slots.iter().filter(|slot| slot.level == Level::Full).count();
        for at in self.priority.clone() {
            let left = self.left();
            let Some(slot) = self.slots.get_mut(at) else { continue };
            for (level, tokens) in &slot.ladder {
                let has_room = *tokens <= left && !Mutant::C8NothingHasRoom.is_on();
                if *level == Level::Full && has_room && refs >= MOST_REFS {
                    slot.why = Why::Refs;
                } else if has_room {
                    (slot.level, slot.tokens) = (level.clone(), *tokens);
                    break;
                } else {
                    let needed = *tokens;
                    slot.lost = Some(Lost { needed, left });
                    slot.why = Why::Budget;
                }
            }
            refs += usize::from(slot.level == Level::Full);
            self.taken = self.taken.saturating_add(slot.tokens);
        }
    }

    /// Gives each this level, then lowers the oldest until all have room: first to a line, then to nothing.
    fn fill_and_lower(&mut self, wanted: &Level) {
        let mut refs = self.slots.iter().filter(|slot| slot.level == Level::Full).count();
        for at in self.priority.clone() {
            if let Some(slot) = self.slots.get_mut(at) {
                (slot.level, slot.tokens) = slot.at(wanted);
                // Where the text is no longer than what stands for it.
                if slot.level == Level::Full && refs >= MOST_REFS {
                    (slot.level, slot.tokens) = slot.lower();
                    slot.why = Why::Refs;
                }
                refs += usize::from(slot.level == Level::Full);
                self.taken = self.taken.saturating_add(slot.tokens);
            }
        }
        for lowest in [Level::Ref, Level::Dropped] {
            for at in self.priority.clone().into_iter().rev() {
                while self.taken > self.request.room() {
                    let Some(slot) = self.slots.get(at) else { break };
                    if slot.level == Level::Dropped || slot.level == lowest {
                        break;
                    }
                    if lowest == Level::Ref && slot.lower().0 == Level::Dropped {
                        break;
                    }
                    self.lower(at, Why::Budget);
                }
            }
        }
    }

    /// Lowers a candidate by one level.
    fn lower(&mut self, at: usize, why: Why) {
        let room = self.request.room();
        let Some(slot) = self.slots.get_mut(at) else { return };
        let others = self.taken.saturating_sub(slot.tokens);
        let left = room.saturating_sub(others);
        let needed = slot.tokens;
        slot.lost = Some(Lost { needed, left });
        slot.why = why;
        (slot.level, slot.tokens) = slot.lower();
        self.taken = others.saturating_add(slot.tokens);
    }

    /// Renders the view and counts it, and lowers what was taken last for as long as it is too long: by what its parts
    /// really take first, then by what they take together. Returns the text and its count, or the count of what must be
    /// in it where that is too long.
    ///
    /// The count of the whole is what decides, so where it has room, no content is counted once more by itself.
    pub(super) fn settle(
        &mut self,
        parts: &[FixedPart],
        counter: &Counter<'_>,
        contents: &Contents<'_>,
    ) -> Result<(String, u64), u64> {
        let room = self.request.room();
        self.taken = self
            .slots
            .iter()
            .fold(sum(parts), |sum, slot| sum.saturating_add(slot.tokens));
        self.recount(|level| *level != Level::Full, counter, contents);
        let mut is_recounted = false;
        let mut last = self.priority.len();
        loop {
            if self.taken <= room || last == 0 {
                let (text, absent) = text_of(parts, &self.slots, counter, contents);
                let count = (counter.count)(&text).saturating_add_signed(absent);
                if count <= room || Mutant::C4CountSkipped.is_on() {
                    return Ok((text, count));
                }
                if last == 0 {
                    return Err(count);
                }
            }
            if !is_recounted {
                is_recounted = true;
                self.recount(|level| *level == Level::Full, counter, contents);
                continue;
            }
            let next = self.priority.get(..last).and_then(|open| {
                let found = open
                    .iter()
                    .rposition(|at| self.slots.get(*at).is_some_and(|slot| slot.level != Level::Dropped));
                Some((found?, *open.get(found?)?))
            });
            let Some((place, at)) = next else {
                last = 0;
                continue;
            };
            last = place + 1;
            self.lower(at, Why::Count);
            self.recount_one(at, counter, contents);
        }
    }

    /// Puts what each part of these levels really takes in place of what is stored for it.
    fn recount(&mut self, is_meant: impl Fn(&Level) -> bool, counter: &Counter<'_>, contents: &Contents<'_>) {
        for at in 0..self.slots.len() {
            if self.slots.get(at).is_some_and(|slot| is_meant(&slot.level)) {
                self.recount_one(at, counter, contents);
            }
        }
    }

    fn recount_one(&mut self, at: usize, counter: &Counter<'_>, contents: &Contents<'_>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let content = slot.content(contents);
        let is_absent = slot.level == Level::Full && content.is_none();
        if slot.level == Level::Dropped || is_absent {
            return;
        }
        let memory = &slot.candidate.memory;
        let tokens = (counter.count)(&render::item(memory, &slot.candidate.by, &slot.level, content));
        self.taken = self.taken.saturating_sub(slot.tokens).saturating_add(tokens);
        slot.tokens = tokens;
    }
}

/// What the parts that are no memories take.
fn sum(parts: &[FixedPart]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.tokens))
}

/// 0 for what must be in the view, then 1 to 3. The newest has rank 0.
fn tier(request: &Request, candidate: &Candidate, rank: usize) -> u32 {
    let memory = &candidate.memory;
    let is_recent = rank < usize::try_from(request.include_recent).unwrap_or(usize::MAX);
    if memory.pinned && !Mutant::C5PinsTrimmed.is_on() {
        0
    } else if request.named.contains(&memory.key) || memory.kind == Kind::Question {
        1
    } else if is_recent {
        2
    } else {
        3
    }
}

fn score(candidate: &Candidate, rank: usize, of: usize) -> u32 {
    let memory = &candidate.memory;
    let weight = match memory.kind {
        Kind::Constraint => 400,
        Kind::Question => 350,
        Kind::Decision => 300,
        Kind::Fact => 200,
        Kind::Result => 150,
        Kind::Observation | Kind::Unknown(_) => 100,
        Kind::File => 50,
        Kind::Log => 0,
    };
    let age = (1_000 * rank).checked_div(of).unwrap_or(0);
    let recency = 1_000_u32.saturating_sub(u32::try_from(age).unwrap_or(1_000));
    2 * u32::from(memory.relevance.get()) + recency + weight
}

/// The levels that a candidate can have, and why it has no more of them. What is stored under the counter's id counts;
/// else the content is counted, if it can be had.
fn ladder(candidate: &Candidate, counter: &Counter<'_>, contents: &Contents<'_>) -> (Vec<(Level, u64)>, Why) {
    let memory = &candidate.memory;
    let count = |level: &Level, content| (counter.count)(&render::item(memory, &candidate.by, level, content));
    let stored = memory.tokens.get(counter.id);
    let full = stored.map(|stored| stored.full).or_else(|| {
        let content = contents(&memory.hash)?;
        Some(count(&Level::Full, Some(content)))
    });
    let summary = memory.summary.as_ref().map(|_| {
        let stored = stored.and_then(|stored| stored.summary);
        stored.unwrap_or_else(|| count(&Level::Summary, None))
    });
    let line = stored
        .map(|stored| stored.line)
        .unwrap_or_else(|| count(&Level::Ref, None));
    let why = match full {
        Some(_) => Why::Strategy,
        None => Why::Unresolved,
    };
    let mut ladder: Vec<(Level, u64)> = Vec::with_capacity(3);
    for (level, tokens) in [(Level::Full, full), (Level::Summary, summary), (Level::Ref, Some(line))] {
        let Some(tokens) = tokens else { continue };
        if ladder.last().is_none_or(|(_, above)| tokens < *above) {
            ladder.push((level, tokens));
        }
    }
    (ladder, why)
}
