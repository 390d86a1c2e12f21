//! I2: a hop commits at most once. I3: no record follows a terminal one. I4: every history is legal. I9: the path never
//! grows past `max_hops`.
//!
//! Each record is compared with the one before it: its guard must be the sequence of that record (so no two writers
//! ever followed the same head), the status must be the one in the table of `docs/protocol.md` section 9, and epoch,
//! attempt, hop, holder, envelope and path must have changed as section 9 says. A commit counts for the hop of the
//! record before it.
//!
//! Not seen: a write that the server refused.

use std::collections::{HashMap, HashSet};

use crate::checks::is_commit;
use crate::checks::undo::is_undo;
use crate::history::{Context, History};
use crate::record::{Record, Snapshot};
use crate::table::{allows, is_terminal, puts_work};
use crate::verdict::Violation;

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    let mut ids: HashMap<&str, &str> = HashMap::new();
    for history in context.histories.values() {
        let mut complain = |invariant, what: String| found.push(Violation::of(invariant, &history.intent, what));
        for record in &history.records {
            if ids.insert(&record.id, &history.intent).is_some() {
                complain("I2", format!("record id {} was written twice", record.id));
            }
        }
        guards(context, history, &mut complain);
        commits(history, &mut complain);
        let mut before: Option<&Record> = None;
        for record in &history.records {
            follow(before, record, &mut complain);
            hops(before, record, &mut complain);
            before = Some(record);
        }
    }
}

fn guards(context: &Context<'_>, history: &History, complain: &mut impl FnMut(&'static str, String)) {
    let mut last = 0;
    let mut void = history.void.iter().copied().peekable();
    for record in &history.records {
        while let Some(seq) = void.next_if(|seq| *seq < record.seq) {
            last = seq;
        }
        let message = context.evidence.messages.get(record.message);
        let header = |name| message.and_then(|message| message.header(name));
        let guard = header("Nats-Expected-Last-Subject-Sequence").and_then(|text| text.parse::<u64>().ok());
        if guard != Some(last) {
            let what = format!(
                "record {} was guarded by {guard:?}; the head before it is {last}",
                record.seq
            );
            complain("I4", what);
        }
        let (event, status) = (header("Baton-Event"), header("Baton-Status"));
        if event != Some(&record.event.name) || status != Some(&record.snapshot.status.state) {
            complain(
                "I4",
                format!("record {} has headers {event:?} and {status:?}", record.seq),
            );
        }
        last = record.seq;
    }
}

