//! What becomes of a message that anyone published: an intent, or a rejection that says what to do.

use baton_envelope::*;

use crate::samples::*;

fn raw<'a>(headers: &[(&'a str, &'a str)], body: &'a [u8]) -> RawIntent<'a> {
    RawIntent {
        subject: "mesh.intent.code",
        headers: headers.to_vec(),
        body,
        stored_at: NOW,
        derived_id: IntentId::derived("MESH_INTAKE", 7, 1),
    }
}

fn accepted(headers: &[(&str, &str)], body: &[u8]) -> Envelope {
    raw(headers, body)
        .to_envelope(envelope_id(1), &agent("code"), NOW)
        .expect("it is valid")
}

fn refused(headers: &[(&str, &str)], body: &[u8]) -> RawRejection {
    let rejection = raw(headers, body)
        .to_envelope(envelope_id(1), &agent("code"), NOW)
        .expect_err("it is not valid");
    assert!(
        !rejection.problem.is_empty() && !rejection.fix.is_empty(),
        "{rejection}"
    );
    let text = rejection.to_string();
    for part in [&rejection.field, &rejection.value, &rejection.problem, &rejection.fix] {
        assert!(text.contains(part.as_str()), "{text} should name {part}");
    }
    rejection
}

#[test]
fn a_body_alone_is_an_intent_with_every_default() {
    let envelope = accepted(&[], b"{\"topic\":\"otters\"}");
    let payload = json("{\"topic\":\"otters\"}");
    let intent = IntentId::derived("MESH_INTAKE", 7, 1);
    assert_eq!(
        envelope,
        Envelope::first(envelope_id(1), intent, agent("code"), payload)
    );
    assert_eq!(
        (envelope.priority.get(), envelope.max_hops.get(), envelope.hop),
        (5, 10, 1)
    );
}

#[test]
fn every_header_finds_its_field() {
    let envelope = accepted(
        &[
            (HEADER_INTENT, "order-42"),
            (HEADER_KIND, "invoice.extract.v1"),
            (HEADER_PRIORITY, " 8 "),
            (HEADER_DEADLINE, "10m"),
            (HEADER_MAX_HOPS, "3"),
            (HEADER_REPLY_TO, "clients.7.answers"),
            (HEADER_TRACEPARENT, "00-aa-bb-01"),
            (HEADER_MSG_ID, "not-this-one"),
            ("X-Of-The-Sender", "is not a field"),
        ],
        b"1",
    );
    assert_eq!(envelope.intent, intent());
    assert_eq!(envelope.kind.as_deref(), Some("invoice.extract.v1"));
    assert_eq!((envelope.priority.get(), envelope.max_hops.get()), (8, 3));
    assert_eq!(envelope.deadline.map(|at| at.since(NOW).as_secs()), Some(600));
    assert_eq!(envelope.reply_to.as_deref(), Some("clients.7.answers"));
    assert_eq!(envelope.traceparent.as_deref(), Some("00-aa-bb-01"));
    assert!(envelope.extra.is_empty());
}

#[test]
fn a_deadline_may_be_a_time_and_a_duration_counts_from_the_time_of_storing() {
    let at = |headers: &[(&str, &str)]| accepted(headers, b"1").deadline.map(|at| at.to_string());
    assert_eq!(
        at(&[(HEADER_DEADLINE, "2030-01-01T01:00:00+01:00")]).as_deref(),
        Some("2030-01-01T00:00:00.000Z")
    );
    let later = NOW.plus(std::time::Duration::from_secs(60));
    let late = raw(&[(HEADER_DEADLINE, "30s")], b"1").to_envelope(envelope_id(1), &agent("code"), later);
    assert_eq!(late.expect_err("it lay for a minute").code, "DEADLINE_PAST");
}

#[test]
fn a_deadline_beyond_the_end_of_time_can_still_be_written() {
    let envelope = accepted(&[(HEADER_DEADLINE, "500000000000y")], b"1");
    let text = serde_json::to_string(&envelope).expect("it can be written");
    assert!(text.contains("9999-12-31T23:59:59.999Z"), "{text}");
}

#[test]
fn the_payload_is_json_where_it_is_json_else_text_else_base64() {
    let payload = |body: &[u8]| {
        let envelope = accepted(&[], body);
        (envelope.payload.get().to_owned(), envelope.payload_encoding)
    };
    assert_eq!(payload(b" {\"a\": 1.50} \n"), ("{\"a\": 1.50}".to_owned(), None));
    assert_eq!(
        payload(b"123456789012345678901234567890"),
        ("123456789012345678901234567890".to_owned(), None)
    );
    assert_eq!(payload(b"null"), ("null".to_owned(), None));
    assert_eq!(payload(b"hello \"you\""), ("\"hello \\\"you\\\"\"".to_owned(), None));
    assert_eq!(payload(b"{\"a\":"), ("\"{\\\"a\\\":\"".to_owned(), None));
    assert_eq!(payload("grüß".as_bytes()), ("\"grüß\"".to_owned(), None));
    assert_eq!(payload(b" \n"), ("\" \\n\"".to_owned(), None));
    assert_eq!(payload(b""), ("null".to_owned(), None));
    assert_eq!(payload(b"\xff\xfe"), ("\"//4=\"".to_owned(), Some("base64".to_owned())));
}

