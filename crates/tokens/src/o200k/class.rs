//! What the pattern tells apart: one class for each character.

use super::classes::RANGES;

/// A class of characters. The numbers are those of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Whatever has no other class: signs, symbols, controls, and what Unicode had not assigned.
    Other = 0,
    /// `Lu` and `Lt`.
    Upper = 1,
    /// `Ll`.
    Lower = 2,
    /// `Lm` and `Lo`: letters that stand for both cases.
    Letter = 3,
    /// `M`: what is put on a letter.
    Mark = 4,
    /// `N`.
    Number = 5,
    /// Carriage return and line feed.
    Line = 6,
    /// All other white space.
    Blank = 7,
}

impl Class {
    /// Whether the pattern takes it both among capitals and among small letters.
    pub(super) fn is_both(self) -> bool {
        matches!(self, Self::Letter | Self::Mark)
    }

    const fn of_number(number: u32) -> Self {
        match number {
            1 => Self::Upper,
            2 => Self::Lower,
            3 => Self::Letter,
            4 => Self::Mark,
            5 => Self::Number,
            6 => Self::Line,
            7 => Self::Blank,
            _ => Self::Other,
        }
    }
}

/// The class of a character.
pub(crate) fn class(c: char) -> Class {
    match c {
        'a'..='z' => Class::Lower,
        'A'..='Z' => Class::Upper,
        ' ' => Class::Blank,
        _ => from_table(c),
    }
}

/// An entry of the table is the first character of a range and, in the lowest three bits, the class of all in it.
fn from_table(c: char) -> Class {
    let key = u32::from(c) << 3 | 7;
    let after = RANGES.partition_point(|range| *range <= key);
    let range = after.checked_sub(1).and_then(|at| RANGES.get(at));
    range.map_or(Class::Other, |range| Class::of_number(range & 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_has_the_class_of_its_range() {
        let found = "aZǅʰ中\u{301}٣\r\n\t\u{2003}!🦀\u{10FFFF}".chars().map(class);
        use Class::*;
        let expected = [
            Lower, Upper, Upper, Letter, Letter, Mark, Number, Line, Line, Blank, Blank, Other, Other, Other,
        ];
        assert!(found.eq(expected));
    }

    #[test]
    fn the_shortcuts_say_what_the_table_says() {
        assert!(('\0'..='\u{7F}').all(|c| class(c) == from_table(c)));
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(RANGES.is_sorted_by(|one, next| one >> 3 < next >> 3));
    }
}
