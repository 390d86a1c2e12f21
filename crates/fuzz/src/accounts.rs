//! The file of accounts, and the configuration of nats-server that is made of it.

use baton_access::{Access, Form, Level, Member, RANDOM_BYTES, Secret, add, problems, remove, render};

/// An agent that no file has by chance.
const ADDED: &str = "added-by-the-fuzzer";

pub(crate) fn accounts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(access) = Access::parse(text) else { return };
    if !problems(&access).iter().any(|found| found.level == Level::Problem) {
        is_whole(&render(&access));
    }
    let secret = Secret::make(Form::Key, [7; RANDOM_BYTES]).expect("a key");
    let member = Member::Agent(ADDED.parse().expect("a name"), Vec::new());
    // Some ways to write the file only a person can change.
    let Ok(with) = add(text, &member, &secret) else { return };
    let added = Access::parse(&with).expect("what was added to can be read");
    assert_eq!(added.agents.len(), access.agents.len() + 1);
    let without = remove(&with, ADDED).expect("what was added can be removed");
    assert_eq!(
        Access::parse(&without).as_ref().ok(),
        Some(&access),
        "something else changed"
    );
}

/// Nothing that a value contains ends its quotes: outside of quotes every bracket has its other half, on one line or on two.
fn is_whole(config: &str) {
    let mut open = Vec::new();
    for line in config.lines().filter(|line| !line.starts_with('#')) {
        let (mut is_quoted, mut letters) = (false, line.chars());
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if is_quoted => drop(letters.next()),
                '"' => is_quoted = !is_quoted,
                '{' | '[' if !is_quoted => open.push(letter),
                '}' if !is_quoted => assert_eq!(open.pop(), Some('{'), "{line}"),
                ']' if !is_quoted => assert_eq!(open.pop(), Some('['), "{line}"),
                _ => {}
            }
        }
        assert!(!is_quoted, "a value does not end: {line}");
    }
    assert!(open.is_empty(), "{open:?}");
}