#[test]
fn an_id_is_the_senders_else_the_message_id_else_derived() {
    let id = |headers: &[(&str, &str)]| raw(headers, b"1").intent_id();
    let derived = IntentId::derived("MESH_INTAKE", 7, 1);
    assert_eq!(id(&[(HEADER_INTENT, "a"), (HEADER_MSG_ID, "b")]).as_str(), "a");
    assert_eq!(id(&[(HEADER_MSG_ID, "b")]).as_str(), "b");
    assert_eq!(id(&[(HEADER_MSG_ID, "b.c")]), IntentId::from_foreign("b.c"));
    assert_eq!(id(&[]), derived);
    assert_eq!(id(&[(HEADER_INTENT, "bad.id"), (HEADER_MSG_ID, "b")]), derived);
    assert_eq!(id(&[("baton-intent", "a")]), derived, "header names are exact");
    for headers in [&[(HEADER_INTENT, "a")][..], &[(HEADER_MSG_ID, "b.c")], &[]] {
        assert_eq!(
            accepted(headers, b"1").intent,
            id(headers),
            "the record and the envelope agree"
        );
    }
}

#[test]
fn an_empty_message_id_names_nothing() {
    let other = RawIntent {
        derived_id: IntentId::derived("MESH_INTAKE", 8, 2),
        ..raw(&[(HEADER_MSG_ID, "")], b"2")
    };
    let first = raw(&[(HEADER_MSG_ID, "")], b"1");
    assert_ne!(first.intent_id(), other.intent_id(), "two messages are two intents");
}

#[test]
fn a_bad_header_is_refused_by_name_with_its_value() {
    let cases = [
        (HEADER_INTENT, "order.42", "subject token"),
        (HEADER_INTENT, "", "subject token"),
        (HEADER_INTENT, "*", "subject token"),
        (HEADER_PRIORITY, "11", "out of range"),
        (HEADER_PRIORITY, "0", "out of range"),
        (HEADER_PRIORITY, "high", "whole number"),
        (HEADER_PRIORITY, "5.5", "whole number"),
        (HEADER_MAX_HOPS, "65", "out of range"),
        (HEADER_MAX_HOPS, "-1", "out of range"),
        (HEADER_MAX_HOPS, "", "whole number"),
        (HEADER_DEADLINE, "soon", "RFC 3339"),
        (HEADER_DEADLINE, "2026-11-21", "RFC 3339"),
        (HEADER_DEADLINE, "-10m", "RFC 3339"),
    ];
    for (header, value, problem) in cases {
        let rejection = refused(&[(header, value)], b"1");
        assert_eq!((rejection.code, rejection.field.as_str()), ("BAD_HEADER", header));
        assert_eq!(rejection.value, value);
        assert!(rejection.problem.contains(problem), "{rejection}");
    }
}

#[test]
fn a_deadline_in_the_past_is_refused() {
    for value in ["2020-01-01T00:00:00Z", "0s"] {
        let rejection = refused(&[(HEADER_DEADLINE, value)], b"1");
        assert_eq!(
            (rejection.code, rejection.field.as_str()),
            ("DEADLINE_PAST", HEADER_DEADLINE)
        );
        assert!(rejection.fix.contains("future"), "{rejection}");
    }
}

const ENVELOPED: (&str, &str) = (HEADER_PROTOCOL, "1.0.0");

fn enveloped(change: impl FnOnce(&mut Envelope)) -> Vec<u8> {
    let mut envelope = full_envelope();
    envelope.payload_ref = None;
    (envelope.hop, envelope.deadline) = (1, None);
    change(&mut envelope);
    serde_json::to_vec(&envelope).expect("JSON")
}

#[test]
fn a_whole_envelope_is_taken_as_it_is() {
    let body = enveloped(|envelope| {
        envelope
            .extra
            .insert("x-mine".to_owned(), json("123456789012345678901234567890"));
    });
    let envelope = accepted(&[ENVELOPED, (HEADER_PRIORITY, "1")], &body);
    assert_eq!(
        serde_json::to_vec(&envelope).expect("JSON"),
        body,
        "headers change nothing in it"
    );
}

#[test]
fn the_hash_of_the_constraints_is_filled_in_where_it_is_missing() {
    let body = enveloped(|envelope| envelope.constraints_hash = None);
    assert_eq!(
        accepted(&[ENVELOPED], &body).constraints_hash,
        full_envelope().constraints_hash
    );
}

