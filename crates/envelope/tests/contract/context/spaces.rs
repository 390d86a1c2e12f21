//! Memories of spaces: as they always were, with bounds, and never with another content than they say.

use baton_envelope::context::*;
use baton_envelope::{Json, SpaceName, Timestamp};

use super::*;

const KEPT: &str = include_str!("../../golden/context/space.json");
const FORGOTTEN: &str = include_str!("../../golden/context/space_forgotten.json");

fn decode(text: &str) -> SpaceMemory {
    SpaceMemory::decode(text.as_bytes()).expect("a revision")
}

fn space() -> SpaceName {
    "house-rules".parse().expect("a name")
}

fn write(name: &str) -> SpaceWrite {
    SpaceWrite {
        write: name.to_owned(),
        by: "ada@workstation".to_owned(),
        at: Timestamp::from_unix_millis(1),
    }
}

fn kept(content: &[u8]) -> SpaceMemory {
    let memory = Memory::new(key("ms-1"), Kind::Fact, content);
    SpaceMemory::new(space(), memory, content, write("w-1")).expect("in bounds")
}

#[test]
fn memories_of_spaces_are_written_as_they_always_were() {
    for text in [KEPT, FORGOTTEN] {
        let text = text.trim_end();
        assert_eq!(decode(text).encode(), text.as_bytes());
        let newer = text.replacen('{', "{\"acme_zone\":[ 7],", 1);
        let written = String::from_utf8(decode(&newer).encode()).expect("text");
        assert!(written.contains("\"acme_zone\":[ 7]"), "{written}");
    }
    let found = decode(KEPT);
    let memory = found.memory.as_ref().expect("a memory");
    assert!(memory.pinned && !found.is_forgotten());
    assert_eq!(
        found.text(),
        Some("Retry with jitter, at most five times, and never a payment.")
    );
    let found = decode(FORGOTTEN);
    assert!(found.is_forgotten());
    assert_eq!((found.text(), found.bytes()), (None, None));
}

#[test]
fn a_content_comes_back_as_it_was() {
    // Escapes make the last one longer than base64 does.
    let escapes = vec![1_u8; SPACE_CONTENT];
    let largest = vec![0xff_u8; SPACE_CONTENT];
    for content in [
        b"".as_slice(),
        b"a \"quoted\"\nline",
        "ä\u{1f9a6}".as_bytes(),
        &[0xff, 0xfe, 0],
        &largest,
        &escapes,
    ] {
        let found = SpaceMemory::decode(&kept(content).encode()).expect("read");
        assert_eq!(found.bytes().as_deref(), Some(content));
        assert_eq!(found, kept(content));
        assert!(found.encode().len() < 600 << 10, "a message has room for it");
    }
    assert_eq!(kept(b"plain").content_encoding, None, "a person can read it");
}

#[test]
fn what_is_out_of_bounds_is_refused_by_field_value_and_fix() {
    let too_large = vec![b'x'; SPACE_CONTENT + 1];
    let memory = Memory::new(key("ms-1"), Kind::Fact, &too_large);
    let refused = SpaceMemory::new(space(), memory, &too_large, write("w-1")).expect_err("too large");
    assert_eq!(
        refused.to_string(),
        "memory \"ms-1\": `content` \"262145 bytes\" is too large; give at most 262144 bytes, and keep what is larger in a store \
         of your own"
    );
    let mut memory = Memory::new(key("ms-1"), Kind::Fact, b"x");
    memory.title = Some("a\nb".to_owned());
    let refused = SpaceMemory::new(space(), memory, b"x", write("w-1")).expect_err("two lines");
    assert_eq!(refused.field, "title");
    let error = "House".parse::<SpaceName>().expect_err("upper case").to_string();
    assert!(error.starts_with("space \"House\" is not valid"), "{error}");
    let long = format!("\"write\":\"{}", "w".repeat(513));
    for (from, to, field) in [
        ("\"space_memory\":1", "\"space_memory\":2", "space_memory"),
        ("\"space\":\"house-rules\"", "\"space\":\"house.rules\"", "space"),
        ("\"by\":\"", "\"by\":\"\\u0000", "by"),
        ("\"write\":\"", long.as_str(), "write"),
        ("\"key\":\"retries\"", "\"key\":\"other\"", "memory.key"),
        ("\"bytes\":59", "\"bytes\":58", "memory.bytes"),
        ("\"content\":\"Retry", "\"content\":\"retry", "memory.hash"),
        ("\"kind\":\"decision\"", "\"kind\":\"a b\"", "memory.kind"),
        (
            "\"content\":",
            "\"content_encoding\":\"gzip\",\"content\":",
            "content_encoding",
        ),
        ("\"content\":", "\"contents\":", "content"),
    ] {
        let bad = KEPT.replacen(from, to, 1);
        assert_ne!(bad, KEPT, "{from}");
        let error = SpaceMemory::decode(bad.as_bytes()).expect_err(to);
        assert_eq!(error.field, field, "{error}");
        assert_eq!(error.what, "memory of a space");
    }
    let both = FORGOTTEN.replacen("\"by\"", "\"content\":\"x\",\"by\"", 1);
    assert_eq!(
        SpaceMemory::decode(both.as_bytes()).expect_err("no memory").field,
        "content"
    );
}

#[test]
fn a_pin_changes_the_pin_alone() {
    let text = KEPT.replacen('{', "{\"acme_zone\":7,", 1);
    let found = decode(&text);
    assert_eq!(found.with_pin(true, write("w-2")), None, "it is pinned");
    let unpinned = found.with_pin(false, write("w-2")).expect("a revision");
    assert_eq!(
        (unpinned.write.as_str(), unpinned.by.as_str()),
        ("w-2", "ada@workstation")
    );
    assert_eq!(unpinned.extra.get("acme_zone"), Some(&Json::parse("7").expect("JSON")));
    let back = unpinned.with_pin(true, write(&found.write)).expect("a revision");
    assert_eq!(back.memory, found.memory);
    assert_eq!(back.bytes(), found.bytes());
    assert_eq!(decode(FORGOTTEN).with_pin(true, write("w-2")), None, "it was forgotten");
    let listed = found.without_content();
    assert_eq!((listed.bytes(), listed.is_forgotten()), (None, false));
}
