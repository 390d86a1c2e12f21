//! The records of an intent, one line each.

use baton_envelope::people::PeopleEntry;
use baton_envelope::{PlannedUndo, Record, shown};
use baton_jetstream::Head;

use super::{agent_at, one_line, turn, value};
use crate::output::Table;

/// How much of a note, an error or a step's result is shown in a line; all of it is in the JSON.
const NOTE: usize = 100;

/// The history as a table.
pub(crate) fn timeline(history: &[Head]) -> Table {
    let mut table = Table::new(&[
        "SEQ", "TIME", "EVENT", "STATUS", "AGENT", "HOP", "ATTEMPT", "EPOCH", "BY", "NOTE",
    ]);
    for head in history {
        let (record, snapshot) = (&head.record, &head.record.snapshot);
        table.row([
            head.seq.to_string(),
            record.at.to_string(),
            record.event.name().to_owned(),
            snapshot.status.to_string(),
            turn(snapshot),
            snapshot.hop.to_string(),
            snapshot.attempt.to_string(),
            snapshot.epoch.to_string(),
            by(record),
            note(record),
        ]);
    }
    table
}

/// One record on a line of its own, for a stream whose columns cannot be measured beforehand.
pub(crate) fn event_line(seq: u64, record: &Record, with_intent: bool) -> String {
    let snapshot = &record.snapshot;
    let mut parts = vec![record.at.to_string(), format!("#{seq:<6}")];
    if with_intent {
        parts.push(format!("{:<36}", record.intent.as_str()));
    }
    parts.push(format!("{:<15}", record.event.name()));
    parts.push(format!("{:<12}", snapshot.status.to_string()));
    parts.push(format!("{:<20}", turn(snapshot)));
    parts.push(format!("attempt {} epoch {}", snapshot.attempt, snapshot.epoch));
    parts.push(format!("by {}", by(record)));
    parts.push(note(record));
    shown(parts.join(" ").trim_end()).into_owned()
}

/// What a record says in words: its error, its step, its note.
fn note(record: &Record) -> String {
    let mut said = Vec::new();
    if let Some(step) = &record.step {
        let undo = step.undo.as_ref().map(|undo| format!(", undone by {}", undo.agent));
        said.push(format!(
            "{} = {}{}",
            step.name,
            step.result_ref.as_ref().map_or_else(
                || value(&step.result),
                |object| format!("an object of {} bytes", object.bytes)
            ),
            undo.unwrap_or_default()
        ));
    }
    if let Some(undo) = &record.undo {
        said.push(format!("undone by {}", undo.agent));
    }
    said.extend(spending(record));
    if !record.undos.is_empty() {
        let plan: Vec<String> = record.undos.iter().map(PlannedUndo::what).collect();
        said.push(format!("to undo: {}", plan.join(", ")));
    }
    for done in record.children.iter().filter(|done| done.is_undo()) {
        let states = done.ends.iter().map(|end| end.state.as_str());
        said.push(format!("{}: {}", done.name, states.collect::<Vec<_>>().join(", ")));
    }
    for wait in &record.waits {
        said.push(format!("{} {}", wait.kind.name(), wait.name));
    }
    if let Some(signal) = &record.signal {
        let by = signal.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        said.push(format!("{} = {}{by}", signal.name, value(&signal.data)));
    }
    for result in &record.results {
        let by = result.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        said.push(match result.data.is_null() {
            true => format!("{}: {}{by}", result.name, result.outcome.name()),
            false => format!("{}: {} {}{by}", result.name, result.outcome.name(), value(&result.data)),
        });
    }
    if let Some(entry) = &record.people {
        said.push(people(entry));
    }
    if let Some(state) = &record.state {
        said.push(value(state));
    }
    if let Some(note) = &record.note {
        said.push(note.clone());
    }
    if let Some(error) = &record.error {
        said.push(format!("{}: {}", error.code, error.message));
    }
    if let Some(at) = record.snapshot.wake_at {
        said.push(format!("not before {at}"));
    }
    one_line(&said.join("; "), NOTE)
}

/// What a record says of the budget.
fn spending(record: &Record) -> impl Iterator<Item = String> {
    let held = record.hold.as_ref();
    let held = held.map(|hold| format!("holds {} for {}", hold.amounts, hold.step));
    let spent = record.spend.as_ref().map(|spend| format!("spent {}", spend.amounts));
    let assumed = record.assumed.as_ref();
    let assumed = assumed.map(|amounts| format!("{amounts} that were held count as spent"));
    let added = record.top_up.as_ref().map(|top_up| match &top_up.lent_to {
        Some(child) if top_up.paid => format!("child {child} has what it was lent"),
        Some(child) => format!("lends child {child} {} more", top_up.amounts),
        None => format!("adds {}", top_up.amounts),
    });
    [held, spent, assumed, added].into_iter().flatten()
}

fn by(record: &Record) -> String {
    match &record.by.agent {
        Some(_) => format!(
            "{}/{}",
            agent_at(record.by.agent.as_ref(), record.by.version.as_ref()),
            record.by.instance
        ),
        None => format!("{} {}", record.by.role.name(), record.by.instance),
    }
}

/// What people did: `publish: decided approve by ada`.
fn people(entry: &PeopleEntry) -> String {
    let mut said = format!("{}: {}", entry.wait, entry.act.name());
    if let Some(choice) = &entry.choice {
        said.push_str(&format!(" {choice}"));
    }
    if let Some(from) = &entry.from {
        said.push_str(&format!(" from {from}"));
    }
    if !entry.to.is_empty() {
        said.push_str(&format!(" to {}", entry.to.join(", ")));
    }
    if let Some(by) = &entry.by {
        said.push_str(&format!(" by {by}"));
    }
    if !entry.form.is_null() {
        said.push_str(&format!(" ({})", value(&entry.form)));
    }
    said
}
