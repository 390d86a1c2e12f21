//! What holds for each record and ticket that a submitter wrote, in every trial.

use baton_envelope::{Record, next};
use serde_json::{Value, json};

use crate::fault::{Fault, expect};
use crate::submitter::arrival::{Arrival, Way};
use crate::submitter::desk::Desk;
use crate::submitter::rules::fields::envelope;
use crate::submitter::rules::lawful::{is_version7, of};

/// What the snapshot takes from the envelope as it is.
const TAKEN: [&str; 8] = [
    "priority", "kind", "deadline", "max_hops", "reply_to", "pins", "root", "parent",
];

pub(super) async fn are_lawful(desk: &Desk) -> Result<(), Fault> {
    for arrival in of(desk, &[Way::Record]).await? {
        is_lawful(&arrival).map_err(|fault| match fault {
            Fault::Broken { expected, seen } => Fault::Broken {
                expected: format!("{expected} in the record of {}", arrival.in_words()),
                seen,
            },
            other @ (Fault::Skipped(_) | Fault::Failed(_)) => other,
        })?;
    }
    Ok(())
}

fn is_lawful(arrival: &Arrival) -> Result<(), Fault> {
    let record = &arrival.message;
    let envelope = envelope(arrival)?;
    // Work that begins later waits for its time first, other work perhaps for its turn.
    let (status, wake_at) = match is_postponed(arrival)? {
        true => ("waiting", record.at("/envelope/not_before").clone()),
        false if is_in_turn(arrival) => ("waiting", Value::Null),
        false => ("pending", Value::Null),
    };
    for (name, wanted) in [
        ("Nats-Expected-Last-Subject-Sequence", "0"),
        ("Baton-Event", "submitted"),
        ("Baton-Status", status),
    ] {
        let found = record.header(name);
        expect(
            found == wanted,
            format!("the header {name}: {wanted}"),
            format!("\"{found}\""),
        )?;
    }
    let read = Record::decode(&record.bytes).map_err(|error| Fault::Broken {
        expected: "a record that section 8 describes".to_owned(),
        seen: error.to_string(),
    })?;
    next(None, &read.event).map_err(|error| Fault::Broken {
        expected: "`submitted`".to_owned(),
        seen: error.to_string(),
    })?;
    expect(
        read.snapshot.status.name() == status && record.event() == "submitted",
        format!("`submitted`, which leads to `{status}`"),
        record.in_words(),
    )?;
    let id = record.text("/id");
    expect(is_version7(id), "a record id: a UUID of version 7 in lower case", id)?;
    let (agent, version) = (envelope.to.as_str(), record.text("/envelope/to_version"));
    for (pointer, wanted) in [
        ("/intent", json!(arrival.intent)),
        ("/envelope/intent", json!(arrival.intent)),
        ("/by/role", json!("client")),
        ("/snapshot/attempt", json!(1)),
        ("/snapshot/epoch", json!(1)),
        ("/snapshot/hop", json!(1)),
        ("/snapshot/agent", json!(agent)),
        ("/snapshot/version", json!(version)),
        ("/snapshot/envelope", record.at("/envelope/id").clone()),
        ("/snapshot/envelope_seq", Value::Null),
        ("/snapshot/holder", Value::Null),
        ("/snapshot/wake_at", wake_at),
        ("/snapshot/submitted_at", record.at("/at").clone()),
        ("/snapshot/updated_at", record.at("/at").clone()),
        ("/snapshot/path", json!([{"agent": agent, "version": version}])),
    ] {
        is_at(arrival, pointer, &wanted)?;
    }
    for name in TAKEN {
        let wanted = record.at(&format!("/envelope/{name}"));
        is_at(arrival, &format!("/snapshot/{name}"), wanted)?;
    }
    Ok(())
}

/// Whether the envelope has a time that is later than the record's.
fn is_postponed(arrival: &Arrival) -> Result<bool, Fault> {
    let Some(from) = envelope(arrival)?.not_before else {
        return Ok(false);
    };
    let read = Record::decode(&arrival.message.bytes).map_err(|error| Fault::Broken {
        expected: "a record that section 8 describes".to_owned(),
        seen: error.to_string(),
    })?;
    Ok(from > read.at)
}

/// Whether it waits for its turn, or has a key and so has to.
fn is_in_turn(arrival: &Arrival) -> bool {
    let has = |pointer| !arrival.at(pointer).is_null();
    has("/snapshot/order") || has("/envelope/order_key")
}

/// Breaks the rule unless a field of the record has this value, or both are the default.
fn is_at(arrival: &Arrival, pointer: &str, wanted: &Value) -> Result<(), Fault> {
    let found = arrival.at(pointer);
    let is_default = |value: &Value| match (pointer, value) {
        (_, Value::Null) => true,
        ("/snapshot/priority", value) => value == &json!(5),
        ("/snapshot/max_hops", value) => value == &json!(10),
        ("/snapshot/root", value) => value == &json!(arrival.intent),
        (_, Value::Object(members)) => members.is_empty(),
        _ => false,
    };
    expect(
        found == wanted || is_default(found) && is_default(wanted),
        format!("{wanted} at {pointer}"),
        found.to_string(),
    )
}

pub(super) async fn have_tickets(desk: &Desk) -> Result<(), Fault> {
    for arrival in of(desk, &[Way::Record]).await? {
        let tickets = desk.tickets(&arrival.intent).await;
        if !arrival.is_confirmed && tickets.is_empty() {
            continue;
        }
        if is_postponed(&arrival)? || is_in_turn(&arrival) {
            let none = "no ticket before the time or the turn of the work";
            expect(
                tickets.is_empty(),
                none,
                format!("{} of {}", tickets.len(), arrival.in_words()),
            )?;
            continue;
        }
        expect(
            !tickets.is_empty(),
            format!("a ticket for {}", arrival.in_words()),
            "none",
        )?;
        let envelope = envelope(&arrival)?;
        let version = arrival
            .message
            .text("/snapshot/version")
            .replace('.', "_")
            .replace('+', "=");
        let namespace = desk.mesh.subjects().namespace();
        let subject = format!("{namespace}.work.{}.{version}.p{}", envelope.to, envelope.priority);
        for ticket in tickets {
            let words = format!("in the ticket of {}", arrival.in_words());
            expect(
                ticket.subject == subject,
                format!("the subject {subject} {words}"),
                ticket.subject.as_str(),
            )?;
            expect(
                ticket.bytes == arrival.message.bytes,
                format!("the body of the record {words}: {}", arrival.message.body),
                ticket.body.as_str(),
            )?;
            let is_reissued = ticket.header("Baton-Reissued") == "1";
            let id = envelope.id.to_string();
            for (name, wanted) in [
                ("Baton-Ledger-Sequence", arrival.message.seq.to_string()),
                (
                    "Nats-Msg-Id",
                    if is_reissued {
                        format!("{id}:{}", arrival.message.seq)
                    } else {
                        id
                    },
                ),
            ] {
                let found = ticket.header(name);
                expect(
                    found == wanted,
                    format!("{name}: {wanted} {words}"),
                    format!("\"{found}\""),
                )?;
            }
        }
    }
    Ok(())
}
