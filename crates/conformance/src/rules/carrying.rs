//! Handoffs: what the next envelope carries, and its ticket.

use baton_envelope::codes;
use serde_json::{Map, json};

use crate::court::{Court, Plan, SINK, SINK_ACTIVE, SINK_PINNED, Work};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::script::Script;

/// A payload that does not survive a parser of numbers and escapes.
const PAYLOAD: &str = r#"{"n": 1.50, "big": 12345678901234567890.0, "s": "\u00e9"}"#;
/// Constraints whose canonical text differs from them in every way.
const CONSTRAINTS: &str = r#"{ "max_cost": 1.50, "do_not": ["e\u006dail", "\u00e9"], "a": {} }"#;
/// Their hash, as section 7 gives it.
const HASH: &str = "751b8b0435a77e2dafe3c7657dedaa043c5f2f158e04b898dd111c485501d63f";

/// A plan whose script hands over, with further members of the envelope.
fn over(envelope: &str) -> Plan {
    Plan {
        script: Script::new().hand_off(SINK, PAYLOAD),
        envelope: envelope.to_owned(),
        ..Plan::default()
    }
}

/// Waits until an intent was handed over.
async fn handed(court: &Court, work: &Work) -> Result<Stored, Fault> {
    let is_done = |head: &Stored| head.is_over() || head.event() == "handed_off";
    let head = court.until(work, "the hop is handed off", is_done).await?;
    expect(head.event() == "handed_off", "`handed_off`", head.in_words())?;
    Ok(head)
}

/// Breaks the rule unless a field has these bytes.
fn is_raw(record: &Stored, path: &[&str], wanted: Option<&str>) -> Result<(), Fault> {
    let found = record.raw(path);
    expect(
        found.as_deref() == wanted,
        format!("{} {}", path.join("."), wanted.unwrap_or("absent")),
        found.unwrap_or_else(|| "absent".to_owned()),
    )
}

