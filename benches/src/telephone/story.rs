//! What the first agent of a chain knows, and what each one says.

use rand::Rng as _;
use rand::rngs::StdRng;

use baton_tokens::{Counter as _, O200k};

/// How many constraints and facts there are.
const CONSTRAINTS: u32 = 8;
const FACTS: u32 = 40;
/// Lines of the notes of an agent, and of what stands around a fact.
const NOTE_LINES: usize = 40;
const FACT_LINES: usize = 10;
/// A line of what agents write, of about a dozen tokens.
const LINE: &str = "It was looked at again, and nothing else was found there.\n";

/// A piece of text, and how many tokens it is.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) tokens: u64,
}

impl Piece {
    fn of(text: String) -> Self {
        let tokens = O200k.count(&text);
        Self { text, tokens }
    }
}

/// A chain.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) number: u32,
    /// How many agents it has.
    pub(super) agents: u32,
    pub(super) constraints: Vec<Piece>,
    pub(super) facts: Vec<Piece>,
    /// The notes of each agent but the last.
    pub(super) notes: Vec<Piece>,
    /// Which fact the last one needs.
    pub(super) needed: usize,
}

impl Story {
    pub(super) fn of(number: u32, agents: u32, random: &mut StdRng) -> Self {
        let constraint = |of: u32| {
            Piece::of(format!(
                "Rule {of}: never more than {} at a time.",
                random_number(number, of)
            ))
        };
        let fact = |of: u32| {
            let secret = random_number(number, 1_000 + of);
            Piece::of(format!(
                "Fact {of}: shelf {secret} holds part {of}.\n{}",
                LINE.repeat(FACT_LINES)
            ))
        };
        let note = |of: u32| Piece::of(format!("Agent {of} of chain {number}:\n{}", LINE.repeat(NOTE_LINES)));
        Self {
            number,
            agents,
            constraints: (0..CONSTRAINTS).map(constraint).collect(),
            facts: (0..FACTS).map(fact).collect(),
            notes: (1..agents).map(note).collect(),
            needed: random.random_range(0..FACTS as usize),
        }
    }

    pub(super) fn needed(&self) -> Option<&Piece> {
        self.facts.get(self.needed)
    }
}

/// A number that belongs to a chain and a place in it.
fn random_number(chain: u32, place: u32) -> u32 {
    let mixed = (u64::from(chain) << 32 | u64::from(place)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 44).unwrap_or_default()
}
