//! What cargo runs: no test is in a place where it is not run, and the command under test was built with the tests.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::layers::{files, nothing};

/// Whether a source contains tests.
fn holds_tests(text: &str) -> bool {
    text.lines()
        .map(str::trim_start)
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}

/// Whether documentation contains an example that would be compiled.
fn holds_doctests(text: &str) -> bool {
    let documentation = text.lines().map(str::trim_start);
    let documentation = documentation.filter(|line| line.starts_with("//!") || line.starts_with("///"));
    let mut is_open = false;
    for line in documentation {
        let Some(kind) = line.trim_start_matches(['/', '!', ' ']).strip_prefix("```") else {
            continue;
        };
        if !is_open && !["text", "ignore", "json", "sh"].contains(&kind.trim()) {
            return true;
        }
        is_open = !is_open;
    }
    false
}

fn is_off(target: &toml::Table, what: &str) -> bool {
    target.get(what).and_then(toml::Value::as_bool) == Some(false)
}

#[test]
fn no_test_stands_where_none_is_run() -> Result<()> {
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for folder in ["crates", "benches", "tests", "examples"] {
        for manifest in files(folder, "Cargo.toml")? {
            let table: toml::Table = manifest.text.parse().with_context(|| manifest.path.clone())?;
            let package = manifest.path.strip_suffix("/Cargo.toml").unwrap_or(folder);
            if let Some(lib) = table.get("lib").and_then(toml::Value::as_table) {
                for source in files(&format!("{package}/src"), ".rs")? {
                    looked_at += 1;
                    if is_off(lib, "test") && holds_tests(&source.text) {
                        wrong.push(format!("{} has tests, and its library has `test = false`", source.path));
                    }
                    if is_off(lib, "doctest") && holds_doctests(&source.text) {
                        wrong.push(format!(
                            "{} has examples, and its library has `doctest = false`",
                            source.path
                        ));
                    }
                }
            }
            for bin in table.get("bin").and_then(toml::Value::as_array).into_iter().flatten() {
                let bin = bin.as_table().context("a table")?;
                let path = bin.get("path").and_then(toml::Value::as_str).context("a path")?;
                let text = std::fs::read_to_string(baton_e2e::root().join(package).join(path))?;
                if is_off(bin, "test") && holds_tests(&text) {
                    wrong.push(format!("{package}/{path} has tests, and `test = false`"));
                }
            }
        }
    }
    ensure!(looked_at > 100, "only {looked_at} sources were found");
    nothing(wrong)
}

/// A test that cargo skips without a feature would soon never run.
#[test]
fn what_is_left_out_every_day_is_run_in_the_night() -> Result<()> {
    let nightly = std::fs::read_to_string(baton_e2e::root().join(".ci/nightly"))?;
    let mut found = 0;
    let mut wrong = Vec::new();
    for manifest in files("crates", "Cargo.toml")? {
        let table: toml::Table = manifest.text.parse().with_context(|| manifest.path.clone())?;
        let tests = table.get("test").and_then(toml::Value::as_array).into_iter().flatten();
        for test in tests.filter(|test| test.get("required-features").is_some()) {
            let name = test.get("name").and_then(toml::Value::as_str).context("a name")?;
            found += 1;
            if !nightly.contains(&format!("--test {name}")) {
                wrong.push(format!("{}: .ci/nightly does not run {name}", manifest.path));
            }
        }
    }
    ensure!(found > 0, "no test is left out: this test looks in the wrong place");
    nothing(wrong)
}

#[test]
fn the_command_under_test_is_the_one_that_was_built_with_the_tests() {
    let found = baton_e2e::baton().get_program().to_owned();
    assert_eq!(Path::new(&found), Path::new(env!("CARGO_BIN_EXE_baton")));
}
