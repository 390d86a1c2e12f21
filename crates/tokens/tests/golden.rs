//! The counter against what Python's tiktoken counted, and what its id stands for.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panic")]

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use baton_tokens::{Counter, Factor, O200k, counter, reference};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// A text, and how many tokens `tiktoken.Encoding.encode(text, disallowed_special=())` found.
#[derive(Deserialize)]
struct Golden {
    text: String,
    tokens: u64,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("golden/counts.json")).expect("a list")
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all");
        text
    })
}

#[test]
fn two_hundred_texts_have_as_many_tokens_as_tiktoken_finds() {
    let texts = golden();
    assert_eq!(texts.len(), 200);
    for Golden { text, tokens } in texts {
        assert_eq!(O200k.count(&text), tokens, "{text:?}");
    }
}

/// So that an error in what both counters share is noticed, and one of the reference too.
#[test]
fn the_reference_counts_the_same() {
    for Golden { text, tokens } in golden() {
        assert_eq!(reference::count(&text), tokens, "{text:?}");
    }
}

/// Who changes one of these hashes changes counts that are stored under this id: it takes another id.
#[test]
fn the_id_stands_for_this_vocabulary_this_pattern_and_these_classes() {
    assert_eq!(O200k.id(), "o200k_base#1");
    let mut published = String::new();
    for (rank, token) in reference::tokens().iter().enumerate() {
        writeln!(published, "{} {rank}", BASE64_STANDARD.encode(token)).unwrap();
    }
    assert_eq!(
        sha256(published),
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
    );
    assert_eq!(
        sha256(O200k::PATTERN),
        "2d1b8dc11e89af71459b36004f698ab3693f59fd84f63e8ec2b49564ab857420"
    );
    assert_eq!(
        sha256(include_bytes!("../src/o200k/classes.rs")),
        "c588c7d7888bdf65389c35b60eae3e33b1bbea0fd4fe9ebbd59baa24720998d4"
    );
}

/// Nothing in a text makes it another text: a model's own markers are spelled out.
#[test]
fn what_looks_like_a_special_token_is_plain_text() {
    assert_eq!(O200k.count("<|endoftext|>"), 7);
    assert_eq!(O200k.count("<|endofprompt|>"), 7);
}

#[test]
fn a_counter_is_found_by_its_id_and_by_its_name() {
    for name in ["o200k_base", "o200k_base#1"] {
        let found: &dyn Counter = counter(name).expect("the one there is");
        assert_eq!(found.id(), O200k::ID);
    }
    for name in ["", "o200k_base#2", "O200K_BASE", "cl100k_base", "claude"] {
        assert!(counter(name).is_none(), "{name}");
    }
    // What to do then.
    let cautious = Factor::from_thousandths(1_300).unwrap();
    assert_eq!(cautious.of(O200k.count("Hand the invoice to the next agent.")), 11);
}
