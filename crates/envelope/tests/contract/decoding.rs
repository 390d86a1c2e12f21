//! Whatever comes, reading answers; and the answer names the field, the value and the fix.

use std::collections::BTreeMap;

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::*;
use crate::samples::*;

/// The full envelope with one top-level field replaced by other JSON.
fn with(field: &str, value: &str) -> Vec<u8> {
    let text = serde_json::to_string(&full_envelope()).expect("JSON");
    let mut members: BTreeMap<String, Json> = serde_json::from_str(&text).expect("an object");
    members.insert(field.to_owned(), json(value));
    serde_json::to_vec(&members).expect("JSON")
}

fn without(field: &str) -> Vec<u8> {
    let text = serde_json::to_string(&full_envelope()).expect("JSON");
    let mut members: BTreeMap<String, Json> = serde_json::from_str(&text).expect("an object");
    members.remove(field);
    serde_json::to_vec(&members).expect("JSON")
}

#[test]
fn a_bad_value_is_named_by_its_path_with_its_spelling() {
    let cases = [
        ("priority", "11", "priority", "11", "out of range"),
        ("priority", "0", "priority", "0", "out of range"),
        ("priority", "5.5", "priority", "5.5", "invalid type"),
        (
            "priority",
            "123456789012345678901234567890",
            "priority",
            "123456789012345678901234567890",
            "",
        ),
        ("max_hops", "65", "max_hops", "65", "1 to 64"),
        ("to", "\"A.b\"", "to", "\"A.b\"", "agent name"),
        ("to_version", "\"1.0\"", "to_version", "\"1.0\"", "semantic version"),
        ("hop", "\"x\"", "hop", "\"x\"", "invalid type"),
        ("hop", "-1", "hop", "-1", "invalid value"),
        ("id", "\"seven\"", "id", "\"seven\"", "UUID"),
        ("intent", "\"a b\"", "intent", "\"a b\"", "intent id"),
        ("deadline", "\"tomorrow\"", "deadline", "\"tomorrow\"", "RFC 3339"),
        ("protocol", "\"3.0.0\"", "protocol", "\"3.0.0\"", "reads 1.x"),
        ("protocol", "3", "protocol", "3", "reads 1.x"),
        ("protocol", "\"one\"", "protocol", "\"one\"", "1.0.0"),
        ("task", "{\"goal\": 3}", "task.goal", "3", "string"),
        ("task", "7", "task", "7", "object (Task)"),
        (
            "memory",
            "[{\"key\":\"a\"},{\"key\":[]}]",
            "memory[1].key",
            "[]",
            "string",
        ),
        (
            "history",
            "[{\"agent\":\"a\",\"at\":\"x\"}]",
            "history[0].at",
            "\"x\"",
            "RFC 3339",
        ),
        (
            "budget",
            "{\"tokens\":{\"allotted\":1},\"cost\":[]}",
            "budget.cost",
            "[]",
            "Meter",
        ),
        (
            "pins",
            "{\"code\":\"latest\"}",
            "pins.code",
            "\"latest\"",
            "semantic version",
        ),
        ("itinerary", "[\"ok\",\"NO\"]", "itinerary[1]", "\"NO\"", "agent name"),
    ];
    for (field, value, path, shown, problem) in cases {
        let error = Envelope::decode(&with(field, value)).expect_err(field);
        assert_eq!(
            (error.field.as_str(), error.value.as_deref()),
            (path, Some(shown)),
            "{error}"
        );
        assert!(error.problem.contains(problem), "{error}");
        assert!(!error.problem.contains(" at line "), "{error}");
        assert!(!error.fix().is_empty());
    }
}

#[test]
fn the_same_value_elsewhere_does_not_mislead() {
    // The first pass would find the last key before the fault; the fault is in the nested object, under a key that
    // also stands at the top and in the payload.
    let text = serde_json::to_string(&full_envelope()).expect("JSON");
    let mut members: BTreeMap<String, Json> = serde_json::from_str(&text).expect("an object");
    members.insert("payload".to_owned(), json("{\"hop\":\"x\",\"priority\":99}"));
    members.insert("history".to_owned(), json("[{\"agent\":\"a\",\"hop\":\"two\"}]"));
    let error = Envelope::decode(&serde_json::to_vec(&members).expect("JSON")).expect_err("a bad hop");
    assert_eq!(
        (error.field.as_str(), error.value.as_deref()),
        ("history[0].hop", Some("\"two\""))
    );
}

