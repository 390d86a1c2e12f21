//! What is checked in and made from the model is what the model makes.
//!
//! `INSTA_UPDATE=always cargo test -p baton-access --test documents` writes the files again; look at the difference.

#![expect(clippy::expect_used, reason = "helpers of tests: a failure here is a test failure")]

use std::path::PathBuf;

use baton_access::{Access, Level, problems, render, roles_table};

const START: &str = "<!-- made from the model: roles -->\n";
const END: &str = "<!-- end -->\n";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_default()
}

fn same(name: &str, made: &str) {
    let there = read(name);
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        std::fs::write(path(name), made).expect("written");
    } else {
        assert!(
            there == made,
            "{name} is not what the model makes of config/access.toml:\n{}",
            differing(&there, made)
        );
    }
}

fn differing(there: &str, made: &str) -> String {
    let pair = there.lines().zip(made.lines()).find(|(there, made)| there != made);
    pair.map_or_else(
        || "one is longer".to_owned(),
        |(there, made)| format!("there: {there}\nmade:  {made}"),
    )
}

fn example() -> Access {
    Access::parse(&read("config/access.toml")).expect("the example reads")
}

#[test]
fn secure_conf_is_the_example_rendered() {
    let access = example();
    let wrong: Vec<_> = problems(&access)
        .into_iter()
        .filter(|found| found.level == Level::Problem)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    same("config/nats/secure.conf", &render(&access));
}

#[test]
fn the_table_of_the_roles_is_that_of_the_model() {
    let document = read("docs/security.md");
    let (before, rest) = document.split_once(START).expect("the place of the table");
    let (_, after) = rest.split_once(END).expect("its end");
    same(
        "docs/security.md",
        &format!("{before}{START}{}{END}{after}", roles_table()),
    );
}

#[test]
fn nothing_secret_is_rendered() {
    let rendered = render(&example());
    assert!(!rendered.contains("change-me"));
}
