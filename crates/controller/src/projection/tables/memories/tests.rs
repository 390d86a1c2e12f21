//! What people search for is never taken for the language of the index.

use std::collections::HashSet;

use baton_envelope::Timestamp;
use baton_envelope::context::{Kind, Memory, SpaceWrite};
use baton_envelope::control::{SEARCH_LIMIT, SearchMemories};

use super::*;

fn index() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(TABLES).unwrap();
    db
}

fn revision(space: &str, id: &str, number: u64, title: &str, content: Option<&[u8]>) -> Revision {
    let (space, key): (SpaceName, MemoryKey) = (space.parse().unwrap(), id.parse().unwrap());
    let write = SpaceWrite {
        write: number.to_string(),
        by: "test".to_owned(),
        at: Timestamp::from_unix_millis(1),
    };
    let record = match content {
        Some(content) => {
            let mut memory = Memory::new(key, Kind::Decision, content);
            memory.title = Some(title.to_owned());
            SpaceMemory::new(space.clone(), memory, content, write).unwrap()
        }
        None => SpaceMemory::forgotten(space.clone(), key, write),
    };
    Revision {
        of: (space, id.to_owned()),
        number,
        record: Some(record),
    }
}

fn put(db: &Connection, revisions: &[Revision]) {
    let seq = revisions.last().unwrap().number;
    apply(db, revisions, LedgerMark { seq, stored: seq }).unwrap();
}

fn words(text: &str) -> Vec<SearchWord> {
    let asked = SearchMemories {
        words: text.to_owned(),
        space: None,
        limit: SEARCH_LIMIT,
    };
    asked.checked().unwrap_or_default()
}

/// The ids that a text finds, in order.
fn ids(db: &Connection, text: &str) -> Vec<String> {
    let found = search(db, &query(&words(text)), None, SEARCH_LIMIT).unwrap();
    found.into_iter().map(|found| found.id.to_string()).collect()
}

#[test]
fn each_word_is_a_quoted_one_and_a_star_at_its_end_a_prefix() {
    assert_eq!(query(&words("retry pay* ms-4821")), "\"retry\" \"pay\" * \"ms-4821\"");
    assert_eq!(query(&words("a AND NOT b")), "\"a\" \"AND\" \"NOT\" \"b\"");
    let odd = SearchWord {
        text: "a\"b".to_owned(),
        is_prefix: false,
    };
    assert_eq!(query(&[odd]), "\"a\"\"b\"");
}

