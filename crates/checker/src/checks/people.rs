//! P8: only who may decide, decides; a decision is never both accepted and late.
//!
//! Judged by the snapshot before each decision: the approval is open and nothing is certain, the person has a seat and is not
//! barred, nothing was said later about the seat, and the message was stored before the end. A message that counts has no dead
//! letter.
//!
//! Not seen: whether a form matched, and who really published a message.

use std::collections::BTreeMap;

use crate::history::Context;
use crate::record::{Record, Wait};
use crate::verdict::Violation;

const P8: &str = "P8";

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    let mut counted: BTreeMap<&str, &str> = BTreeMap::new();
    for history in context.histories.values() {
        let stored: BTreeMap<u64, i64> = history
            .records
            .iter()
            .map(|record| (record.seq, record.time_ms))
            .collect();
        for (before, record) in history.pairs() {
            let Some(people) = &record.people else { continue };
            if !matches!(people.act.as_str(), "decided" | "delegated") {
                continue;
            }
            if let Some(id) = &people.id {
                counted.insert(id, &record.intent);
            }
            if let Some(what) = problem(before, record, &stored) {
                found.push(Violation::of(P8, &record.intent, what));
            }
        }
    }
    for history in context.histories.values() {
        let raw = history.records.iter().filter_map(|record| record.raw.as_ref());
        for raw in raw.filter(|raw| raw.subject.contains(".decide.")) {
            let named = raw.headers.iter().find(|(name, _)| name == "Nats-Msg-Id");
            if let Some(intent) = named.and_then(|(_, id)| counted.get(id.as_str())) {
                let what = format!("{} counted, and is a dead letter, too", raw.subject);
                found.push(Violation::of(P8, intent, what));
            }
        }
    }
}

/// What is wrong with a decision that counts.
fn problem(before: &Record, record: &Record, stored: &BTreeMap<u64, i64>) -> Option<String> {
    let people = record.people.as_ref()?;
    let by = people.by.as_deref().unwrap_or("-");
    let is_it = |wait: &&Wait| wait.hop == people.hop && wait.name == people.wait;
    let Some((wait, ballot)) = before
        .snapshot
        .waits
        .iter()
        .find(is_it)
        .and_then(|wait| Some((wait, wait.ballot.as_ref()?)))
    else {
        return Some(format!("{by} decided about \"{}\", which is not open", people.wait));
    };
    if ballot.decided.is_some() {
        return Some(format!(
            "{by} decided about \"{}\" after the outcome was certain",
            people.wait
        ));
    }
    if ballot.barred.iter().any(|barred| barred == by) {
        return Some(format!("{by} decided about \"{}\", and is barred from it", people.wait));
    }
    let seat = ballot
        .seats
        .iter()
        .find(|seat| seat.person.as_deref().unwrap_or("-") == by);
    match seat {
        None if ballot.closed => return Some(format!("{by} decided about \"{}\" without a seat", people.wait)),
        Some(seat) if seat.said > people.said => {
            return Some(format!("{by} said something later about \"{}\"", people.wait));
        }
        Some(_) | None => {}
    }
    let opened = stored.get(&wait.seq.unwrap_or(before.seq))?;
    let due = opened + wait.after_ms?;
    let at = crate::record::millis(people.at.as_deref()?)?;
    (at >= due).then(|| format!("{by} decided about \"{}\" at or after its end", people.wait))
}
