//! Documents: envelopes, ledger records, raw intents, routes.

use std::collections::BTreeMap;
use std::fmt::Debug;

use base64::Engine as _;
use baton_envelope::control::{Asker, HEADER_REQUEST_INFO, asked_by};
use baton_envelope::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A field that no version knows, with a number whose spelling must stay.
const UNKNOWN: (&str, &str) = ("zz_unknown", r#"{"b":1.50,"a":[null]}"#);

pub(crate) fn envelope(bytes: &[u8]) {
    both(bytes, Envelope::decode);
    let Ok(found) = Envelope::decode(bytes) else { return };
    // Whatever constraints an envelope came with, its successor is held to them.
    let next = found.successor(Successor {
        id: found.id,
        to: found.to.clone(),
        to_version: AgentVersion::from_token("1_0_0").expect("a version"),
        from: "fuzz@1.0.0".to_owned(),
        payload: Json::null(),
        kind: None,
        history: None,
    });
    match next {
        Ok(next) => {
            assert!(next.hop <= next.max_hops.get(), "the path grew past max_hops");
            let states_its_own = found.constraints_hash.is_none()
                || found
                    .clone()
                    .with_constraints(found.constraints.clone().unwrap_or_default())
                    .constraints_hash
                    == found.constraints_hash;
            assert_eq!(
                found.check_must_carry(&next).is_ok(),
                states_its_own,
                "constraints were altered"
            );
        }
        Err(limit) => assert!(limit.hop > limit.max_hops),
    }
}

pub(crate) fn record(bytes: &[u8]) {
    both(bytes, Record::decode);
    // What a projection reads is what a full read says.
    if let (Ok(record), Ok(summary)) = (Record::decode(bytes), RecordSummary::decode(bytes)) {
        assert_eq!(summary.intent, record.intent);
        assert_eq!(summary.event, record.event);
    }
}

pub(crate) fn route(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(found) = serde_json::from_str::<Route>(text) else {
        return;
    };
    comes_back(&found, |text| serde_json::from_str(text).expect("its own writing"));
}

/// What is asked and told about what cannot be read.
pub(crate) fn repair(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(found) = read::<control::UnreadableView>(text) {
        let text = serde_json::to_string(&found).expect("it can be written");
        let back: control::UnreadableView = serde_json::from_str(&text).expect("its own writing");
        assert_eq!(back.unreadable, found.unreadable);
    }
    if let Some(found) = read::<control::MeshAlarm>(text) {
        comes_back(&found, |text| serde_json::from_str(text).expect("its own writing"));
    }
    if let Some(asked) = read::<control::Repair>(text) {
        let text = serde_json::to_string(&asked).expect("it can be written");
        let back: control::Repair = serde_json::from_str(&text).expect("its own writing");
        assert_eq!((back.key, back.force, back.by), (asked.key, asked.force, asked.by));
    }
    // A record that cannot be read decides nothing; what is repaired after it stands where it stood.
    let agent: AgentName = "code".parse().expect("a name");
    let at = Timestamp::from_unix_millis(1);
    let stamp = || Stamp {
        id: RecordId::generate(at, [7; 10]),
        at,
        by: Author::of(Role::Operator, "fuzz"),
    };
    let intent: IntentId = "fuzzed".parse().expect("an id");
    let envelope = Envelope::first(EnvelopeId::generate(at, [7; 10]), intent.clone(), agent, Json::null());
    let first = act::submit(at, "1.0.0".parse().expect("a version"), envelope).seal(intent.clone(), 0, stamp());
    let standing = contain([(1, Ok(first.clone())), (2, Record::decode(bytes))]);
    let (seq, last) = standing.decides.expect("the first counts");
    if seq == 1 {
        let repaired = act::repair(&last, "fuzz")
            .expect("an open intent")
            .seal(intent, 2, stamp());
        let again = contain([
            (1, Ok(first.clone())),
            (2, Record::decode(bytes)),
            (3, Ok(repaired.clone())),
        ]);
        assert_eq!(again.decides.map(|(seq, _)| seq), Some(3));
        assert_eq!(repaired.snapshot.status, first.snapshot.status);
    }
}

/// The headers of a request, one a line as `name: value`, then an empty line, then the question.
pub(crate) fn question(bytes: &[u8]) {
    let (head, body) = crate::halves(bytes);
    let Ok(head) = std::str::from_utf8(head) else { return };
    let headers: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let of_info = |name: &str| name.eq_ignore_ascii_case(HEADER_REQUEST_INFO);
    match Asker::read(headers.iter().copied(), "MESH") {
        Ok(asker) => {
            let said: Vec<_> = headers.iter().filter(|(name, _)| of_info(name)).collect();
            assert!(
                matches!(said[..], [(HEADER_REQUEST_INFO, _)]),
                "one word of the server, and no other"
            );
            assert!(!asker.account.is_empty() && asker.account != "MESH" && !asker.name().is_empty());
        }
        Err(refused) => assert!(!refused.message.is_empty() && !refused.fix.is_empty()),
    }
    let Some(asked) = asked_by(body, Some("ada")) else {
        return;
    };
    let (before, after): (BTreeMap<String, Json>, BTreeMap<String, Json>) = (
        serde_json::from_slice(body).expect("an object"),
        serde_json::from_slice(&asked).expect("an object"),
    );
    for (field, value) in &after {
        let is_by = field == "by" && *value == Json::string("ada");
        assert!(is_by || before.get(field) == Some(value), "{field} is another");
    }
    assert!(after.contains_key("by") && before.keys().all(|field| after.contains_key(field)));
}

/// The headers, one a line as `name: value`, then an empty line, then the body.
pub(crate) fn raw(bytes: &[u8]) {
    let now = Timestamp::from_unix_millis(1_795_237_200_000);
    let (head, body) = crate::halves(bytes);
    let Ok(head) = std::str::from_utf8(head) else { return };
    let raw = RawIntent {
        subject: "mesh.intent.research",
        headers: head.lines().filter_map(|line| line.split_once(": ")).collect(),
        body,
        stored_at: now,
        derived_id: IntentId::derived("MESH_INTAKE", 7, 1),
    };
    let kept = raw.keep();
    let back = base64::engine::general_purpose::STANDARD.decode(&kept.body_base64);
    assert_eq!(back.as_deref(), Ok(body), "a body was not kept whole");
    let id = raw.intent_id();
    assert_eq!(id.as_str().parse(), Ok(id.clone()), "an id that is none");
    let envelope_id = EnvelopeId::generate(now, [1; 10]);
    match raw.to_envelope(envelope_id, &"research".parse().expect("a name"), now) {
        Ok(envelope) => {
            let text = serde_json::to_string(&envelope).expect("it can be written");
            assert_eq!(Envelope::decode(text.as_bytes()), Ok(envelope));
        }
        Err(refused) => {
            assert!(
                !refused.code.is_empty() && !refused.field.is_empty(),
                "an error without a field"
            );
            assert!(
                !refused.problem.is_empty() && !refused.fix.is_empty(),
                "an error without a fix"
            );
        }
    }
}

/// A document that is read: written and read back it is the same, and a field that nobody knows comes through.
pub(crate) fn both<T>(bytes: &[u8], decode: fn(&[u8]) -> Result<T, DecodeError>)
where
    T: Serialize + PartialEq + Debug,
{
    match decode(bytes) {
        Ok(found) => {
            comes_back(&found, |text| decode(text.as_bytes()).expect("its own writing"));
            if let Some(more) = with_unknown(bytes) {
                let found = decode(more.as_bytes()).expect("an unknown field is no error");
                let written = serde_json::to_string(&found).expect("it can be written");
                let kept = format!("\"{}\":{}", UNKNOWN.0, UNKNOWN.1);
                assert!(written.contains(&kept), "an unknown field was lost: {written}");
            }
        }
        Err(error) => {
            assert!(
                !error.field.is_empty() && !error.problem.is_empty(),
                "an error without a field"
            );
            assert!(!error.fix().is_empty(), "an error without a fix");
        }
    }
}

pub(crate) fn comes_back<T>(found: &T, decode: impl FnOnce(&str) -> T)
where
    T: Serialize + PartialEq + Debug,
{
    let text = serde_json::to_string(found).expect("it can be written");
    let back = decode(&text);
    assert_eq!(&back, found, "it was not read back as it was written");
    assert_eq!(serde_json::to_string(&back).expect("it can be written"), text);
}

/// The same object with the unknown field in front.
fn with_unknown(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text.trim_start().strip_prefix('{')?;
    let is_object_with_fields = read::<serde_json::Map<String, Value>>(text).is_some_and(|map| !map.is_empty());
    (is_object_with_fields && !text.contains(UNKNOWN.0)).then(|| format!("{{\"{}\":{},{rest}", UNKNOWN.0, UNKNOWN.1))
}

fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
