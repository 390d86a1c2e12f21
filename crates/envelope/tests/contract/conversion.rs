//! The same envelope in the forms of two majors: nothing is lost that is not reported, and nothing is misread.

use std::collections::BTreeMap;

use baton_envelope::*;
use proptest::collection::btree_map;
use proptest::option::of;
use proptest::prelude::*;

use crate::generators::*;
use crate::samples::*;

const DRAFT: Protocol = Protocol::new(2, 0, 0);
const FIRST: Protocol = Protocol::new(1, 0, 0);

type Document = BTreeMap<String, Json>;

fn write<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("it can be written")
}

fn members(text: &str) -> Document {
    serde_json::from_str(text).expect("an object")
}

fn read(text: &str) -> Envelope {
    Envelope::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn in_form(envelope: Envelope, form: Protocol) -> (Envelope, Vec<String>) {
    envelope.in_form(form).expect("a form of this build")
}

/// A document of the draft with everything in it that 1.x has no field for.
fn draft() -> Document {
    let (envelope, lost) = in_form(full_envelope(), DRAFT);
    assert!(lost.is_empty(), "the draft says all that 1.1 says: {lost:?}");
    let mut document = members(&write(&envelope));
    document.insert(
        "content".to_owned(),
        json(r#"{"data":"hello","type":"text/plain","x-lang":"caf\u00e9"}"#),
    );
    document.insert(
        "due".to_owned(),
        json(r#"{"at":"2026-11-21T05:00:00.000Z","grace_seconds":30,"x-why":1.10}"#),
    );
    document.insert("payload".to_owned(), json("[ 1 ]"));
    document.insert("acme-ticket".to_owned(), json("1E+2"));
    document
}

/// An envelope of 1.x that may have fields of its own under the names that the draft uses.
fn any_native() -> impl Strategy<Value = Envelope> {
    let own = btree_map(proptest::sample::select(vec!["content", "due"]), any_json(), 0..3);
    (any_envelope(), own).prop_map(|(mut envelope, own)| {
        envelope
            .extra
            .extend(own.into_iter().map(|(name, json)| (name.to_owned(), json)));
        envelope
    })
}

/// Any document of the draft, unknown fields at every place, some under names that 1.x uses.
fn any_draft() -> impl Strategy<Value = Document> {
    let taken = vec!["payload", "payload_encoding", "to_version", "deadline"];
    let unknown = btree_map(proptest::sample::select(taken), any_json(), 0..3);
    let said = (of("text/[a-z]{1,5}"), of(1_u64..100));
    (any_native(), said, [any_extra(), any_extra(), any_extra()], unknown).prop_map(
        |(envelope, (media, grace), extras, unknown)| {
            let mut document = members(&write(&in_form(envelope, DRAFT).0));
            for (name, mut extra) in ["content", "to", "due"].into_iter().zip(extras) {
                match (name, &media, grace) {
                    ("content", Some(media), _) => drop(extra.insert("type".to_owned(), Json::string(media))),
                    ("due", _, Some(grace)) => drop(extra.insert("grace_seconds".to_owned(), json(&grace.to_string()))),
                    _ => {}
                }
                let mut object: Document = document
                    .get(name)
                    .map(|at| at.read().expect("an object"))
                    .unwrap_or_default();
                object.extend(extra);
                if !object.is_empty() {
                    document.insert(name.to_owned(), Json::of(&object).expect("JSON"));
                }
            }
            document.extend(unknown.into_iter().map(|(name, json)| (name.to_owned(), json)));
            document
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_native_envelope_comes_back_from_the_draft_as_it_was(envelope in any_native()) {
        let (there, lost) = in_form(envelope.clone(), DRAFT);
        prop_assert!(lost.is_empty());
        let text = write(&there);
        prop_assert_eq!(read(&text), there.clone());
        let (back, lost) = in_form(read(&text), PROTOCOL);
        prop_assert!(lost.is_empty());
        prop_assert_eq!(write(&back), write(&envelope));
        prop_assert_eq!(back, envelope);
    }

    #[test]
    fn a_draft_document_is_written_again_as_it_came(document in any_draft()) {
        // Keys are sorted and there is no white space between them, so equal means that every value kept its spelling.
        prop_assert_eq!(write(&read(&write(&document))), write(&document));
    }

    #[test]
    fn on_the_way_through_the_first_version_exactly_what_is_reported_is_lost(document in any_draft()) {
        let (first, lost) = in_form(read(&write(&document)), FIRST);
        let text = write(&first);
        prop_assert!(serde_json::from_str::<Envelope>(&text).is_ok(), "a reader that knows only 1.x reads it");
        let (back, nothing) = in_form(read(&text), DRAFT);
        prop_assert!(nothing.is_empty());

        let mut expected = document;
        for path in &lost {
            let (object, member) = path.split_once('.').expect("a path");
            let mut rest: Document = expected[object].read().expect("an object");
            prop_assert!(rest.remove(member).is_some(), "{} was not there", path);
            expected.remove(object);
            if !rest.is_empty() {
                expected.insert(object.to_owned(), Json::of(&rest).expect("JSON"));
            }
        }
        prop_assert_eq!(write(&back), write(&expected));
    }

    #[test]
    fn a_chain_of_forms_in_any_order_keeps_unknown_fields_and_constraints(
        document in any_draft(),
        forms in proptest::collection::vec(proptest::sample::select(vec![FIRST, PROTOCOL, DRAFT]), 1..9),
        constraints in any_json_but_null(),
    ) {
        let mut at = read(&write(&document)).with_constraints(constraints);
        (at.hop, at.max_hops) = (1, MaxHops::new(64).expect("in range"));
        for (n, form) in (1..).zip(forms) {
            let next = at.successor(Successor {
                id: envelope_id(n),
                to: agent("code"),
                to_version: version("1.0.0"),
                from: "research@1.0.0".to_owned(),
                payload: json("1"),
                kind: None,
                history: None,
            });
            let next = read(&write(&in_form(next.expect("a hop"), form).0));
            prop_assert_eq!(next.protocol, form);
            prop_assert_eq!(at.check_must_carry(&next), Ok(()));
            at = next;
        }
        let last = members(&write(&in_form(at, DRAFT).0));
        for name in document.keys().filter(|name| name.starts_with('x') || ["payload", "deadline", "to_version"].contains(&name.as_str())) {
            prop_assert_eq!(last.get(name), document.get(name), "{}", name);
        }
        for object in ["content", "to", "due"] {
            let of = |document: &Document| document.get(object).map(|at| at.read::<Document>().expect("an object")).unwrap_or_default();
            let (before, after) = (of(&document), of(&last));
            for name in before.keys().filter(|name| name.starts_with('x')) {
                prop_assert_eq!(after.get(name), before.get(name), "{}.{}", object, name);
            }
        }
    }

    #[test]
    fn a_record_is_read_back_whatever_form_its_envelope_has(mut record in any_record(), document in any_draft()) {
        record.envelope = Some(Box::new(read(&write(&document))));
        let text = write(&record);
        let back = Record::decode(text.as_bytes()).expect("its own writing");
        prop_assert_eq!(write(&back), text);
        prop_assert_eq!(back, record);
    }
}

#[test]
fn what_the_first_version_has_no_words_for_is_reported_by_path() {
    let envelope = read(&write(&draft()));
    assert_eq!((envelope.protocol, &envelope.to), (DRAFT, &agent("code")));
    assert_eq!((envelope.payload.get(), envelope.deadline), ("\"hello\"", Some(NOW)));
    let (first, lost) = in_form(envelope.clone(), PROTOCOL);
    assert_eq!(lost, ["content.type", "due.grace_seconds"]);
    let document = members(&write(&first));
    assert!(!document.contains_key("content") && !document.contains_key("due"));
    assert_eq!(document["payload"].get(), "\"hello\"");
    assert_eq!(document["acme-ticket"].get(), "1E+2");
    let handed = envelope.document(PROTOCOL).expect("a form");
    assert_eq!(handed.get(), write(&first), "a handler is given the same");
    assert!(
        write(&envelope).contains("\"type\":\"text/plain\""),
        "and the envelope is as it was"
    );
}

#[test]
fn the_type_of_a_payload_ends_with_it_and_stays_with_the_same_work() {
    let envelope = read(&write(&draft()));
    let again = in_form(envelope.again(envelope_id(7)), DRAFT).0;
    assert!(write(&again).contains("\"type\":\"text/plain\""));
    let next = envelope.successor(Successor {
        id: envelope_id(7),
        to: agent("qa"),
        to_version: version("1.0.0"),
        from: "code@2.0.0".to_owned(),
        payload: json("{}"),
        kind: None,
        history: None,
    });
    let next = next.expect("a hop");
    assert_eq!(next.protocol, PROTOCOL, "the caller chooses the form for the receiver");
    let text = write(&in_form(next, DRAFT).0);
    assert!(!text.contains("text/plain"), "{text}");
    assert!(text.contains("\"grace_seconds\":30"), "{text}");
}

#[test]
fn another_major_is_refused_with_the_versions_that_are_read() {
    let mut document = draft();
    document.insert("protocol".to_owned(), json("\"3.1.0\""));
    let error = Envelope::decode(write(&document).as_bytes()).expect_err("3.1.0");
    assert_eq!(
        (error.field.as_str(), error.value.as_deref()),
        ("protocol", Some("\"3.1.0\""))
    );
    for part in ["3.1.0", "1.x", "2.x"] {
        assert!(error.problem.contains(part), "{error}");
    }
    assert!(
        error.fix().contains("1.x") && error.fix().contains("2.x"),
        "{}",
        error.fix()
    );

    let mut record = members(&write(&full_record()));
    record.insert("envelope".to_owned(), Json::of(&document).expect("JSON"));
    let error = Record::decode(write(&record).as_bytes()).expect_err("3.1.0");
    assert_eq!(
        (error.what, error.field.as_str()),
        ("ledger record", "envelope.protocol")
    );
    record.insert("protocol".to_owned(), json("2"));
    let error = Record::decode(write(&record).as_bytes()).expect_err("a record is of major 1");
    assert_eq!((error.field.as_str(), error.value.as_deref()), ("protocol", Some("2")));

    let form = Protocol::new(3, 1, 0);
    let refused = full_envelope().in_form(form).expect_err("3.1.0");
    assert!(refused.to_string().contains("3.1.0") && refused.to_string().contains("1.0.0 - 2.0.0"));
    assert_eq!(full_envelope().document(form).expect_err("3.1.0"), refused);
    let mut stamped = full_envelope();
    stamped.protocol = form;
    assert!(
        serde_json::to_string(&stamped).is_err(),
        "nothing is written under a version that is not known"
    );
}

#[test]
fn a_fault_in_a_draft_document_is_named_where_it_stands() {
    let cases = [
        ("to", "\"code\"", "to", "an object"),
        ("to", "{\"agent\":\"A.b\"}", "to.agent", "agent name"),
        ("to", "{}", "to.agent", "missing field `to.agent`"),
        (
            "to",
            "{\"agent\":\"a\",\"version\":\"1\"}",
            "to.version",
            "semantic version",
        ),
        ("content", "{\"type\":7}", "content.type", "media type"),
        ("content", "{\"encoding\":7}", "content.encoding", "string"),
        ("due", "{\"at\":\"tomorrow\"}", "due.at", "RFC 3339"),
        ("due", "{\"grace_seconds\":-1}", "due.grace_seconds", "0 or more"),
        ("priority", "11", "priority", "out of range"),
        ("task", "{\"goal\":3}", "task.goal", "string"),
    ];
    for (field, value, path, problem) in cases {
        let mut document = draft();
        document.insert(field.to_owned(), json(value));
        let error = Envelope::decode(write(&document).as_bytes()).expect_err(path);
        assert_eq!(error.field, path, "{error}");
        assert!(error.problem.contains(problem) && !error.fix().is_empty(), "{error}");
        let mut record = members(&write(&full_record()));
        record.insert("envelope".to_owned(), Json::of(&document).expect("JSON"));
        let error = Record::decode(write(&record).as_bytes()).expect_err(path);
        assert_eq!(error.field, format!("envelope.{path}"));
    }
    // A document of one major under the version of another is never taken for what it is not.
    let mut mislabelled = members(&write(&full_envelope()));
    mislabelled.insert("protocol".to_owned(), json("\"2.0.0\""));
    assert!(Envelope::decode(write(&mislabelled).as_bytes()).is_err());
    let mut mislabelled = draft();
    mislabelled.insert("protocol".to_owned(), json("\"1.1.0\""));
    assert!(Envelope::decode(write(&mislabelled).as_bytes()).is_err());
}
