//! Bundles of the archive: every byte survives, every change is noticed, and only a whole closed intent is one.

use std::path::Path;

use baton_envelope::*;
use proptest::prelude::*;

use crate::samples::*;

fn stored(seq: u64, body: impl Into<Vec<u8>>) -> StoredRecord {
    StoredRecord {
        seq,
        stored: "2026-11-21T05:00:00.123456789Z".to_owned(),
        headers: vec![("Baton-Event".to_owned(), "x".to_owned())],
        body: body.into(),
    }
}

fn body(event: Event, status: Status, envelope: bool) -> String {
    let mut record = full_record();
    record.event = event;
    record.snapshot.status = status;
    record.generated_id = false;
    if !envelope {
        record.snapshot.envelope = None;
    }
    serde_json::to_string(&record).expect("JSON")
}

/// A life of three records. The second has an unknown field, odd white space, and a newline within.
fn closed() -> Bundle {
    let odd = body(Event::Started, Status::InProgress, true).replacen('{', "{\n \"acme-x\" :  1.50, ", 1);
    Bundle {
        intent: intent(),
        records: vec![
            stored(3, body(Event::Submitted, Status::Pending, true)),
            stored(7, odd),
            stored(9, body(Event::Completed, Status::Completed, true)),
        ],
        void: Vec::new(),
    }
}

#[test]
fn every_byte_of_every_record_survives() {
    let bundle = closed();
    let bytes = bundle.encode().expect("encoded");
    let read = Bundle::decode(&bytes).expect("decoded");
    assert_eq!(read, bundle);
    assert_eq!(read.encode().expect("encoded"), bytes);
    let facts = read.verify().expect("closed");
    assert_eq!(
        (facts.seq, facts.status.as_str(), facts.generated),
        (9, "completed", false)
    );
}

#[test]
fn every_changed_or_missing_byte_is_noticed() {
    let bytes = closed().encode().expect("encoded");
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        assert!(Bundle::decode(&changed).is_err(), "byte {index}");
    }
    for length in 0..bytes.len() {
        assert!(Bundle::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn only_the_whole_history_of_one_closed_intent_is_archived() {
    let refused = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = closed();
        change(&mut bundle);
        bundle.verify().expect_err("refused").to_string()
    };
    assert!(refused(&|bundle| bundle.records.clear()).contains("no record"));
    assert!(refused(&|bundle| drop(bundle.records.remove(0))).contains("not the first"));
    assert!(refused(&|bundle| drop(bundle.records.pop())).contains("not terminal"));
    assert!(refused(&|bundle| bundle.records.swap(1, 2)).contains("out of order"));
    assert!(refused(&|bundle| bundle.intent = "another".parse().expect("id")).contains("is of"));
    let after = |bundle: &mut Bundle| {
        let again = stored(11, body(Event::Completed, Status::Completed, true));
        bundle.records.push(again);
    };
    assert!(refused(&after).contains("follows a terminal one"));
    assert!(refused(&|bundle| bundle.records[1].body = b"{}".to_vec()).contains("cannot be read"));
    // A raw intent that was refused has nothing but its rejection; a rejection after more is what a purge leaves.
    let rejected = |envelope| Bundle {
        intent: intent(),
        records: vec![stored(
            4,
            body(
                Event::Rejected { code: "X".to_owned() },
                Status::Rejected { code: "X".to_owned() },
                envelope,
            ),
        )],
        void: Vec::new(),
    };
    assert!(rejected(false).verify().is_ok());
    assert!(rejected(true).verify().is_err());
}

#[test]
fn a_bundle_of_a_newer_form_is_refused_by_name() {
    let bytes = closed().encode().expect("encoded");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let newer = text.replacen("{\"bundle\":1", "{\"bundle\":2", 1);
    let (content, _) = newer.trim_end().rsplit_once('\n').expect("lines");
    let content = format!("{content}\n");
    let sealed = format!("{content}sha256:{}\n", sha256(content.as_bytes()));
    let error = Bundle::decode(sealed.as_bytes()).expect_err("refused");
    assert_eq!(error, BundleError::NewerForm { found: 2 });
}

/// The digest, made without the code under test.
fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What was once written must be read for ever: the file is never changed.
#[test]
fn the_golden_bundle_is_read_and_written_byte_for_byte() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bundle/v1/completed.bundle");
    let bytes = std::fs::read(&file).expect("the golden bundle");
    let bundle = Bundle::decode(&bytes).expect("decoded");
    let facts = bundle.verify().expect("closed");
    assert_eq!(bundle.intent.as_str(), "order-42");
    assert_eq!(
        (facts.seq, facts.status.as_str(), facts.generated),
        (1732, "completed", true)
    );
    assert_eq!(facts.agent.as_ref().map(AgentName::as_str), Some("research"));
    assert_eq!(bundle.encode().expect("encoded"), bytes);
}

proptest! {
    #[test]
    fn any_bytes_survive(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8)) {
        let records = bodies.into_iter().zip(1..).map(|(body, seq)| stored(seq, body)).collect();
        let bundle = Bundle { intent: intent(), records, void: Vec::new() };
        let bytes = bundle.encode().expect("encoded");
        prop_assert_eq!(Bundle::decode(&bytes).expect("decoded"), bundle);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Bundle::decode(&bytes).is_err(), "random bytes have no digest");
    }
}

#[test]
fn void_records_are_kept_apart_and_decide_nothing() {
    let mut bundle = closed();
    let facts = bundle.verify().expect("closed");
    let plain = bundle.encode().expect("a bundle");
    let last = bundle.records.last().expect("some").clone();
    bundle.void.push(StoredRecord {
        seq: last.seq + 1,
        body: b"\xff not JSON".to_vec(),
        ..last
    });
    assert_eq!(bundle.verify().expect("closed"), facts);
    let bytes = bundle.encode().expect("a bundle");
    assert_eq!(Bundle::decode(&bytes).expect("its own writing"), bundle);
    // Whoever knows of no void records finds the others where they were.
    let after_index = |bytes: &[u8]| {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("an index");
        let digest = bytes.len() - 72;
        bytes[end..digest].to_vec()
    };
    assert_eq!(after_index(&bytes), after_index(&plain));
}
