//! Searching the memories of spaces by words.

use serde::{Deserialize, Serialize};

use super::error::ControlError;
use crate::base::codes;
use crate::base::names::SpaceName;
use crate::base::text::quoted;
use crate::context::MemoryKey;

/// How many memories a search gives where it does not say.
pub const SEARCH_LIMIT: u32 = 20;
/// How many memories a search gives at most.
pub const SEARCH_MOST: u32 = 100;
/// How many words a search has at most.
const MOST_WORDS: usize = 32;
/// How many characters of them a refusal shows.
const SHOWN: usize = 60;
/// How many bytes the words have at most.
const MOST_BYTES: usize = 1024;

/// Searches the memories of spaces, as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchMemories {
    /// Words, all of which a memory must have. One with a `*` at its end stands for every word that begins so.
    pub words: String,
    /// Only the memories of this space.
    #[serde(default)]
    pub space: Option<SpaceName>,
    /// The most memories to return, from 1 to [`SEARCH_MOST`].
    #[serde(default = "search_limit")]
    pub limit: u32,
}

const fn search_limit() -> u32 {
    SEARCH_LIMIT
}

/// One of the words of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchWord {
    /// The word: without white space, control characters and quotes, and with a letter or a digit.
    pub text: String,
    /// Whether it stands for every word that begins so.
    pub is_prefix: bool,
}

impl SearchMemories {
    /// The words to search for, where all that is asked can be answered. What has no letter and no digit is no word and is left
    /// out, and no sign in a word has a meaning but the `*` at its end.
    ///
    /// # Errors
    /// Names the field, its value and the fix.
    pub fn checked(&self) -> Result<Vec<SearchWord>, ControlError> {
        let refused = |message: String, fix: &str| Err(ControlError::new(codes::BAD_REQUEST, message, fix));
        if !(1..=SEARCH_MOST).contains(&self.limit) {
            let message = format!("`limit` is {}, expected 1 to {SEARCH_MOST}", self.limit);
            return refused(message, "leave it out for 20; a further word finds less");
        }
        if self.words.len() > MOST_BYTES {
            let message = format!("`words` has {} bytes, expected at most {MOST_BYTES}", self.words.len());
            return refused(message, "search for a few words of what is sought");
        }
        let words: Vec<SearchWord> = self.words.split(is_between).filter_map(SearchWord::of).collect();
        if words.is_empty() {
            let message = format!("`words` is \"{}\", which has no word", quoted(&self.words, SHOWN));
            return refused(
                message,
                "give a word with a letter or a digit, such as payments or pay*",
            );
        }
        if words.len() > MOST_WORDS {
            let message = format!("`words` has {} words, expected at most {MOST_WORDS}", words.len());
            return refused(message, "search for a few words of what is sought");
        }
        Ok(words)
    }
}

/// Whether a character stands between words.
fn is_between(c: char) -> bool {
    c.is_whitespace() || c.is_control() || c == '"'
}

impl SearchWord {
    fn of(part: &str) -> Option<Self> {
        let text = part.trim_end_matches('*');
        text.contains(char::is_alphanumeric).then(|| Self {
            is_prefix: text.len() < part.len() && text.ends_with(char::is_alphanumeric),
            text: text.to_owned(),
        })
    }
}

/// What a search has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundMemories {
    /// The memories that have all of the words, the best first.
    pub memories: Vec<FoundMemory>,
    /// Whether there are more of them.
    pub more: bool,
    /// Up to which revision the spaces were searched; 0 where they have none.
    pub through: u64,
    /// How many revisions that were written before the question were not searched: 0, but where the controller could not read
    /// them in time.
    pub behind: u64,
}

/// A memory that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundMemory {
    /// Its space.
    pub space: SpaceName,
    /// Its id in the space.
    pub id: MemoryKey,
    /// Its newest revision.
    pub revision: u64,
    /// What it is, such as `decision`.
    pub kind: String,
    /// One line that says what it is about.
    pub title: Option<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Some words around those that were found, on one line.
    pub snippet: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(words: &str) -> SearchMemories {
        SearchMemories {
            words: words.to_owned(),
            space: None,
            limit: SEARCH_LIMIT,
        }
    }

    fn word(text: &str, is_prefix: bool) -> SearchWord {
        SearchWord {
            text: text.to_owned(),
            is_prefix,
        }
    }

    #[test]
    fn words_are_what_has_a_letter_or_a_digit() {
        let words = |text: &str| search(text).checked().expect("words");
        assert_eq!(words("Retry payments"), [word("Retry", false), word("payments", false)]);
        assert_eq!(
            words(" pay*\tms-4821 * - AND "),
            [word("pay", true), word("ms-4821", false), word("AND", false)]
        );
        assert_eq!(
            words("\"a b\"c*d**"),
            [word("a", false), word("b", false), word("c*d", true)]
        );
        assert_eq!(
            words("don't (x) title:y é\0z"),
            [
                word("don't", false),
                word("(x)", false),
                word("title:y", false),
                word("é", false),
                word("z", false),
            ]
        );
        assert_eq!(words("x-*"), [word("x-", false)], "no word begins with a sign");
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_its_value_and_the_fix() {
        let of_limit = |limit| SearchMemories { limit, ..search("x") };
        let cases = [
            (search(""), "`words` is \"\", which has no word"),
            (search(" -- \"*\" "), "`words` is \" -- \"*\" \", which has no word"),
            (search("\u{1b}[?"), "`words` is \"\\u{1b}[?\", which has no word"),
            (
                search(&"x".repeat(1025)),
                "`words` has 1025 bytes, expected at most 1024",
            ),
            (search(&"x ".repeat(33)), "`words` has 33 words, expected at most 32"),
            (of_limit(0), "`limit` is 0, expected 1 to 100"),
            (of_limit(101), "`limit` is 101, expected 1 to 100"),
        ];
        for (asked, said) in cases {
            let refused = asked.checked().expect_err(said);
            assert_eq!(
                (refused.code.as_str(), refused.message.as_str()),
                (codes::BAD_REQUEST, said)
            );
            assert!(!refused.fix.is_empty(), "{said}");
        }
    }
}
