//! One module for each group of invariants; each states what it sees and what it cannot see.

pub mod broadcasts;
pub mod budgets;
pub mod carried;
pub mod children;
pub mod contexts;
pub mod delivered;
pub mod drained;
pub mod gaps;
pub mod itinerary;
pub mod kills;
pub mod legal;
pub mod limits;
pub mod lost;
pub mod order;
pub mod people;
pub mod steps;
pub mod taken_back;
pub mod time;
pub mod turns;
pub mod undo;
pub mod versions;
pub mod waits;

use std::collections::{HashMap, HashSet};

use crate::evidence::Effect;
use crate::history::Context;
use crate::verdict::{Counts, Violation};

/// Runs every check.
pub(crate) fn all(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    lost::check(context, found);
    legal::check(context, found);
    delivered::check(context, found);
    steps::check(context, found);
    versions::check(context, found);
    drained::check(context, counts, found);
    carried::check(context, found);
    itinerary::check(context, counts, found);
    time::check(context, counts, found);
    order::check(context, counts, found);
    people::check(context, found);
    waits::check(context, counts, found);
    children::check(context, counts, found);
    broadcasts::check(context, counts, found);
    budgets::check(context, counts, found);
    contexts::check(context, counts, found);
    gaps::check(context, counts, found);
    kills::check(context, counts, found);
    limits::check(context, counts, found);
    turns::check(context, counts, found);
    undo::check(context, counts, found);
    taken_back::check(context, counts, found);
}

/// Whether a worker ended a hop with this record.
pub(crate) fn is_commit(event: &str, role: &str) -> bool {
    role == "worker" && matches!(event, "handed_off" | "completed" | "rejected" | "failed")
}

/// Counts what the evidence contains.
pub(crate) fn count(context: &Context<'_>) -> Counts {
    let mut counts = Counts {
        intents: context.histories.len(),
        acknowledged: context.acked.len(),
        torn: context.evidence.torn,
        ..Counts::default()
    };
    for history in context.histories.values() {
        for record in &history.records {
            counts.records += 1;
            *counts.events.entry(record.event.name.clone()).or_default() += 1;
            counts.commits += usize::from(is_commit(&record.event.name, &record.by.role));
        }
        if let Some(head) = history.head() {
            *counts.ends.entry(head.snapshot.status.to_string()).or_default() += 1;
        }
        for (before, record) in history.pairs() {
            let burnt = record.event.name == "claimed" && record.snapshot.attempt > before.snapshot.attempt;
            counts.takeovers += usize::from(burnt);
        }
        count_runs(context, history, &mut counts);
    }
    counts
}

fn count_runs(context: &Context<'_>, history: &crate::History, counts: &mut Counts) {
    let recorded: HashSet<String> = history
        .records
        .iter()
        .filter_map(|record| serde_json::from_str(record.step.as_ref()?.result.as_ref()?.get()).ok())
        .collect();
    let mut ended: HashMap<&str, u64> = HashMap::new();
    for (before, record) in history.pairs() {
        if let (true, Some(envelope)) = (
            is_commit(&record.event.name, &record.by.role),
            &before.snapshot.envelope,
        ) {
            ended.insert(envelope, before.snapshot.epoch);
        }
    }
    let mut seen: HashSet<&str> = HashSet::new();
    for effect in context.effects_of(&history.intent) {
        match effect {
            Effect::Run { envelope, epoch, .. } => {
                counts.runs += 1;
                counts.reruns += usize::from(!seen.insert(envelope));
                let older = ended.get(envelope.as_str()).is_some_and(|committed| epoch < committed);
                counts.fenced += usize::from(older);
            }
            Effect::Ended { .. } => {}
            Effect::Step { token, .. } => {
                counts.effects += 1;
                counts.unrecorded_effects += usize::from(!recorded.contains(token));
            }
        }
    }
}