#[test]
fn a_bad_envelope_is_refused_by_field_with_its_value() {
    type Change = fn(&mut Envelope);
    let cases: [(Change, &str, &str, &str); 5] = [
        (|e| e.to = agent("qa"), "MALFORMED_ENVELOPE", "to", "qa"),
        (|e| e.hop = 2, "MALFORMED_ENVELOPE", "hop", "2"),
        (
            |e| e.deadline = Some(NOW),
            "DEADLINE_PAST",
            "deadline",
            "2026-11-21T05:00:00.000Z",
        ),
        (
            |e| e.constraints_hash = Some("ab".to_owned()),
            "MALFORMED_ENVELOPE",
            "constraints_hash",
            "ab",
        ),
        (
            |e| (e.constraints, e.constraints_hash) = (None, Some("cd".to_owned())),
            "MALFORMED_ENVELOPE",
            "constraints_hash",
            "cd",
        ),
    ];
    for (change, code, field, value) in cases {
        let rejection = refused(&[ENVELOPED], &enveloped(change));
        assert_eq!(
            (rejection.code, rejection.field.as_str(), rejection.value.as_str()),
            (code, field, value)
        );
    }
    let to = refused(&[ENVELOPED], &enveloped(|e| e.to = agent("qa")));
    assert!(to.problem.contains("mesh.intent.code") && to.fix.contains("qa"), "{to}");
}

#[test]
fn a_malformed_envelope_is_refused_with_the_place() {
    let text = String::from_utf8(enveloped(|_| {})).expect("UTF-8");
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        refused(&[ENVELOPED], text.replacen(from, to, 1).as_bytes())
    };
    let cases = [
        (broken("\"priority\":8", "\"priority\":11"), "priority", "11"),
        (broken("\"to\":\"code\"", "\"to\":\"A.b\""), "to", "\"A.b\""),
        (broken("\"hop\":1", "\"hop\":\"x\""), "hop", "\"x\""),
        (broken("\"goal\":\"goal\"", "\"goal\":3"), "task.goal", "3"),
        (
            broken("\"protocol\":\"1.7.0\"", "\"protocol\":\"3.0.0\""),
            "protocol",
            "\"3.0.0\"",
        ),
        (broken("\"intent\":\"order-42\"", "\"intent\":null"), "intent", ""),
        (refused(&[ENVELOPED], b"{\"topic\":"), ".", "{\"topic\":"),
        (refused(&[ENVELOPED], b""), ".", ""),
        (refused(&[ENVELOPED], b"{}"), "protocol", ""),
    ];
    for (rejection, field, value) in cases {
        assert_eq!(rejection.code, "MALFORMED_ENVELOPE");
        assert_eq!(
            (rejection.field.as_str(), rejection.value.as_str()),
            (field, value),
            "{rejection}"
        );
    }
}

#[test]
fn an_envelope_of_the_draft_is_taken_and_a_fault_in_it_is_named_in_its_own_words() {
    let draft = |change: fn(&mut Envelope)| {
        enveloped(|envelope| {
            change(envelope);
            envelope.protocol = Protocol::new(2, 0, 0);
        })
    };
    let body = draft(|_| {});
    assert!(String::from_utf8_lossy(&body).contains("\"to\":{\"agent\":\"code\""));
    let envelope = accepted(&[ENVELOPED], &body);
    assert_eq!((envelope.protocol.major(), &envelope.to), (2, &agent("code")));
    assert_eq!(envelope.payload, full_envelope().payload);
    let faults = [
        (refused(&[ENVELOPED], &draft(|e| e.to = agent("qa"))), "to.agent"),
        (refused(&[ENVELOPED], &draft(|e| e.deadline = Some(NOW))), "due.at"),
        (refused(&[ENVELOPED], &draft(|e| e.hop = 2)), "hop"),
    ];
    for (rejection, field) in faults {
        assert_eq!(rejection.field, field, "{rejection}");
    }
}

#[test]
fn a_refused_message_is_kept_whole_in_its_only_record() {
    let message = raw(&[(HEADER_PRIORITY, "11"), ("A", "1"), ("A", "2")], b"\xff\x00");
    let rejection = message
        .to_envelope(envelope_id(1), &agent("code"), NOW)
        .expect_err("priority 11");
    let error = ErrorInfo::new(rejection.code, rejection.to_string());
    let stamp = Stamp {
        id: record_id(1),
        at: NOW,
        by: Author::of(Role::Controller, "c-1"),
    };
    let record = act::refuse(NOW, error, message.keep()).seal(message.intent_id(), 0, stamp);
    let raw = record.raw.clone().expect("it is kept");
    let header = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        raw.headers,
        [header(HEADER_PRIORITY, "11"), header("A", "1"), header("A", "2")]
    );
    assert_eq!(
        (raw.subject.as_str(), raw.body_base64.as_str()),
        ("mesh.intent.code", "/wA=")
    );
    assert!(record.snapshot.status.is_terminal());
    assert_eq!(
        (record.snapshot.hop, record.snapshot.agent.as_ref()),
        (0, None),
        "no agent had a turn"
    );
    assert_eq!(next(None, &record.event), Ok(record.snapshot.status.clone()));
    let back = Record::decode(&serde_json::to_vec(&record).expect("JSON")).expect("its own writing");
    assert_eq!(back, record);
}
