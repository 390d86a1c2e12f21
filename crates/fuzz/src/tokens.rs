//! How many tokens a text is.

use baton_tokens::{Counter as _, O200k, reference};

/// The longest text that the reference counts: its time grows with the square.
const SHORT: usize = 256;

/// Any text has at most a token for each byte, in time in proportion to its size; a short one has as many as the reference
/// finds, and after a line feed counts add up.
pub(crate) fn tokens(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let counted = O200k.measure(&text);
    let size = text.len() as u64;
    assert!(
        counted.tokens <= size && (counted.tokens > 0) == (size > 0),
        "{counted:?}"
    );
    assert!(counted.steps <= 200 * size + 10, "{counted:?} for {size} bytes");
    if text.len() <= SHORT {
        assert_eq!(counted.tokens, reference::count(&text), "{text:?}");
    }
    if let Some((first, next)) = text.split_once('\n')
        && !next.starts_with(|c: char| c.is_whitespace() || c == '/')
    {
        let first = O200k.count(&format!("{first}\n"));
        assert_eq!(first + O200k.count(next), counted.tokens, "{text:?}");
    }
}
