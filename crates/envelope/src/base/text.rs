//! Short texts that travel in headers and in the environment of programs: what they may hold, how a bad one is quoted,
//! and how any text is shown to a person.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What a text of one line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Any characters but control characters.
    Text,
    /// Printable ASCII, spaces allowed.
    Ascii,
}

/// What is wrong with a text of one line; `None` when nothing is.
pub(crate) fn line_problem(text: &str, line: Line, limit: usize) -> Option<String> {
    if text.len() > limit {
        return Some(format!("has {} bytes, more than {limit}", text.len()));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Some(format!("holds the control character U+{:04X}", u32::from(bad)));
    }
    if line == Line::Ascii
        && let Some(bad) = text.chars().find(|c| !c.is_ascii())
    {
        return Some(format!("holds {bad}, which is not ASCII"));
    }
    None
}

/// Bytes as printable ASCII, for a message: at most `limit` of them, what cannot be printed as `\xNN`.
pub fn escaped(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(limit) {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            0x20..=0x7e => text.push(char::from(*byte)),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{other:02x}");
            }
        }
    }
    if bytes.len() > limit {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}

/// A text for a message: at most `limit` characters, shown as [`shown`] shows them.
pub fn quoted(text: &str, limit: usize) -> String {
    let Some((cut, _)) = text.char_indices().nth(limit) else {
        return shown(text).into_owned();
    };
    let short = text.get(..cut).unwrap_or(text);
    format!("{}... ({} bytes)", shown(short), text.len())
}

/// A text as a person may see it, on one line. Characters that a terminal obeys, that reorder what is read, that have no
/// width or that break the line stand as Rust writes them in a string: `\n`, `\u{1b}`, `\u{202e}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    escape(text, is_hidden)
}

/// As [`shown`], for a text that may have lines: its line breaks and tabs stay.
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_hidden(c) && !matches!(c, '\n' | '\t'))
}

/// A text as one word of a command that a person may copy: as it is where a shell leaves it alone, else in quotes, shown as
/// [`shown`] shows it.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", shown(text).replace('\'', "'\\''")))
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().saturating_mul(2));
    for c in text.chars() {
        if is_escaped(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character acts on the reader and is not seen: controls, line separators, and what Unicode calls "default
/// ignorable" or gives the general category "format" (marks of direction, zero widths, fillers, tags).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_the_reader_is_seen_as_an_escape() {
        for (text, expected) in [
            ("plain ä 漢 🦦", "plain ä 漢 🦦"),
            ("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c"),
            ("a\u{200b}b\u{feff}c", "a\\u{200b}b\\u{feff}c"),
            ("a\u{2028}b\u{e0041}c", "a\\u{2028}b\\u{e0041}c"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        assert_eq!(shown_lines("a\n\tb\rc\x1b"), "a\n\tb\\rc\\u{1b}");
    }

    #[test]
    fn no_control_character_and_no_mark_of_direction_is_left() {
        for c in '\0'..=char::MAX {
            let (text, line) = (c.to_string(), shown(&c.to_string()).into_owned());
            assert!(!line.chars().any(char::is_control), "{c:?}");
            assert!(line == text || line.is_ascii(), "{c:?}: {line}");
        }
    }

    #[test]
    fn a_word_to_copy_is_one_word_and_nothing_else() {
        for (text, expected) in [
            ("order-1", "order-1"),
            ("route/code", "route/code"),
            ("", "''"),
            ("a b", "'a b'"),
            ("a;reboot", "'a;reboot'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", "'it'\\''s'"),
            ("a\nreboot", "'a\\nreboot'"),
            ("~", "'~'"),
            ("ä", "'ä'"),
        ] {
            assert_eq!(shell_word(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_quoted_text_is_cut_between_characters() {
        assert_eq!(quoted("ä\x1bbc", 2), "ä\\u{1b}... (5 bytes)");
        assert_eq!(quoted("äb", 2), "äb");
    }
}
