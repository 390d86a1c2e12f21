//! The kept corpus, and seeded changes of it, without instrumentation: what every test run looks at.
//!
//! `BATON_FUZZ_SEED` repeats a run; `BATON_FUZZ_CHANGES` sets how many changes each target gets.

use std::fs;
use std::path::Path;

use baton_fuzz::TARGETS;

/// How many changed inputs each target gets: a few seconds for all of them.
const CHANGES: usize = 20_000;
/// What documents are made of, to be put in anywhere.
const WORDS: [&str; 16] = [
    "null",
    "{}",
    "[]",
    "\"",
    "\\u0000",
    "1e999",
    "-0.0",
    "18446744073709551616",
    "\"protocol\":\"1.0\"",
    ".",
    "*",
    ">",
    "_",
    "\n\n",
    "Baton-Priority: 0\n",
    "9999-12-31T23:59:59.999Z",
];

/// A small generator (xorshift64*): the same seed gives the same inputs everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(roll).expect("31 bits") % sides.max(1)
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a corpus")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    files.iter().map(|path| fs::read(path).expect("an input")).collect()
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(16)).min(bytes.len());
    match dice.below(6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = u8::try_from(dice.below(256)).expect("a byte"),
        2 => drop(bytes.drain(at..end)),
        3 => drop(bytes.splice(at..at, WORDS[dice.below(WORDS.len())].bytes())),
        4 => drop(bytes.splice(at..end, bytes[at..end].repeat(2))),
        _ => {
            let from = dice.below(other.len() + 1);
            let to = (from + dice.below(64)).min(other.len());
            drop(bytes.splice(at..end, other[from..to].iter().copied()));
        }
    }
}

/// `crates/fuzz/run` and the nightly run take their targets from the folders.
#[test]
fn every_folder_of_the_corpus_is_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("a folder").file_name());
    let mut found: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    found.sort();
    let mut targets = TARGETS.map(|(name, _)| name.to_owned());
    targets.sort();
    assert_eq!(found, targets);
}

#[test]
fn the_corpus_and_seeded_changes_of_it_hold() {
    let seed = number("BATON_FUZZ_SEED").unwrap_or(u64::from(std::process::id()) | 1 << 40);
    let changes = number("BATON_FUZZ_CHANGES").map_or(CHANGES, |count| usize::try_from(count).expect("a count"));
    println!("BATON_FUZZ_SEED={seed}");
    for (name, check) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        let mut dice = Dice(seed.max(1));
        let mut last = Vec::new();
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for input in &corpus {
                last.clone_from(input);
                check(input);
            }
            for _ in 0..changes {
                let other = &corpus[dice.below(corpus.len())];
                last.clone_from(&corpus[dice.below(corpus.len())]);
                for _ in 0..=dice.below(4) {
                    change(&mut last, other, &mut dice);
                }
                check(&last);
            }
        }));
        assert!(
            checked.is_ok(),
            "{name} fails with seed {seed} on {:?}",
            String::from_utf8_lossy(&last)
        );
    }
}
