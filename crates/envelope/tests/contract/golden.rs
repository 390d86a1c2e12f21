//! The golden files: what was once written must be read for ever.
//!
//! `tests/golden/v1` is append-only. A file there is never changed and never removed: it stands for messages that lie
//! in someone's ledger. A change of the protocol adds files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use baton_envelope::*;

use crate::samples::*;

/// The files that were there when protocol 1.0.0 was made. Append only.
const FILES_OF_1_0_0: [&str; 29] = [
    "envelope_bare_protocol.json",
    "envelope_full.json",
    "envelope_minimal.json",
    "envelope_unknown_fields.json",
    "record_cancelled.json",
    "record_child_done.json",
    "record_claimed.json",
    "record_compensated.json",
    "record_compensating.json",
    "record_completed.json",
    "record_failed.json",
    "record_fanned_out.json",
    "record_handed_off.json",
    "record_moved.json",
    "record_parked.json",
    "record_progress.json",
    "record_redriven.json",
    "record_rejected.json",
    "record_rejected_raw.json",
    "record_released.json",
    "record_rerouted.json",
    "record_resumed.json",
    "record_retry_scheduled.json",
    "record_signalled.json",
    "record_started.json",
    "record_step.json",
    "record_submitted.json",
    "record_timed_out.json",
    "record_waiting.json",
];

/// The files that were added when protocol 1.1.0 was made. Append only.
const FILES_OF_1_1_0: [&str; 3] = [
    "envelope_full_1_1.json",
    "record_completed_1_1.json",
    "record_repinned.json",
];

/// The files that were added when protocol 1.2.0 was made. Append only.
const FILES_OF_1_2_0: [&str; 4] = [
    "record_completed_1_2.json",
    "record_released_1_2.json",
    "record_retry_scheduled_1_2.json",
    "record_signalled_1_2.json",
];

/// The files that were added when protocol 1.4.0 was made. Append only.
const FILES_OF_1_4_0: [&str; 8] = [
    "envelope_full_1_4.json",
    "record_parked_1_4.json",
    "record_resumed_1_4.json",
    "record_signalled_1_4.json",
    "record_signalled_people_1_4.json",
    "record_submitted_1_4.json",
    "record_waiting_1_4.json",
    "record_waiting_people_1_4.json",
];

/// The files that were added when protocol 1.5.0 was made. Append only.
const FILES_OF_1_5_0: [&str; 8] = [
    "record_child_done_1_5.json",
    "record_fanned_out_1_5.json",
    "record_rejected_1_5.json",
    "record_resumed_1_5.json",
    "envelope_full_1_5.json",
    "record_placed.json",
    "record_redriven_order_1_5.json",
    "record_submitted_order_1_5.json",
];

/// The files that were added when protocol 1.6.0 was made. Append only.
const FILES_OF_1_6_0: [&str; 12] = [
    "envelope_full_1_6.json",
    "record_child_done_undo_1_6.json",
    "record_compensated_1_6.json",
    "record_compensating_1_6.json",
    "record_fanned_out_1_6.json",
    "record_fanned_out_broadcast_1_6.json",
    "record_handed_off_1_6.json",
    "record_parked_undo_1_6.json",
    "record_progress_undo_1_6.json",
    "record_redriven_undo_1_6.json",
    "record_step_1_6.json",
    "record_submitted_broadcast_1_6.json",
];

/// The files that were added when protocol 1.7.0 was made. Append only.
const FILES_OF_1_7_0: [&str; 14] = [
    "envelope_child_1_7.json",
    "envelope_full_1_7.json",
    "record_child_done_1_7.json",
    "record_completed_1_7.json",
    "record_fanned_out_1_7.json",
    "record_fanned_out_refs_1_7.json",
    "record_handed_off_1_7.json",
    "record_parked_1_7.json",
    "record_progress_1_7.json",
    "record_started_1_7.json",
    "record_step_1_7.json",
    "record_submitted_1_7.json",
    "record_topped_up.json",
    "record_topped_up_lent_1_7.json",
];

fn files() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    std::fs::read_dir(folder)
        .expect("the golden folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("UTF-8"))
        })
        .collect()
}

