//! Short texts that travel in headers and in the environment of programs: what they may hold, and how a bad one is
//! quoted.

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

/// A text for a message: at most `limit` characters, control characters as Rust writes them in a string.
pub fn quoted(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).fold(String::new(), |mut short, c| {
        if c.is_control() {
            short.extend(c.escape_default());
        } else {
            short.push(c);
        }
        short
    });
    if text.chars().nth(limit).is_some() {
        let _ = write!(short, "... ({} bytes)", text.len());
    }
    short
}
