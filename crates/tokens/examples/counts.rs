//! Counts the tokens of each line of standard input, a JSON string each: for `vocabulary/compare.py`.
#![expect(clippy::print_stdout, reason = "the counts are what it is for")]

use std::io::BufRead as _;

use baton_tokens::{Counter as _, O200k};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        println!("{}", O200k.count(&text));
    }
    Ok(())
}