/// The text with keys sorted and no white space; every scalar keeps its spelling.
pub(crate) fn plain(value: &Json) -> String {
    if let Ok(object) = value.read::<BTreeMap<String, Json>>() {
        let members: Vec<String> = object.iter().map(|(k, v)| format!("{k:?}:{}", plain(v))).collect();
        format!("{{{}}}", members.join(","))
    } else if let Ok(list) = value.read::<Vec<Json>>() {
        format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(","))
    } else {
        value.get().to_owned()
    }
}

/// Decodes as what the name says, and writes it again.
fn again(name: &str, text: &str) -> Json {
    let written = if name.starts_with("envelope_") {
        Json::of(&Envelope::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}")))
    } else {
        Json::of(&Record::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    written.expect("it can be written")
}

#[test]
fn the_folder_is_append_only() {
    let found: BTreeSet<String> = files().into_keys().collect();
    for name in FILES_OF_1_0_0
        .into_iter()
        .chain(FILES_OF_1_1_0)
        .chain(FILES_OF_1_2_0)
        .chain(FILES_OF_1_4_0)
        .chain(FILES_OF_1_5_0)
        .chain(FILES_OF_1_6_0)
        .chain(FILES_OF_1_7_0)
    {
        assert!(found.contains(name), "{name} is gone: the golden folder is append-only");
    }
    for event in events() {
        let name = format!("record_{}.json", event.name());
        assert!(
            found.contains(&name),
            "there is no golden record of the event {}",
            event.name()
        );
    }
}

#[test]
fn every_golden_file_is_read_and_written_with_the_same_meaning_and_spelling() {
    for (name, text) in files() {
        // A bare major is read, and written in full.
        let text = text.replace("\"protocol\": 1,", "\"protocol\": \"1.0.0\",");
        let expected = Json::parse(&text).expect("JSON");
        assert_eq!(plain(&again(&name, &text)), plain(&expected), "{name}");
    }
}

#[test]
fn a_golden_record_is_of_its_event_and_legal() {
    for (name, text) in files() {
        let Some(event) = name.strip_prefix("record_").and_then(|rest| rest.strip_suffix(".json")) else {
            continue;
        };
        let record = Record::decode(text.as_bytes()).expect("a record");
        let event = event
            .trim_end_matches("_raw")
            .trim_end_matches("_1_1")
            .trim_end_matches("_1_2")
            .trim_end_matches("_1_4")
            .trim_end_matches("_broadcast_1_6")
            .trim_end_matches("_order_1_5")
            .trim_end_matches("_1_5")
            .trim_end_matches("_undo_1_6")
            .trim_end_matches("_1_6")
            .trim_end_matches("_refs_1_7")
            .trim_end_matches("_lent_1_7")
            .trim_end_matches("_1_7")
            .trim_end_matches("_people")
            .trim_end_matches("_restart");
        assert_eq!(record.event.name(), event, "{name}");
        let from = std::iter::once(None).chain(statuses().into_iter().map(Some));
        let legal = from
            .filter_map(|status| next(status.as_ref(), &record.event).ok())
            .any(|status| status.name() == record.snapshot.status.name());
        // Work that begins later, or in its turn, waits.
        let legal = legal || name == "record_submitted_1_4.json" || name.ends_with("_order_1_5.json");
        // No agent has the root of a broadcast.
        let is_root = record.broadcast.is_some();
        let legal = legal || is_root;
        // What has begun to undo what it did goes on with that, and no agent gets it.
        let is_undone = name == "record_redriven_undo_1_6.json";
        let legal = legal || is_undone && record.snapshot.status == Status::Compensating;
        assert!(
            legal,
            "{name}: no status leads by {event} to {}",
            record.snapshot.status
        );
        // Work that is put before an agent is in the record, and the snapshot points at it.
        let holds = record.envelope.as_ref();
        let carries = ["submitted", "handed_off", "resumed", "redriven", "rerouted"];
        assert_eq!(
            holds.is_some(),
            (carries.contains(&event) && !is_root && !is_undone)
                || ["record_moved.json", "record_released_1_4.json"].contains(&name.as_str()),
            "{name}"
        );
        if let Some(envelope) = holds {
            assert_eq!(Some(envelope.id), record.snapshot.envelope, "{name}");
            assert_eq!(record.snapshot.envelope_seq, None, "{name}");
            assert_eq!(Some(&envelope.to), record.snapshot.agent.as_ref(), "{name}");
            assert_eq!(envelope.to_version, record.snapshot.version, "{name}");
            assert_eq!(
                (&envelope.intent, envelope.hop),
                (&record.intent, record.snapshot.hop),
                "{name}"
            );
        }
        let last = record.snapshot.path.last();
        assert_eq!(last.map(|entry| &entry.agent), record.snapshot.agent.as_ref(), "{name}");
    }
}

#[test]
fn the_full_envelope_has_every_field_and_the_minimal_one_only_what_it_must() {
    let keys = |text: &str| -> BTreeSet<String> {
        serde_json::from_str::<BTreeMap<String, Json>>(text)
            .expect("an object")
            .into_keys()
            .collect()
    };
    let files = files();
    let all = serde_json::to_string(&full_envelope()).expect("JSON");
    assert_eq!(keys(&files["envelope_full_1_7.json"]), keys(&all));
    let of_1_7 = keys(&all).difference(&keys(&files["envelope_full_1_6.json"])).count();
    assert_eq!(
        of_1_7, 2,
        "1.7 added `payload_ref` and `context` to the envelope and nothing else"
    );
    let of_1_6 = keys(&files["envelope_full_1_6.json"])
        .difference(&keys(&files["envelope_full_1_5.json"]))
        .count();
    assert_eq!(of_1_6, 1, "1.6 added `next` to the envelope and nothing else");
    let before = keys(&files["envelope_full_1_4.json"]);
    let of_1_5 = keys(&files["envelope_full_1_5.json"]).difference(&before).count();
    assert_eq!(of_1_5, 1, "1.5 added `order_key` to the envelope and nothing else");
    let before = keys(&files["envelope_full_1_1.json"]);
    let of_1_4 = keys(&files["envelope_full_1_4.json"]).difference(&before).count();
    assert_eq!(
        of_1_4, 4,
        "1.4 added `not_before`, `gates`, `policy` and `stands_in` to the envelope and nothing else"
    );
    let of_1_1 = {
        let before = keys(&files["envelope_full.json"]);
        keys(&files["envelope_full_1_1.json"]).difference(&before).count()
    };
    assert_eq!(of_1_1, 1, "1.1 added `pinning` to the envelope and nothing else");
    let must = ["protocol", "id", "intent", "to", "hop"].map(str::to_owned);
    assert_eq!(keys(&files["envelope_minimal.json"]), BTreeSet::from(must));
    let full = Envelope::decode(files["envelope_full.json"].as_bytes()).expect("an envelope");
    let constraints = full.constraints.clone().expect("constraints");
    assert_eq!(
        full.clone().with_constraints(constraints).constraints_hash,
        full.constraints_hash
    );
}

#[test]
fn unknown_fields_of_the_golden_envelope_keep_their_spelling_for_ever() {
    let text = &files()["envelope_unknown_fields.json"];
    let written = again("envelope_unknown_fields.json", text);
    for spelling in [
        "123456789012345678901234567890",
        "1.10",
        "-0.0",
        "1E+2",
        "\"caf\\u00e9\"",
        "[ 3,2 , 1 ]",
        "{\"z\": 1, \"a\": 2}",
        "null",
    ] {
        assert!(text.contains(spelling), "the file has {spelling}");
        assert!(written.get().contains(spelling), "{spelling} was spelled anew");
    }
}

#[test]
fn the_rejected_raw_intent_is_kept_whole() {
    let record = Record::decode(files()["record_rejected_raw.json"].as_bytes()).expect("a record");
    let raw = record.raw.expect("the message");
    assert_eq!(raw.subject, "mesh.intent.research");
    assert!(raw.headers.contains(&("Baton-Priority".to_owned(), "11".to_owned())));
    assert_eq!(raw.body_base64, "eyJ0b3BpYyI6Im90dGVycyJ9");
}
