//! What holds for each record that the agent wrote, in every trial.

use baton_envelope::{Record, next};

use crate::court::Court;
use crate::fault::{Fault, expect};
use crate::record::Stored;

/// The events that take the hop from its holder, or give it one: each raises the epoch by one.
const RAISING: [&str; 9] = [
    "claimed",
    "retry_scheduled",
    "released",
    "parked",
    "handed_off",
    "timed_out",
    "waiting",
    "fanned_out",
    "resumed",
];

pub(super) async fn are_lawful(court: &Court) -> Result<(), Fault> {
    for work in court.works().await {
        let history = court.history(&work).await?;
        for (before, record) in history.iter().zip(history.iter().skip(1)) {
            if record.is_by(court.agent.as_str()) {
                is_lawful(before, record).map_err(|fault| of(&work.intent, record, fault))?;
            }
        }
    }
    Ok(())
}

fn of(intent: &str, record: &Stored, fault: Fault) -> Fault {
    match fault {
        Fault::Broken { expected, seen } => Fault::Broken {
            expected: format!(
                "{expected} in the record {} of {intent}, {}",
                record.seq,
                record.in_words()
            ),
            seen,
        },
        other @ (Fault::Skipped(_) | Fault::Failed(_)) => other,
    }
}

fn is_lawful(before: &Stored, record: &Stored) -> Result<(), Fault> {
    let read = |stored: &Stored| {
        Record::decode(stored.body.as_bytes()).map_err(|error| Fault::Broken {
            expected: "a record that section 8 describes".to_owned(),
            seen: error.to_string(),
        })
    };
    let (earlier, later) = (read(before)?, read(record)?);
    for (name, wanted) in [("Baton-Event", record.event()), ("Baton-Status", record.status())] {
        let found = record.headers.get(name).cloned().unwrap_or_default();
        expect(
            found == wanted,
            format!("the header {name}: {wanted}"),
            format!("\"{found}\""),
        )?;
    }
    let guard = record.headers.get("Nats-Expected-Last-Subject-Sequence");
    expect(
        guard == Some(&before.seq.to_string()),
        format!("the guard {}", before.seq),
        format!("{guard:?}"),
    )?;
    let state = next(Some(&earlier.snapshot.status), &later.event).map_err(|error| Fault::Broken {
        expected: "a transition of section 9".to_owned(),
        seen: error.to_string(),
    })?;
    expect(
        state == later.snapshot.status,
        format!("the status `{}`", state.name()),
        format!("`{}`", later.snapshot.status.name()),
    )?;
    let raised = u64::from(RAISING.contains(&record.event()));
    let epoch = before.number("/snapshot/epoch") + raised;
    let found = record.number("/snapshot/epoch");
    expect(found == epoch, format!("epoch {epoch}"), format!("epoch {found}"))?;
    for field in ["submitted_at", "root", "parent", "deadline", "reply_to"] {
        let pointer = format!("/snapshot/{field}");
        let is_kept = before.at(&pointer) == record.at(&pointer);
        expect(
            is_kept,
            format!("`{field}` {}", before.at(&pointer)),
            record.at(&pointer).to_string(),
        )?;
    }
    let holds_envelope = ["handed_off", "resumed"].contains(&record.event());
    let has_source = record.at("/snapshot/envelope_seq").is_number();
    expect(
        holds_envelope != has_source,
        "`envelope_seq` in each record but the one that holds the envelope",
        record.at("/snapshot/envelope_seq").to_string(),
    )
}
