//! Codes stand in one list: no source writes one by hand. Reads sources; runs nothing.

use anyhow::{Result, ensure};
use baton_envelope::codes;

use crate::layers::{Source, files, nothing};

/// The list itself, and what must not share a mistake with the runtime, or is in no product.
const LEFT_OUT: [&str; 5] = [
    "crates/envelope/src/base/codes.rs",
    "crates/checker/",
    "crates/model/",
    "crates/testkit/",
    "crates/faults/",
];
/// What a table may have above a column, though it is a code, too.
const HEADINGS: [&str; 2] = ["BUSY", "FAILED"];
/// What takes a code first. The demo's agents are handlers, and choose codes of their own.
const TAKERS: [&str; 9] = [
    "Fault::terminal(",
    ".with_code(",
    "ErrorInfo::new(",
    "Rejection::new(",
    "ControlError::new(",
    "Refused::new(",
    "ReplayAnswer::refused(",
    ".code(",
    "code:",
];

/// The sources of all crates and of the benchmarks, each without comments and without its unit tests.
fn sources() -> Result<Vec<(String, String)>> {
    let mut found = files("crates", ".rs")?;
    found.extend(files("benches/src", ".rs")?);
    let is_product = |source: &Source| {
        source.path.contains("/src/")
            && !["tests", "fixtures"].iter().any(|word| source.path.contains(word))
            && !LEFT_OUT.iter().any(|left_out| source.path.starts_with(left_out))
    };
    let found: Vec<(String, String)> = found
        .into_iter()
        .filter(is_product)
        .map(|source| {
            let code = source.code();
            let (code, _) = code.split_once("#[cfg(test)]").unwrap_or((&code, ""));
            (source.path, code.to_owned())
        })
        .collect();
    ensure!(found.len() > 200, "only {} sources were found", found.len());
    Ok(found)
}

#[test]
fn no_source_writes_a_code_of_the_list_by_hand() -> Result<()> {
    let mut wrong = Vec::new();
    for (path, code) in sources()? {
        for name in codes::ALL.iter().map(|code| code.name) {
            let is_heading = HEADINGS.contains(&name) && path.starts_with("crates/cli/");
            if !is_heading && code.contains(&format!("\"{name}\"")) {
                wrong.push(format!("{path} writes \"{name}\": name codes::{name}"));
            }
        }
        if code.contains("\"EXIT_") {
            wrong.push(format!("{path} writes an exit code by hand: call codes::exit"));
        }
    }
    nothing(wrong)
}

/// A text is for people. The one exception reads what the JSON library says, to name the field.
#[test]
fn no_source_decides_by_the_text_of_an_error() -> Result<()> {
    let deciders = [
        "contains(",
        "starts_with(",
        "ends_with(",
        "strip_prefix(",
        "find(",
        "eq(",
    ];
    let mut wrong = Vec::new();
    for (path, code) in sources()? {
        if path == "crates/envelope/src/base/error.rs" {
            continue;
        }
        let dense: String = code.split_whitespace().collect();
        for text in [
            "error.to_string()",
            "detail",
            "description",
            "error.message()",
            "refused.message",
        ] {
            let found = deciders
                .iter()
                .any(|decider| dense.contains(&format!("{text}.{decider}")));
            if found || dense.contains(&format!("{text}==")) {
                wrong.push(format!("{path} decides by {text}: match a variant or a code"));
            }
        }
    }
    nothing(wrong)
}

#[test]
fn no_source_gives_a_code_that_is_not_in_the_list() -> Result<()> {
    let mut wrong = Vec::new();
    for (path, code) in sources()? {
        if path.starts_with("crates/demo/") {
            continue;
        }
        let dense: String = code.split_whitespace().collect();
        for taker in TAKERS {
            for (at, _) in dense.match_indices(&format!("{taker}\"")) {
                let given = dense[at + taker.len() + 1..].split('"').next().unwrap_or_default();
                wrong.push(format!("{path} gives \"{given}\" to {taker}…: add it to codes.rs"));
            }
        }
    }
    nothing(wrong)
}