#[test]
fn a_missing_field_is_named_by_its_path() {
    for field in ["protocol", "id", "intent", "to", "hop"] {
        let error = Envelope::decode(&without(field)).expect_err(field);
        assert_eq!((error.field.as_str(), error.value), (field, None));
        let null = Envelope::decode(&with(field, "null")).expect_err(field);
        assert_eq!(null.field, field, "null is absence");
    }
    let error = Envelope::decode(&with("memory", "[{\"revision\":1}]")).expect_err("no key");
    assert_eq!(error.field, "memory[0].key");
}

#[test]
fn a_bad_record_is_named_by_its_path() {
    let text = serde_json::to_string(&full_record()).expect("JSON");
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Record::decode(text.replacen(from, to, 1).as_bytes()).expect_err(to)
    };
    let error = broken("\"epoch\":5", "\"epoch\":-5");
    assert_eq!(
        (error.field.as_str(), error.value.as_deref()),
        ("snapshot.epoch", Some("-5"))
    );
    let error = broken("\"state\":\"in_progress\"", "\"state\":\"waiting\"");
    assert_eq!(error.field, "snapshot.status.reason");
    let error = broken(
        "\"headers\":[[\"Baton-Priority\",\"11\"]]",
        "\"headers\":[[\"Baton-Priority\"]]",
    );
    assert_eq!(error.field, "raw.headers[0]");
    let error = broken("\"type\":\"step\"", "\"type\":4");
    assert_eq!(
        (error.field.as_str(), error.value.as_deref()),
        ("event.type", Some("4"))
    );
    assert_eq!(error.what, "ledger record");
}

#[test]
fn what_is_no_json_object_is_a_fault_of_the_whole() {
    for bytes in [
        &b""[..],
        b"{",
        b"{\"a\":",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"{} {}",
        b"{\"protocol\":\"1.0.0\"\xff}",
    ] {
        let error = Envelope::decode(bytes).expect_err("no envelope");
        assert!([".", "protocol"].contains(&error.field.as_str()), "{error}");
        assert!(!error.fix().is_empty());
    }
    let long = format!("\"{}\"", "ü".repeat(500));
    let error = Envelope::decode(long.as_bytes()).expect_err("a string");
    assert!(
        error
            .value
            .is_some_and(|value| value.chars().count() <= 81 && value.ends_with('…'))
    );
}

#[test]
fn a_bare_integer_is_accepted_as_the_protocol_version() {
    let envelope = Envelope::decode(&with("protocol", "1")).expect("major 1");
    assert_eq!(envelope.protocol.to_string(), "1.0.0");
    let newer = Envelope::decode(&with("protocol", "\"1.7.2\"")).expect("a newer minor");
    assert_eq!(newer.protocol.to_string(), "1.7.2");
}

proptest! {
    #[test]
    fn reading_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop((Envelope::decode(&bytes), Record::decode(&bytes)));
    }

    #[test]
    fn reading_a_damaged_document_never_panics(cut in any::<proptest::sample::Index>(), at in any::<proptest::sample::Index>(), byte: u8) {
        let mut bytes = serde_json::to_vec(&full_record()).expect("JSON");
        let place = at.index(bytes.len());
        bytes[place] = byte;
        drop(Record::decode(&bytes));
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Record::decode(&bytes).is_err());
    }

    #[test]
    fn a_replaced_field_is_read_or_named(index in any::<proptest::sample::Index>(), value in any_json()) {
        let text = serde_json::to_string(&full_envelope()).expect("JSON");
        let members: BTreeMap<String, Json> = serde_json::from_str(&text).expect("an object");
        let field = members.keys().nth(index.index(members.len())).expect("a field").clone();
        match Envelope::decode(&with(&field, value.get())) {
            Ok(envelope) => {
                let again = serde_json::to_string(&envelope).expect("what was read can be written");
                prop_assert_eq!(Envelope::decode(again.as_bytes()).expect("its own writing"), envelope);
            }
            Err(error) => prop_assert!(
                error.field == field || error.field.starts_with(&format!("{field}.")) || error.field.starts_with(&format!("{field}[")),
                "{} was replaced: {}", field, error
            ),
        }
    }
}
