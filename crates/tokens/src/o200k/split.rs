//! The pieces that a text is split into before anything is merged.
//!
//! Written by hand, as the pattern looks ahead (`\s+(?!\S)`), which linear engines cannot do and others do by going back.
//! At each place one of four kinds of piece begins. Finding its end takes time in proportion to the piece, or to what the
//! next piece then takes whole: no character is looked at more than a few times.

use std::str::Chars;

use super::class::{Class, class};

/// The pattern as tiktoken has it. The first that matches counts, at each place.
pub(super) const PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"|\s*[\r\n]+",
    r"|\s+(?!\S)",
    r"|\s+",
);

/// The pieces of a text, in their order; together they are the text.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    rest: &'a str,
    steps: u64,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: text, steps: 0 }
    }

    /// How many characters were looked at until now.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let mut walk = Walk {
            rest: self.rest.chars(),
            steps: &mut self.steps,
        };
        walk.peek()?;
        walk.piece();
        let left = walk.rest.as_str().len();
        let (piece, rest) = self.rest.split_at_checked(self.rest.len() - left)?;
        self.rest = rest;
        Some(piece)
    }
}

/// A place in the text that goes on to the end of a piece.
struct Walk<'a, 'b> {
    rest: Chars<'a>,
    steps: &'b mut u64,
}

impl Walk<'_, '_> {
    fn peek(&mut self) -> Option<Class> {
        *self.steps += 1;
        self.rest.clone().next().map(class)
    }

    /// Passes a character of one of these classes.
    fn pass(&mut self, wanted: impl Fn(Class) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.rest.next();
        }
        found
    }

    fn pass_char(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        *self.steps += 1;
        let found = self.rest.clone().next().is_some_and(wanted);
        if found {
            self.rest.next();
        }
        found
    }

    /// Passes one piece. Each character begins one of these.
    fn piece(&mut self) {
        if self.word() || self.number() || self.signs() {
            return;
        }
        self.blanks();
    }

    /// The first two alternatives: capitals and then small letters, where letters without case and marks are both, with at
    /// most one other character before them and an English ending behind.
    fn word(&mut self) -> bool {
        let start = self.rest.clone();
        // A mark is before the letters, as any sign may be, or one of them.
        let mark = self.peek() == Some(Class::Mark);
        self.pass(|class| matches!(class, Class::Mark | Class::Blank | Class::Other));
        let first = self.rest.clone();
        let mut both = mark.then(|| first.clone());
        let next = loop {
            let next = self.peek();
            if !next.is_some_and(|class| class == Class::Upper || class.is_both()) {
                break next;
            }
            self.rest.next();
            if next != Some(Class::Upper) {
                both = Some(self.rest.clone());
            }
        };
        if next == Some(Class::Lower) {
            while self.pass(|class| class == Class::Lower || class.is_both()) {}
        } else if let Some(both) = both {
            // Something that is a small letter has to be the last: the capitals behind it are the next word.
            self.rest = both;
        } else if self.rest.as_str().len() == first.as_str().len() {
            self.rest = start;
            return false;
        }
        self.ending();
        true
    }

    /// `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d`, in any case; the long s is one.
    fn ending(&mut self) {
        let start = self.rest.clone();
        if !self.pass_char(|c| c == '\'') {
            return;
        }
        let one = self.pass_char(|c| matches!(c, 's' | 'S' | 'ſ' | 't' | 'T' | 'm' | 'M' | 'd' | 'D'));
        let two = |walk: &mut Self, first: char, second: char| {
            let after = walk.rest.clone();
            let found = walk.pass_char(|c| c.eq_ignore_ascii_case(&first))
                && walk.pass_char(|c| c.eq_ignore_ascii_case(&second));
            if !found {
                walk.rest = after;
            }
            found
        };
        if !(one || two(self, 'r', 'e') || two(self, 'v', 'e') || two(self, 'l', 'l')) {
            self.rest = start;
        }
    }

    /// One to three digits.
    fn number(&mut self) -> bool {
        let digit = |class| class == Class::Number;
        if !self.pass(digit) {
            return false;
        }
        if self.pass(digit) {
            self.pass(digit);
        }
        true
    }

    /// Signs, with at most one space before them, and line feeds and slashes behind.
    fn signs(&mut self) -> bool {
        let start = self.rest.clone();
        self.pass_char(|c| c == ' ');
        let sign = |class| matches!(class, Class::Mark | Class::Other);
        if !self.pass(sign) {
            self.rest = start;
            return false;
        }
        while self.pass(sign) {}
        while self.pass_char(|c| matches!(c, '\r' | '\n' | '/')) {}
        true
    }

    /// White space: up to its last line feed; without any, all but the last, which goes with what follows.
    fn blanks(&mut self) {
        let start = self.rest.as_str().len();
        let (mut line, mut last) = (None, None);
        loop {
            let here = self.rest.clone();
            if self.pass(|class| class == Class::Line) {
                line = Some(self.rest.clone());
            } else if !self.pass(|class| class == Class::Blank) {
                break;
            }
            last = (here.as_str().len() < start).then_some(here);
        }
        let behind = self.rest.as_str();
        let end = line.or(last.filter(|_| !behind.is_empty()));
        self.rest = end.unwrap_or_else(|| behind.chars());
    }
}
