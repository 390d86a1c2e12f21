//! The codes in docs/protocol.md are those of `codes.rs`: each table has the codes of one place, and none else.

use std::collections::BTreeSet;

use baton_envelope::codes::{self, Place};

use crate::document::{DOCUMENT, set};

/// What each table is headed with. The codes of rejections stand in two: what the message shows, and what the mesh shows.
const TABLES: [(&str, &[Place]); 6] = [
    ("| Code | Meaning |", &[Place::Rejection]),
    ("| Rejection | Meaning |", &[Place::Rejection]),
    ("| Code | Written when |", &[Place::Park]),
    ("| Failure | Given when |", &[Place::Attempt]),
    ("| Error | Meaning |", &[Place::Control]),
    ("| Refusal | Given when |", &[Place::Replay]),
];

/// The codes in the first column of a table; one cell may name several.
fn codes_below(head: &str) -> BTreeSet<String> {
    let (_, rest) = DOCUMENT
        .split_once(&format!("\n{head}\n"))
        .unwrap_or_else(|| panic!("docs/protocol.md has no table \"{head}\""));
    let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let codes = cells.flat_map(|cell| cell.split(", "));
    codes.map(|code| code.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn every_code_that_travels_is_in_the_document_and_none_else() {
    for place in [
        Place::Rejection,
        Place::Park,
        Place::Attempt,
        Place::Control,
        Place::Replay,
    ] {
        let tables = TABLES.iter().filter(|(_, places)| places.contains(&place));
        let documented: BTreeSet<String> = tables.flat_map(|(head, _)| codes_below(head)).collect();
        assert_eq!(documented, set(codes::of(place).map(|code| code.name)), "{place:?}");
    }
}

#[test]
fn the_alarms_of_the_document_are_those_of_the_code() {
    let sentence = DOCUMENT
        .split_once("Codes are ")
        .and_then(|(_, rest)| rest.split_once(';'));
    let (named, _) = sentence.expect("the sentence about alarms");
    let documented = named
        .split(" and ")
        .flat_map(|some| some.split(", "))
        .map(|code| code.trim_matches('`'));
    assert_eq!(set(documented), set(codes::of(Place::Alarm).map(|code| code.name)));
}
