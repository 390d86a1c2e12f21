//! What people do without Baton.

use rand::Rng as _;
use rand::rngs::StdRng;

use super::story::{Piece, Story};
use super::{BUDGET, RETELLING_LOSES, Told};

/// Each agent tells the next what it knows, and each thing is lost now and then.
pub(super) fn retell(story: &Story, luck: &mut StdRng) -> Told {
    let mut constraints: Vec<&Piece> = story.constraints.iter().collect();
    let mut facts: Vec<(usize, &Piece)> = story.facts.iter().enumerate().collect();
    let mut told = Told::default();
    for notes in &story.notes {
        let mut keeps = || luck.random_range(0..100) >= RETELLING_LOSES;
        constraints.retain(|_| keeps());
        facts.retain(|_| keeps());
        told.handoffs += 1;
        told.with_constraints += u64::from(constraints.len() == story.constraints.len());
        let said = constraints.iter().copied().chain(facts.iter().map(|(_, fact)| *fact));
        for piece in said.chain([notes]) {
            told.tokens += piece.tokens;
            told.bytes += piece.text.len() as u64;
        }
    }
    told.in_view = facts.iter().any(|(at, _)| *at == story.needed);
    told.had = told.in_view;
    told
}

/// All that was said goes on, as far as the last tokens reach.
pub(super) fn last_tokens(story: &Story) -> Told {
    let mut said: Vec<&Piece> = story.constraints.iter().chain(&story.facts).collect();
    let mut told = Told::default();
    for notes in &story.notes {
        said.push(notes);
        let mut left = BUDGET;
        let fits = |piece: &&&Piece| {
            let fits = piece.tokens <= left;
            left = if fits { left - piece.tokens } else { 0 };
            fits
        };
        let count = said.iter().rev().take_while(fits).count();
        said.drain(..said.len() - count);
        let kept = |piece: &Piece| said.iter().any(|there| std::ptr::eq(*there, piece));
        told.handoffs += 1;
        told.with_constraints += u64::from(story.constraints.iter().all(kept));
        told.tokens += said.iter().map(|piece| piece.tokens).sum::<u64>();
        told.bytes += said.iter().map(|piece| piece.text.len() as u64).sum::<u64>();
        told.in_view = story.needed().is_some_and(kept);
    }
    told.had = told.in_view;
    told
}
