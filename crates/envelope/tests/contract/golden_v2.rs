//! The golden files of the draft of 2.0.
//!
//! `tests/golden/v2-draft` is not append-only: the draft may change until it is released, and these files with it. Then
//! they become `tests/golden/v2`, and stay.

use std::path::Path;

use baton_envelope::*;

use crate::golden::plain;

fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v2-draft");
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn v1(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    std::fs::read_to_string(folder.join(name)).expect("a golden file")
}

fn envelope(name: &str) -> Envelope {
    Envelope::decode(file(name).as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_file_of_the_draft_is_read_and_written_with_the_same_meaning_and_spelling() {
    for name in [
        "envelope_full.json",
        "envelope_minimal.json",
        "envelope_unknown_fields.json",
    ] {
        let written = Json::of(&envelope(name)).expect("JSON");
        assert_eq!(
            plain(&written),
            plain(&Json::parse(&file(name)).expect("JSON")),
            "{name}"
        );
    }
    let name = "record_handed_off.json";
    let record = Record::decode(file(name).as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let written = Json::of(&record).expect("JSON");
    assert_eq!(plain(&written), plain(&Json::parse(&file(name)).expect("JSON")));
}

#[test]
fn the_full_envelope_of_the_draft_is_the_one_of_1_1_in_other_words() {
    let native = Envelope::decode(v1("envelope_full_1_1.json").as_bytes()).expect("an envelope");
    let (draft, lost) = envelope("envelope_full.json").in_form(native.protocol).expect("a form");
    assert_eq!(lost, ["content.type", "due.grace_seconds"]);
    assert_eq!(draft, native);
}

#[test]
fn a_record_of_a_conversion_says_what_was_lost() {
    let record = Record::decode(file("record_handed_off.json").as_bytes()).expect("a record");
    let conversion = record.conversion.expect("a conversion");
    let envelope = record.envelope.expect("an envelope");
    assert_eq!(
        (conversion.from.to_string().as_str(), conversion.to),
        ("1.1.0", envelope.protocol)
    );
    assert_eq!(record.protocol.major(), 1, "the record around it is of major 1");
}