#[test]
fn all_words_are_found_in_any_column_and_no_sign_has_a_meaning() {
    let db = index();
    put(
        &db,
        &[
            revision(
                "house",
                "ms-4821",
                1,
                "Retries",
                Some(b"Never retry a payment and do not ask."),
            ),
            revision(
                "house",
                "ms-4822",
                2,
                "Caf\u{e9}s",
                Some(b"Title of near things, once."),
            ),
            revision("other", "bytes", 3, "Retries of bytes", Some(&[0xff, 0xfe])),
        ],
    );
    let cases: [(&str, &[&str]); 17] = [
        ("retry", &["ms-4821"]),
        ("RETRIES", &["bytes", "ms-4821"]),
        ("retr* pay*", &["ms-4821"]),
        ("retry cafes", &[]),
        ("cafes", &["ms-4822"]),
        ("ms-4821", &["ms-4821"]),
        ("ms*", &["ms-4822", "ms-4821"]),
        ("decision bytes", &["bytes"]),
        ("pay", &[]),
        // Operators, columns and signs of the index are words here, or nothing.
        ("retry AND payment", &["ms-4821"]),
        ("retry OR nowhere", &[]),
        ("retry NOT payment", &["ms-4821"]),
        ("NEAR(things once)", &["ms-4822"]),
        ("title:near", &[]),
        ("content: (never ^retry)", &[]),
        ("never ^retry - + {} : \"", &["ms-4821"]),
        ("paym*nt", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(ids(&db, text), expected, "{text}");
    }
}

#[test]
fn no_text_is_an_error_of_the_index() {
    let db = index();
    put(&db, &[revision("house", "a", 1, "A", Some(b"x y z"))]);
    let signs = [
        "\"", "'", "*", "(", ")", "{", "}", ":", "^", "-", "+", "AND", "OR", "NOT", "NEAR", "\0", ",", "x", "\u{300}",
    ];
    for one in signs {
        for two in signs {
            for three in signs {
                for between in ["", " "] {
                    let text = [one, two, three].join(between);
                    let found = search(&db, &query(&words(&text)), None, 1);
                    let is_empty = words(&text).is_empty();
                    assert!(is_empty || found.is_ok(), "{text:?}: {found:?}");
                }
            }
        }
    }
}

#[test]
fn only_the_newest_revision_is_found_and_none_that_comes_again() {
    let db = index();
    put(&db, &[revision("house", "a", 1, "A", Some(b"apples"))]);
    put(&db, &[revision("house", "a", 4, "A", Some(b"pears"))]);
    put(&db, &[revision("house", "a", 1, "A", Some(b"apples"))]);
    assert_eq!((ids(&db, "apples").len(), ids(&db, "pears").len()), (0, 1));
    put(&db, &[revision("house", "a", 5, "A", None)]);
    assert_eq!(ids(&db, "pears").len(), 0);
    // It is written anew, and then by something that nobody can read.
    put(&db, &[revision("house", "a", 6, "A", Some(b"plums"))]);
    assert_eq!(ids(&db, "plums").len(), 1);
    let unreadable = Revision {
        record: None,
        ..revision("house", "a", 7, "A", None)
    };
    put(&db, &[unreadable]);
    assert_eq!(ids(&db, "plums").len(), 0);
    assert_eq!(place(&db).unwrap().1.seq, 7);
}

#[test]
fn the_best_comes_first_and_a_space_is_searched_by_itself() {
    let db = index();
    put(
        &db,
        &[
            revision("house", "named", 1, "Otters", Some(b"They swim.")),
            revision(
                "house",
                "long",
                2,
                "Ships",
                Some(&b"Some ships are named by otters, as it were. ".repeat(3)),
            ),
            revision("other", "named", 3, "Otters", Some(b"They swim.")),
        ],
    );
    assert_eq!(ids(&db, "otters"), ["named", "named", "long"]);
    let house = "house".parse().unwrap();
    let found = search(&db, &query(&words("otters")), Some(&house), 20).unwrap();
    let revisions: Vec<u64> = found.iter().map(|found| found.revision).collect();
    assert_eq!(revisions, [1, 2]);
    assert_eq!(search(&db, &query(&words("otters")), None, 1).unwrap().len(), 1);
}

#[test]
fn a_snippet_is_one_short_line_around_what_was_found() {
    let db = index();
    let text = format!(
        "{}\n\tNever retry\na payment. {}",
        "before ".repeat(100),
        "x".repeat(5_000)
    );
    put(&db, &[revision("house", "a", 1, "A", Some(text.as_bytes()))]);
    let found = snippet(&db, &query(&words("payment")), 1).unwrap().unwrap();
    assert!(
        found.contains("Never retry a payment.") && found.ends_with('…'),
        "{found}"
    );
    assert!(
        found.chars().count() <= SNIPPET_CHARS + 1 && !found.contains('\n'),
        "{found}"
    );
    assert_eq!(snippet(&db, &query(&words("payment")), 2).unwrap(), None);
}

#[test]
fn what_the_stream_has_nothing_of_is_forgotten_but_not_what_came_since() {
    let db = index();
    put(
        &db,
        &[
            revision("house", "kept", 1, "A", Some(b"apples")),
            revision("house", "purged", 2, "B", Some(b"apples")),
            revision("house", "new", 9, "C", Some(b"apples")),
        ],
    );
    assert_eq!(removed(&db).unwrap(), None);
    let there = SpacesLeft {
        left: HashSet::from([("house".parse().unwrap(), "kept".to_owned())]),
        through: 8,
    };
    assert_eq!(retain(&db, &there, Some(1)).unwrap(), 1);
    assert_eq!(ids(&db, "apples"), ["new", "kept"]);
    assert_eq!(removed(&db).unwrap(), Some(1));
    reset(&db, "another").unwrap();
    assert_eq!((ids(&db, "apples").len(), removed(&db).unwrap()), (0, None));
    assert_eq!(place(&db).unwrap(), ("another".to_owned(), LedgerMark::default()));
}
