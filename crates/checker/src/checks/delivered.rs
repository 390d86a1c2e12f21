//! I5: a committed handoff is delivered, and one that was not committed never is.
//!
//! Each run of a handler names the envelope that it got: a record of the ledger must hold it, for that hop. Where a
//! worker wrote what follows an envelope, there must be a run of that envelope, but where a fan-out has said where its work goes. Tickets that are still in a work stream
//! must match, byte for byte, the record that they name. I1 finds a committed handoff that nothing follows.
//!
//! Not seen: tickets that were acknowledged and are gone. A run whose trace was torn by a kill counts as present.

use std::collections::{HashMap, HashSet};

use crate::evidence::Effect;
use crate::history::{Context, History};
use crate::record::Record;
use crate::verdict::Violation;

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    for history in context.histories.values() {
        let held: HashMap<String, &Record> = history
            .envelopes()
            .filter_map(|(record, envelope)| Some((envelope.text("id")?, record)))
            .collect();
        let mut ran: HashSet<&str> = HashSet::new();
        for effect in context.effects_of(&history.intent) {
            let Effect::Run { envelope, hop, .. } = effect else {
                continue;
            };
            ran.insert(envelope);
            match held.get(envelope) {
                None => {
                    let what = format!("envelope {envelope} was run and is in no record");
                    found.push(Violation::of("I5", &history.intent, what));
                }
                Some(record) if record.snapshot.hop != *hop => {
                    let what = format!(
                        "envelope {envelope} is of hop {} and was run as hop {hop}",
                        record.snapshot.hop
                    );
                    found.push(Violation::of("I5", &history.intent, what));
                }
                Some(_) => {}
            }
        }
        for (before, record) in history.pairs() {
            let worked = matches!(
                record.event.name.as_str(),
                "handed_off" | "completed" | "rejected" | "failed" | "retry_scheduled" | "step"
            );
            let Some(envelope) = before.snapshot.envelope.as_deref() else {
                continue;
            };
            // A person leaves no trace of a run, nor does a worker that hands on what a fan-out came to.
            if before.snapshot.is_by_hand() || has_fanned_out(history, before) {
                continue;
            }
            if worked && record.by.role == "worker" && !ran.contains(envelope) && context.evidence.torn == 0 {
                let what = format!("record {} ends a hop that nobody ran: envelope {envelope}", record.seq);
                found.push(Violation::of("I5", &history.intent, what));
            }
        }
    }
    for intent in context.effects.keys() {
        if !context.histories.contains_key(*intent) {
            found.push(Violation::of("I5", intent, "it was run and has no record"));
        }
    }
    tickets(context, found);
}

/// Whether a worker stands in for the handler of a hop, which has said before this record where its work goes.
fn has_fanned_out(history: &History, before: &Record) -> bool {
    let of_hop = |record: &&Record| record.snapshot.hop == before.snapshot.hop && record.seq < before.seq;
    let asked = history.records.iter().filter(of_hop).flat_map(|record| &record.waits);
    asked.into_iter().any(|wait| wait.onward.is_some())
}

fn tickets(context: &Context<'_>, found: &mut Vec<Violation>) {
    let records: HashMap<u64, &Record> = context
        .histories
        .values()
        .flat_map(|history| &history.records)
        .map(|record| (record.seq, record))
        .collect();
    for ticket in &context.evidence.messages {
        if !ticket.subject.contains(".work.") {
            continue;
        }
        let intent = ticket.header("Baton-Intent").unwrap_or("(none)");
        let named = ticket
            .header("Baton-Ledger-Sequence")
            .and_then(|text| text.parse::<u64>().ok());
        let record = named.and_then(|seq| records.get(&seq));
        let source = record.and_then(|record| context.evidence.messages.get(record.message));
        if record.is_some_and(|record| record.snapshot.is_by_hand()) {
            let what = format!(
                "ticket {} in {} is of work that is done by hand",
                ticket.seq, ticket.stream
            );
            found.push(Violation::of("I5", intent, what));
        }
        let same = source.is_some_and(|source| source.bytes() == ticket.bytes());
        if !same {
            let what = format!("ticket {} in {} is not the record {named:?}", ticket.seq, ticket.stream);
            found.push(Violation::of("I5", intent, what));
        }
    }
}
