//! What holds for any text.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panic")]

use baton_tokens::{Counter as _, O200k, reference};
use proptest::prelude::*;

/// What the pattern and the merging treat in ways of their own, and what hostile texts are made of.
#[rustfmt::skip]
const WORDS: [&str; 40] = [
    "a", "A", "x", "Ab", "aB", "the", " the", "'s", "'LL", "'ſ", "'", "1", "123", "٣", "½", " ", "  ", "\t", "\n", "\r\n",
    "\u{a0}", "\u{2028}", "/", "//\n", "!", " !", "\\", "é", "e\u{301}", "\u{301}", "中", "中A", "ǅ", "ʰ", "🦀", "👩‍🚀",
    "<|endoftext|>", "\0", "\u{10FFFF}", "ß",
];

fn texts() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[a-zA-Z]{1,12}",
    ];
    let few = (proptest::sample::select(&WORDS[..]), 1..80_usize).prop_map(|(word, times)| word.repeat(times));
    let many = proptest::collection::vec(word, 0..40).prop_map(|words| words.concat());
    prop_oneof![6 => many, 1 => few]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_count_is_that_of_the_reference(text in texts()) {
        prop_assert_eq!(O200k.count(&text), reference::count(&text));
    }

    /// So items that end with a line feed can be counted one by one.
    #[test]
    fn counts_add_up_after_a_line_feed_and_before_other_text(first in texts(), next in texts()) {
        let first = first + "\n";
        let next = next.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        let both = O200k.count(&format!("{first}{next}"));
        prop_assert_eq!(both, O200k.count(&first) + O200k.count(next));
    }

    /// So no piece by itself is split otherwise, and nothing is merged across the end of one.
    #[test]
    fn counts_of_the_pieces_add_up(text in texts()) {
        let pieces = reference::pieces(&text);
        prop_assert_eq!(pieces.concat(), text.clone());
        let sum: u64 = pieces.iter().map(|piece| O200k.count(piece)).sum();
        prop_assert_eq!(O200k.count(&text), sum);
    }

    #[test]
    fn a_text_has_at_most_one_token_for_each_byte(text in texts()) {
        let tokens = O200k.count(&text);
        prop_assert!(tokens <= text.len() as u64);
        prop_assert_eq!(tokens == 0, text.is_empty());
    }
}

/// What others take the square of the time for, overflow on, or never come back from: runs of one thing.
fn hostile() -> Vec<(&'static str, String)> {
    let size = 1 << 20;
    let of = |name, unit: &str| (name, unit.repeat(size / unit.len()));
    vec![
        of("one letter", "x"),
        of("capitals", "A"),
        of("capitals behind a mark", "\u{301}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        of("letters without case", "中"),
        of("letters without case and capitals", "中A"),
        of("blanks", " "),
        of("blanks and a letter", "                               x"),
        of("line feeds", "\n"),
        of("line feeds and blanks", "\n "),
        of("tabs", "\t"),
        of("marks", "\u{301}"),
        of("a letter and marks", "e\u{301}\u{302}\u{303}"),
        of("emoji", "🦀"),
        of("emoji of many parts", "👩‍👩‍👧‍👦"),
        of("digits", "7"),
        of("signs", "!"),
        of("slashes", "/"),
        of("apostrophes", "'"),
        of("endings", "'s"),
        of("base64", "QmF0b24gaGFuZHMgb24u"),
        of("nulls", "\0"),
        of("two letters", "ab"),
        of("pairs that merge back", "ndand"),
    ]
}

/// The beginning of a text: so many bytes, or a few less.
fn start(text: &str, bytes: usize) -> &str {
    (0..=bytes).rev().find_map(|end| text.get(..end)).unwrap()
}

/// A sixteenth of a text takes a sixteenth of the steps: neither clock nor machine matters. The short ones come first, so
/// that a failure does not take hours.
#[test]
fn hostile_texts_take_steps_in_proportion_to_their_size() {
    for (name, text) in hostile() {
        for part in [64, 1] {
            let (large, small) = (start(&text, text.len() / part), start(&text, text.len() / part / 16));
            let (more, less) = (O200k.measure(large), O200k.measure(small));
            let [bytes, fewer] = [large, small].map(|text| text.len() as u64);
            let told = format!("{name}: {less:?} for {fewer} bytes, {more:?} for {bytes}");
            assert!(more.steps * fewer <= less.steps * bytes * 11 / 10, "{told}");
            assert!(more.tokens > 0 && more.steps <= 200 * bytes, "{told}");
        }
    }
}
