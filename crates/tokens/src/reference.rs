//! A second counter for tests: slow, simple, and made of other parts. It splits by the pattern itself and merges as merging
//! is defined, so its time grows with the square of a piece.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::O200k;
use crate::o200k::{Class, class};

/// The alternative that looks ahead, which `regex` does not have.
const LOOK_AHEAD: &str = r"\s+(?!\S)|";

/// The rank of each token, by its bytes.
static RANKS: LazyLock<HashMap<Vec<u8>, u32>> = LazyLock::new(|| tokens().into_iter().zip(0..).collect());

#[expect(clippy::expect_used, reason = "a constant, and only tests use it")]
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let without = O200k::PATTERN.replace(LOOK_AHEAD, "");
    Regex::new(&without).expect("a pattern")
});

/// The bytes of each token, in the order of their ranks.
pub fn tokens() -> Vec<Vec<u8>> {
    crate::o200k::tokens()
}

/// How many tokens this text is.
pub fn count(text: &str) -> u64 {
    pieces(text).iter().map(|piece| merged(piece.as_bytes())).sum()
}

/// The pieces of a text.
pub fn pieces(text: &str) -> Vec<&str> {
    let (shadow, mut rest, mut pieces) = (shadow(text), text, Vec::new());
    let mut rest_of_shadow = shadow.as_str();
    while let Some(found) = PATTERN.find(rest_of_shadow) {
        let mut piece = found.as_str();
        // What `\s+` found without a line feed, `\s+(?!\S)` finds first, if it can: all but the last before other text.
        let blank = piece.chars().all(char::is_whitespace) && !piece.contains(['\r', '\n']);
        if blank && found.end() < rest_of_shadow.len() {
            let mut shorter = piece.chars();
            shorter.next_back();
            if !shorter.as_str().is_empty() {
                piece = shorter.as_str();
            }
        }
        let end = rest.char_indices().nth(piece.chars().count());
        let (piece_of_text, behind) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        pieces.push(piece_of_text);
        rest = behind;
        rest_of_shadow = rest_of_shadow.get(piece.len()..).unwrap_or_default();
    }
    pieces
}

/// The text with a character for each that has the same class in all versions of Unicode: `regex` may know a newer one.
/// Those that the pattern names stay.
fn shadow(text: &str) -> String {
    let sign = |c: char| match class(c) {
        _ if c.is_ascii() || c == 'ſ' => c,
        Class::Other => '€',
        Class::Upper => 'Ä',
        Class::Lower => 'ä',
        Class::Letter => 'ª',
        Class::Mark => '\u{301}',
        Class::Number => '½',
        Class::Line => '\n',
        Class::Blank => '\u{A0}',
    };
    text.chars().map(sign).collect()
}

/// Joins the two neighbours that make the token of the lowest rank, the first of them, until none make any.
fn merged(piece: &[u8]) -> u64 {
    let mut parts: Vec<Vec<u8>> = piece.iter().map(|byte| vec![*byte]).collect();
    loop {
        let neighbours = parts.windows(2).enumerate();
        let ranked = neighbours.filter_map(|(at, two)| Some((*RANKS.get(&two.concat())?, at)));
        let Some((_, at)) = ranked.min() else {
            return parts.len() as u64;
        };
        let right = parts.remove(at + 1);
        if let Some(left) = parts.get_mut(at) {
            left.extend(right);
        }
    }
}
