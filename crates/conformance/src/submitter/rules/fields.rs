//! What was asked for arrives.

use std::time::Duration;

use baton_envelope::Envelope;

use crate::fault::{Fault, expect};
use crate::submitter::arrival::{Arrival, Way, list};
use crate::submitter::desk::Desk;
use crate::submitter::ending::Play;
use crate::submitter::job::Job;

/// A payload that does not survive a parser of numbers and escapes.
const SPELLED: &str = r#"{"n": 1.50, "big": 12345678901234567890.0, "s": "\u00e9"}"#;
/// Constraints whose canonical text differs from them in every way.
const CONSTRAINTS: &str = r#"{ "max_cost": 1.50, "do_not": ["e\u006dail", "\u00e9"], "a": {} }"#;
/// Their hash, as section 7 gives it.
const HASH: &str = "\"751b8b0435a77e2dafe3c7657dedaa043c5f2f158e04b898dd111c485501d63f\"";
/// Members of an envelope that this minor does not have, at both levels.
const UNKNOWN: &str = r#"{"acme-note": { "n" : 1.50, "s":"\u00e9" }, "task": {"goal":"g","acme-x":1e2}}"#;

/// The envelope that an intent says.
pub(super) fn envelope(arrival: &Arrival) -> Result<&Envelope, Fault> {
    arrival.read.as_ref().map_err(|rejection| Fault::Broken {
        expected: "an intent that a router takes in".to_owned(),
        seen: format!("{}: {rejection}", arrival.in_words()),
    })
}

pub(super) async fn carries_the_payload(desk: &Desk) -> Result<(), Fault> {
    let payloads: [(&[u8], &str, Option<&str>); 4] = [
        (SPELLED.as_bytes(), SPELLED, None),
        ("caf\u{e9}, no JSON".as_bytes(), "\"caf\u{e9}, no JSON\"", None),
        (b"\xff\x00\xfe", "\"/wD+\"", Some("base64")),
        (b"", "null", None),
    ];
    for (bytes, wanted, encoding) in payloads {
        let arrival = desk.submitted(&Job::of(bytes)).await?;
        let envelope = envelope(&arrival)?;
        let found = envelope.payload.get();
        // How a string is escaped that the submitter made itself is its choice.
        let is_same = found == wanted
            || wanted.starts_with('"') && envelope.payload.read::<String>().ok() == serde_json::from_str(wanted).ok();
        expect(is_same, format!("the payload {wanted}"), found)?;
        expect(
            envelope.payload_encoding.as_deref() == encoding,
            format!("`payload_encoding` {}", encoding.unwrap_or("absent")),
            format!("{:?}", envelope.payload_encoding),
        )?;
    }
    Ok(())
}

pub(super) async fn keeps_the_id(desk: &Desk) -> Result<(), Fault> {
    let id = desk.new_id("id");
    let arrival = desk.submitted(&Job::of("1").intent(&id)).await?;
    expect(arrival.intent == id, format!("the intent \"{id}\""), arrival.in_words())
}

pub(super) async fn makes_new_ids(desk: &Desk) -> Result<(), Fault> {
    let first = desk.submitted(&Job::of("1")).await?;
    let second = desk.submitted(&Job::of("1")).await?;
    expect(
        first.intent != second.intent,
        "another id in each run",
        format!("\"{}\" twice", first.intent),
    )
}

pub(super) async fn carries_the_kind(desk: &Desk) -> Result<(), Fault> {
    let kind = "conformance.\u{e9}.v1";
    let arrival = desk.submitted(&Job::of("1").kind(kind)).await?;
    let found = envelope(&arrival)?.kind.clone();
    expect(
        found.as_deref() == Some(kind),
        format!("the kind \"{kind}\""),
        format!("{found:?}"),
    )
}

pub(super) async fn carries_the_priority(desk: &Desk) -> Result<(), Fault> {
    let arrival = desk.submitted(&Job::of("1").priority(9)).await?;
    let found = envelope(&arrival)?.priority;
    expect(found.get() == 9, "priority 9", found.to_string())
}

pub(super) async fn carries_the_deadline(desk: &Desk) -> Result<(), Fault> {
    let deadline = desk.mesh.now().plus(Duration::from_secs(3600));
    let arrival = desk.submitted(&Job::of("1").deadline(&deadline.to_string())).await?;
    let found = envelope(&arrival)?.deadline;
    expect(
        found == Some(deadline),
        format!("the deadline {deadline}"),
        found.map_or_else(|| "none".to_owned(), |found| found.to_string()),
    )
}

pub(super) async fn carries_the_limit(desk: &Desk) -> Result<(), Fault> {
    let arrival = desk.submitted(&Job::of("1").max_hops(3)).await?;
    let found = envelope(&arrival)?.max_hops;
    expect(found.get() == 3, "max_hops 3", found.to_string())
}

/// Breaks the rule unless a member of the envelope has these bytes.
fn is_raw(arrival: &Arrival, path: &[&str], wanted: &str) -> Result<(), Fault> {
    let found = arrival.envelope_raw(path);
    expect(
        found.as_deref() == Some(wanted),
        format!("{} {wanted}", path.join(".")),
        found.unwrap_or_else(|| format!("absent in {}", arrival.in_words())),
    )
}

pub(super) async fn carries_constraints(desk: &Desk) -> Result<(), Fault> {
    let arrival = desk.submitted(&Job::of("1").constraints(CONSTRAINTS)).await?;
    is_raw(&arrival, &["constraints"], CONSTRAINTS)?;
    // A router computes the hash of an envelope that does not state it, and refuses a wrong one.
    envelope(&arrival)?;
    if arrival.way == Way::Record {
        is_raw(&arrival, &["constraints_hash"], HASH)?;
    }
    Ok(())
}

pub(super) async fn carries_unknown_fields(desk: &Desk) -> Result<(), Fault> {
    let arrival = desk.submitted(&Job::of("1").envelope(UNKNOWN)).await?;
    envelope(&arrival)?;
    is_raw(&arrival, &["acme-note"], r#"{ "n" : 1.50, "s":"\u00e9" }"#)?;
    is_raw(&arrival, &["task", "acme-x"], "1e2")
}

pub(super) async fn refuses_bad_texts(desk: &Desk) -> Result<(), Fault> {
    for kind in ["two\nlines", "esc\u{1b}[31m"] {
        let trial = desk.run(&Job::of("1").kind(kind), Play::Nothing).await?;
        expect(
            trial.run.has_failed() && trial.arrivals.is_empty(),
            format!("an exit code other than 0, and nothing submitted, for the kind {kind:?}"),
            format!("{}; {}", trial.run.in_words(), list(&trial.arrivals)),
        )?;
    }
    Ok(())
}