pub(super) async fn hands_off(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court
        .send("successor", over(r#","kind":"acme.test.v1","priority":5"#))
        .await?;
    let head = handed(court, &work).await?;
    let from = format!("\"{}@{}\"", court.agent, court.version);
    let quoted = |text: &str| format!("\"{text}\"");
    for (path, wanted) in [
        (["envelope", "hop"], "2"),
        (["envelope", "to"], &quoted(SINK)),
        (["envelope", "to_version"], &quoted(SINK_ACTIVE)),
        (["envelope", "previous"], &quoted(&work.envelope)),
        (["envelope", "intent"], &quoted(&work.intent)),
        (["envelope", "from"], &from),
        (["envelope", "kind"], &quoted("acme.test.v1")),
        (["envelope", "payload"], PAYLOAD),
        (["snapshot", "agent"], &quoted(SINK)),
        (["snapshot", "version"], &quoted(SINK_ACTIVE)),
        (["snapshot", "hop"], "2"),
        (["snapshot", "attempt"], "1"),
    ] {
        is_raw(&head, &path, Some(wanted))?;
    }
    let id = head.text("/envelope/id");
    expect(
        id != work.envelope && !id.is_empty() && head.text("/snapshot/envelope") == id,
        "a new envelope id, in the envelope and the snapshot",
        head.raw(&["snapshot", "envelope"]).unwrap_or_default(),
    )?;
    let path = json!([{"agent": court.agent.as_str(), "version": court.version.as_str()},
                      {"agent": SINK, "version": SINK_ACTIVE}]);
    expect(
        head.at("/snapshot/path") == &path,
        format!("the path {path}"),
        head.at("/snapshot/path").to_string(),
    )?;
    court.acks(ticket).await
}

pub(super) async fn writes_the_ticket(court: &Court) -> Result<(), Fault> {
    let (work, ticket) = court.send("ticket", over("")).await?;
    let head = handed(court, &work).await?;
    court.acks(ticket).await?;
    let found = court.sink_ticket(SINK_ACTIVE).await?;
    let Some(found) = found.filter(|found| found.headers.get("Baton-Intent") == Some(&work.intent)) else {
        return expect(
            false,
            "a ticket of the handoff with its `Baton-Intent`, before the ack",
            "none",
        );
    };
    expect(
        found.body == head.body,
        format!("the body of the record: {}", head.body),
        found.body,
    )?;
    for (name, wanted) in [
        ("Baton-Ledger-Sequence", head.seq.to_string()),
        ("Nats-Msg-Id", head.text("/envelope/id").to_owned()),
    ] {
        let value = found.headers.get(name).cloned().unwrap_or_default();
        expect(value == wanted, format!("{name}: {wanted}"), format!("\"{value}\""))?;
    }
    Ok(())
}

pub(super) async fn keeps_unknown_fields(court: &Court) -> Result<(), Fault> {
    let more = r#","acme-note":{ "n" : 1.50, "s":"\u00e9" },"task":{"goal":"g","acme-x":1e2},"history":[{"agent":"before","acme-y":0.10}]"#;
    let mut snapshot = Map::new();
    snapshot.insert("acme-state".to_owned(), json!({"kept": [1, 2]}));
    let plan = Plan { snapshot, ..over(more) };
    let (work, _) = court.send("unknown-fields", plan).await?;
    let head = handed(court, &work).await?;
    for path in [["acme-note"].as_slice(), ["task", "acme-x"].as_slice()] {
        let wanted = work.envelope_raw(path);
        let full: Vec<&str> = ["envelope"].iter().chain(path).copied().collect();
        is_raw(&head, &full, wanted.as_deref())?;
    }
    let history = head.raw(&["envelope", "history"]).unwrap_or_default();
    expect(
        history.contains(r#""acme-y":0.10"#),
        r#"the entry of `history` with "acme-y":0.10"#,
        history,
    )?;
    is_raw(&head, &["snapshot", "acme-state"], Some(r#"{"kept":[1,2]}"#))
}

pub(super) async fn carries_constraints(court: &Court) -> Result<(), Fault> {
    let more = format!(r#","constraints":{CONSTRAINTS},"constraints_hash":"{HASH}""#);
    let (work, _) = court.send("constraints", over(&more)).await?;
    let head = handed(court, &work).await?;
    is_raw(&head, &["envelope", "constraints"], Some(CONSTRAINTS))?;
    is_raw(&head, &["envelope", "constraints_hash"], Some(&format!("\"{HASH}\"")))
}

pub(super) async fn checks_the_hash(court: &Court) -> Result<(), Fault> {
    let other = CONSTRAINTS.replace("1.50", "1.5");
    let more = format!(r#","constraints":{other},"constraints_hash":"{HASH}""#);
    let (work, _) = court.send("must-carry", over(&more)).await?;
    let is_done = |head: &Stored| head.is_over() || head.event() == "handed_off";
    let head = court.until(&work, "the intent is parked", is_done).await?;
    expect(
        head.text("/snapshot/status/code") == codes::MUST_CARRY,
        format!("`parked` with {}", codes::MUST_CARRY),
        head.in_words(),
    )
}

pub(super) async fn obeys_the_limit(court: &Court) -> Result<(), Fault> {
    let plan = Plan {
        max_hops: Some(1),
        ..over("")
    };
    let (work, ticket) = court.send("hop-limit", plan).await?;
    let is_done = |head: &Stored| head.is_over() || head.event() == "handed_off";
    court.until(&work, "the intent is parked", is_done).await?;
    let history = court.history(&work).await?;
    let code = history.last().map(|head| head.text("/snapshot/status/code"));
    expect(
        code == Some(codes::HOP_LIMIT),
        format!("`parked` with {}", codes::HOP_LIMIT),
        story(&history),
    )?;
    court.acks(ticket).await
}

pub(super) async fn follows_pins(court: &Court) -> Result<(), Fault> {
    let pins = json!({SINK: SINK_PINNED});
    let mut snapshot = Map::new();
    snapshot.insert("pins".to_owned(), pins.clone());
    let plan = Plan {
        snapshot,
        ..over(&format!(r#","pins":{pins}"#))
    };
    let (work, _) = court.send("pins", plan).await?;
    let head = handed(court, &work).await?;
    is_raw(&head, &["envelope", "to_version"], Some(&format!("\"{SINK_PINNED}\"")))?;
    expect(
        head.at("/snapshot/pins") == &pins,
        format!("the pins {pins}"),
        head.at("/snapshot/pins").to_string(),
    )
}