fn commits(history: &History, complain: &mut impl FnMut(&'static str, String)) {
    let mut committed: HashSet<u64> = HashSet::new();
    for (before, record) in history.pairs() {
        if is_commit(&record.event.name, &record.by.role) && !committed.insert(before.snapshot.hop) {
            let what = format!(
                "hop {} was committed again by record {}",
                before.snapshot.hop, record.seq
            );
            complain("I2", what);
        }
    }
}

fn follow(before: Option<&Record>, record: &Record, complain: &mut impl FnMut(&'static str, String)) {
    let (event, after) = (record.event.name.as_str(), &record.snapshot);
    let status = before.map(|before| before.snapshot.status.state.as_str());
    if status.is_some_and(is_terminal) {
        let what = format!("record {} ({event}) follows {}", record.seq, status.unwrap_or_default());
        complain("I3", what);
        return;
    }
    if !begins_in_line(status, event, after) && !allows(status, event, &after.status.state) {
        let (status, then) = (status.unwrap_or("none"), &after.status.state);
        complain(
            "I4",
            format!(
                "record {}: {status} - {event} -> {then} is not in the table",
                record.seq
            ),
        );
        return;
    }
    let Some(before) = before.map(|before| &before.snapshot) else {
        if event == "submitted" && !is_beginning(record) {
            complain("I4", format!("record {} is no beginning", record.seq));
        }
        return;
    };
    let works = puts_work(event) && record.envelope.is_some();
    let (epochs, attempts): (&[u64], &[u64]) = match event {
        _ if works => (&[1], &[]),
        "claimed" => (&[1], &[0, 1]),
        "retry_scheduled" => (&[1], &[1]),
        "released" | "parked" => (&[1], &[0]),
        "started" | "step" | "progress" | "repinned" | "placed" | "topped_up" | "completed" => (&[0], &[0]),
        _ => (&[0, 1], &[0]),
    };
    let is_one_of = |grown: &[u64], from: u64, to: u64| grown.iter().any(|by| from.checked_add(*by) == Some(to));
    if !is_one_of(epochs, before.epoch, after.epoch) {
        let what = format!(
            "record {} ({event}): epoch {} -> {}",
            record.seq, before.epoch, after.epoch
        );
        complain("I4", what);
    }
    let attempt_is_right = match works {
        true => after.attempt == 1,
        false => is_one_of(attempts, before.attempt, after.attempt),
    };
    if !attempt_is_right {
        let what = format!(
            "record {} ({event}): attempt {} -> {}",
            record.seq, before.attempt, after.attempt
        );
        complain("I4", what);
    }
    let holder_is_right = match event {
        "claimed" | "started" => after.holder.as_deref() == Some(&record.by.instance),
        "retry_scheduled" | "released" | "parked" => after.holder.is_none(),
        "step" => before.holder.as_deref() == Some(&record.by.instance),
        _ => !works || after.holder.is_none(),
    };
    if !holder_is_right {
        let what = format!(
            "record {} ({event}) by {}: holder {:?}",
            record.seq, record.by.instance, after.holder
        );
        complain("I4", what);
    }
    let expected = envelope_of(before, record, works);
    if after.envelope != expected {
        let what = format!(
            "record {} ({event}): envelope {:?}, not {expected:?}",
            record.seq, after.envelope
        );
        complain("I4", what);
    }
    if event == "retry_scheduled" && after.wake_at.is_none() {
        complain("I4", format!("record {}: a retry without a time", record.seq));
    }
}

/// Whether the first record of an intent stands where one begins.
fn is_beginning(record: &Record) -> bool {
    let first = &record.snapshot;
    match first.channel {
        // No agent has it.
        Some(_) => first.epoch == 1 && first.hop == 0 && first.agent.is_none(),
        None if is_copy(record) => first.epoch == 1 && first.attempt == 1 && first.hop == 1,
        None => {
            let is_first_hop = first.parent.is_none() || is_undo(record);
            first.epoch == 1 && first.attempt == 1 && (first.hop == 1) == is_first_hop
        }
    }
}

/// Whether a record begins the copy of a broadcast: its parent has no hop.
fn is_copy(record: &Record) -> bool {
    #[derive(serde::Deserialize)]
    struct Join {
        hop: u64,
    }
    let join = record.envelope.as_ref().and_then(|envelope| envelope.raw("join"));
    join.and_then(|join| serde_json::from_str(join).ok())
        .is_some_and(|Join { hop }| hop == 0)
}

/// Whether a record begins work, or begins it again, that waits: for its time, or for its turn.
fn begins_in_line(status: Option<&str>, event: &str, after: &Snapshot) -> bool {
    let waits = after.status.state == "waiting";
    let awaits_turn = waits && after.is_before_its_turn();
    match event {
        "submitted" => {
            status.is_none() && (awaits_turn || waits && (after.wake_at.is_some() || after.channel.is_some()))
        }
        "redriven" if after.status.state == "compensating" => status == Some("parked") && after.is_undoing(),
        "redriven" => status == Some("parked") && awaits_turn,
        _ => false,
    }
}

/// The envelope that the snapshot of a record must name. A hop that a controller gives to its version again keeps its
/// attempt, and has a new one.
fn envelope_of(before: &Snapshot, record: &Record, works: bool) -> Option<String> {
    let held = record.envelope.as_ref().and_then(|envelope| envelope.text("id"));
    let is_renewed = record.event.name == "released" && record.by.role != "worker" && held.is_some();
    if works || is_renewed {
        held
    } else {
        before.envelope.clone()
    }
}

/// I9, and that hops are counted correctly.
fn hops(before: Option<&Record>, record: &Record, complain: &mut impl FnMut(&'static str, String)) {
    let at = &record.snapshot;
    if at.hop > at.max_hops {
        complain(
            "I9",
            format!("record {}: hop {} of at most {}", record.seq, at.hop, at.max_hops),
        );
    }
    if at.path.len() as u64 != at.hop {
        let what = format!("record {}: hop {} with a path of {}", record.seq, at.hop, at.path.len());
        complain("I9", what);
    }
    if let Some(envelope) = &record.envelope
        && (envelope.hop() != at.hop || envelope.max_hops() != at.max_hops)
    {
        let what = format!("record {}: its envelope is of hop {}", record.seq, envelope.hop());
        complain("I9", what);
    }
    let Some(before) = before else { return };
    // Work that nobody of its agent took goes to another one, as its next hop.
    let is_passed_over = record.event.name == "rerouted" && before.snapshot.agent != at.agent;
    let grown = u64::from(record.event.name == "handed_off" || is_passed_over);
    if before.snapshot.hop + grown != at.hop {
        let what = format!("record {}: hop {} -> {}", record.seq, before.snapshot.hop, at.hop);
        complain("I9", what);
    }
    if before.snapshot.max_hops != at.max_hops && record.event.name != "redriven" {
        let what = format!("record {}: the limit on hops changed", record.seq);
        complain("I9", what);
    }
}
