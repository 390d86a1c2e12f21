//! P10, by the traces: what an intent did that ended as `compensated` was taken back exactly once, and what no undo was begun for
//! was never taken back.
//!
//! Judged are steps whose undo has `takes_back` with their own result in its payload, as those of the load have. An effect that takes
//! another one back names its token. It counts where a step records it and its intent completed: a crash
//! between an effect and its record can make it happen again (I6), and an undo that failed may be tried as another one.
//!
//! Not seen: undos of handoffs, which have no effect of their own. Where a kill has torn a trace, what is missing says nothing.

use std::collections::{BTreeMap, HashMap};

use crate::evidence::Effect;
use crate::history::{Context, History};
use crate::record::{Record, inner};
use crate::verdict::{Counts, Violation};

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let back = taken_back(context);
    for history in context.histories.values() {
        let is_undone = |record: &Record| record.event.name == "compensated";
        let is_undone = history.records.iter().any(is_undone);
        counts.compensated += usize::from(is_undone);
        let begun = history.records.iter().any(|record| record.snapshot.is_undoing());
        for (step, token) in undoable(history) {
            let undos = back.get(token.as_str()).map(Vec::as_slice).unwrap_or_default();
            let done: Vec<&str> = undos.iter().filter(|one| one.counts).map(|one| one.intent).collect();
            counts.taken_back += usize::from(is_undone && done.len() == 1);
            let what = match done.as_slice() {
                [] if is_undone && context.evidence.torn == 0 => "was never taken back",
                [_, _, ..] => "was taken back more than once",
                _ if !begun && !undos.is_empty() => "was taken back, and nobody began to undo it",
                _ => continue,
            };
            let by: Vec<&str> = undos.iter().map(|one| one.intent).collect();
            let what = format!("the effect {token} of step {step} {what}: {by:?}");
            found.push(Violation::of("P10", &history.intent, what));
        }
    }
}

/// An effect that took another one back.
struct Back<'a> {
    intent: &'a str,
    /// A step records it, and its intent completed.
    counts: bool,
}

/// What took each effect back, by its token.
fn taken_back<'a>(context: &Context<'a>) -> BTreeMap<&'a str, Vec<Back<'a>>> {
    let mut recorded: HashMap<&str, Vec<String>> = HashMap::new();
    let mut found: BTreeMap<&str, Vec<Back<'_>>> = BTreeMap::new();
    for effect in &context.evidence.effects {
        let Effect::Step {
            intent,
            token,
            takes_back: Some(back),
            ..
        } = effect
        else {
            continue;
        };
        let history = context.histories.get(intent);
        let is_completed = history
            .and_then(History::head)
            .is_some_and(|head| head.snapshot.status.state == "completed");
        let tokens = recorded.entry(intent).or_insert_with(|| {
            let records = history.map(|history| history.records.as_slice()).unwrap_or_default();
            records.iter().filter_map(token_of).collect()
        });
        let counts = is_completed && tokens.contains(token);
        found.entry(back).or_default().push(Back { intent, counts });
    }
    found
}

/// What a step returned.
fn token_of(record: &Record) -> Option<String> {
    serde_json::from_str(record.step.as_ref()?.result.as_ref()?.get()).ok()
}

/// The steps whose undo is asked to take back what they returned.
fn undoable(history: &History) -> Vec<(String, String)> {
    let steps = history.records.iter().filter_map(|record| {
        let step = record.step.as_ref()?;
        let asked = step.undo.as_ref()?.payload.as_ref()?;
        let token = token_of(record)?;
        let is_asked = inner::<String>(asked.get(), "takes_back").as_ref() == Some(&token);
        is_asked.then(|| (step.name.clone(), token))
    });
    steps.collect()
}
