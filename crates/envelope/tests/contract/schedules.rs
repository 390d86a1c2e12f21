//! Schedules: their documents, and the ids of their firings, as they always were.

use baton_envelope::schedule::{Firing, Schedule, Why};
use baton_envelope::{Json, Timestamp};
use serde::Deserialize;

use crate::document::DOCUMENT;

const FULL: &str = include_str!("../golden/schedule/full.json");
const LEAST: &str = include_str!("../golden/schedule/least.json");
const FIRINGS: &str = include_str!("../golden/schedule/firings.json");

/// A firing as it always was.
#[derive(Deserialize)]
struct Golden {
    name: String,
    revision: u64,
    created_at: Timestamp,
    jitter_ms: u64,
    why: String,
    at: Timestamp,
    intent: String,
    put_off_ms: u64,
}

/// A schedule with every field set.
pub(crate) fn full() -> Schedule {
    serde_json::from_str(FULL).expect("a schedule")
}

#[test]
fn a_schedule_is_written_as_it_always_was() {
    for text in [FULL, LEAST] {
        let text = text.trim_end();
        let read: Schedule = serde_json::from_str(text).expect("a schedule");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
        let newer = text.replacen('{', "{\"acme_zone\":[ 7],", 1);
        let read: Schedule = serde_json::from_str(&newer).expect("a schedule");
        let written = serde_json::to_string(&read).expect("JSON");
        assert!(written.contains("\"acme_zone\":[ 7]"), "{written}");
    }
}

#[test]
fn a_firing_has_the_id_that_it_always_had() {
    let firings: Vec<Golden> = serde_json::from_str(FIRINGS).expect("firings");
    for golden in &firings {
        let schedule = Schedule {
            name: golden.name.parse().expect("a name"),
            revision: Some(golden.revision),
            created_at: golden.created_at,
            jitter_ms: golden.jitter_ms,
            ..full()
        };
        let why = if golden.why == "due" { Why::Due } else { Why::Asked };
        let firing = Firing::of(&schedule, why, golden.at);
        assert_eq!(firing.intent.as_str(), golden.intent, "{}", golden.at);
        let put_off = firing.put_off(&schedule).as_millis();
        assert_eq!(put_off, golden.put_off_ms.into(), "{}", golden.intent);
    }
    let first = firings.first().expect("a firing");
    assert!(
        DOCUMENT.contains(&format!("`{}`", first.intent)),
        "the example of the document"
    );
}

#[test]
fn the_document_of_its_creation_takes_its_own_revision() {
    let created: Schedule = serde_json::from_str(LEAST).expect("a schedule");
    assert_eq!(created.revision, None);
    let seen = created.seen_at(12);
    assert_eq!(seen.revision, Some(12));
    assert_eq!(seen.clone().seen_at(40), seen, "a later revision changes nothing");
    assert!(seen.payload == Json::null());
}
