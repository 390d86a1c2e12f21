//! How many tokens the bytes of a piece are merged into.
//!
//! Merging as it is defined joins, again and again, the two neighbours that make the token of the lowest rank, which takes
//! time in proportion to the square of the piece. This finds the same tokens from left to right: it takes the longest token
//! that follows, and keeps it if merging would leave it beside the one before; else a shorter one; else it takes the one
//! before back. A place that was given up once is never come back to, so each byte is taken and given back once at most.
//! That two tokens stay side by side depends on these two alone. The idea is that of the crate `bpe` by GitHub.

use super::vocabulary::Vocabulary;

/// Counts piece after piece; it keeps its memory.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    vocabulary: &'a Vocabulary,
    /// The tokens taken so far.
    taken: Vec<u32>,
    /// A bit for each place of the piece that was not given up.
    open: Vec<u64>,
    steps: u64,
}

impl<'a> Merge<'a> {
    pub(super) fn with(vocabulary: &'a Vocabulary) -> Self {
        Self {
            vocabulary,
            taken: Vec::new(),
            open: Vec::new(),
            steps: 0,
        }
    }

    /// How many cells were looked at until now.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// How many tokens this piece is.
    pub(super) fn count(&mut self, piece: &[u8]) -> u64 {
        let Some(whole) = self.longest(piece) else { return 0 };
        if self.vocabulary.length(whole) == piece.len() {
            return 1;
        }
        self.taken.clear();
        self.open.clear();
        self.open.resize(piece.len() / 64 + 1, u64::MAX);
        let (mut at, mut next) = (0, Some(whole));
        while let Some(token) = next {
            let last = self.taken.last().copied();
            if let Some((taken, end)) = self.fitting(token, at, last) {
                self.taken.push(taken);
                at = end;
                next = piece.get(at..).and_then(|rest| self.longest(rest));
            } else {
                self.give_up(at);
                self.taken.pop();
                at -= last.map_or(0, |last| self.vocabulary.length(last));
                next = last;
            }
        }
        self.taken.len() as u64
    }

    /// The longest token at this place that is no longer than this one, ends where it is open, and stays beside the last.
    fn fitting(&mut self, token: u32, at: usize, last: Option<u32>) -> Option<(u32, usize)> {
        let mut token = Some(token);
        while let Some(tried) = token {
            let end = at + self.vocabulary.length(tried);
            if self.is_open(end) && last.is_none_or(|last| self.stay_apart(last, tried)) {
                return Some((tried, end));
            }
            self.steps += 1;
            token = self.vocabulary.shorter(tried);
        }
        None
    }

    /// Whether merging leaves these two side by side: takes both apart in the reverse order of their making, and looks
    /// whether what stood at the seam at that time would have been joined first.
    fn stay_apart(&mut self, mut left: u32, mut right: u32) -> bool {
        // Nothing of this rank or above had been made at that time.
        let mut limit = u32::MAX;
        loop {
            let (joined, looked) = self.vocabulary.joined(left, right);
            self.steps += looked;
            if joined.is_some_and(|joined| joined < limit) {
                return false;
            }
            // The one of the higher rank was made later. Of two equal ones, merging makes the left one first.
            match (self.vocabulary.parts(left), self.vocabulary.parts(right)) {
                (None, None) => return true,
                (Some((_, inner)), None) => (limit, left) = (left, inner),
                (Some((_, inner)), Some(_)) if left > right => (limit, left) = (left, inner),
                (_, Some((inner, _))) => (limit, right) = (right + 1, inner),
            }
        }
    }

    fn longest(&mut self, text: &[u8]) -> Option<u32> {
        let (longest, looked) = self.vocabulary.longest(text);
        self.steps += looked;
        longest
    }

    fn is_open(&self, at: usize) -> bool {
        self.open.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn give_up(&mut self, at: usize) {
        if let Some(word) = self.open.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }
}
