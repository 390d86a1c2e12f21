//! I12: stop by signal burns no attempt. I13: retries, deadlines and delays survive the death of every process.
//!
//! I12: after `released` the next claim has the same attempt. And if a claim did burn an attempt, the handler that ran
//! before it (the last run of that hop and epoch) must not belong to a worker that was stopped in good order while it
//! ran. Only stops that the journal calls clean count: a worker that cannot reach its server cannot give anything back.
//!
//! I13: after `retry_scheduled` no claim comes before the delay is over, by the clock of the server that stored both.
//! I1 checks that the claim comes at all, through every kill. Records whose writer's clock was off are left out: the
//! writer judges lateness by its own clock. An intent whose deadline has passed may not be open at the end: I1 again.
//!
//! Not seen: a stop that cut a handler short in its first 200 ms if no claim followed.

use std::collections::HashMap;

use crate::evidence::{Effect, Journal};
use crate::history::{Context, History};
use crate::record::{Record, millis};
use crate::verdict::{Counts, Violation};

/// A handler of the load that began longer ago than this was not cut short by the stop, in milliseconds.
const RECENT: i64 = 3_000;
/// How soon a claim must follow a stop to count as its consequence, in milliseconds.
const AFTER: i64 = 30_000;
/// How far a clock may be off and still count as right, in milliseconds; a slow publish looks the same.
const SKEW: i64 = 500;
/// How much earlier than its delay a claim may be stored, in milliseconds: times are truncated to whole ones.
const SLACK: i64 = 20;

struct Stop {
    from_ms: i64,
    until_ms: i64,
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let mut stops: HashMap<&str, Stop> = HashMap::new();
    for line in &context.evidence.journal {
        if let Journal::Stopped {
            instance,
            from_ms,
            until_ms,
            clean: true,
        } = line
        {
            let (from_ms, until_ms) = (*from_ms, *until_ms);
            stops.insert(instance, Stop { from_ms, until_ms });
        }
    }
    counts.stops = stops.len();
    for history in context.histories.values() {
        for (before, record) in history.pairs() {
            if record.event.name != "claimed" {
                continue;
            }
            attempts(context, history, &stops, (before, record), found);
            delays(history, (before, record), counts, found);
        }
    }
}

fn attempts(
    context: &Context<'_>,
    history: &History,
    stops: &HashMap<&str, Stop>,
    (before, claim): (&Record, &Record),
    found: &mut Vec<Violation>,
) {
    if claim.snapshot.attempt <= before.snapshot.attempt {
        return;
    }
    if matches!(before.event.name.as_str(), "released" | "retry_scheduled") {
        let what = format!("record {} burns an attempt after {}", claim.seq, before.event.name);
        found.push(Violation::of("I12", &history.intent, what));
    }
    let mut last = None;
    for effect in context.effects_of(&history.intent) {
        if let Effect::Run {
            hop,
            epoch,
            instance,
            at_ms,
            ..
        } = effect
            && *hop == before.snapshot.hop
            && *epoch == before.snapshot.epoch
        {
            last = Some((instance.as_str(), *at_ms));
        }
    }
    let Some((instance, began)) = last else { return };
    let Some(stop) = stops.get(instance) else { return };
    let ran_then = stop.from_ms - RECENT < began && began < stop.until_ms;
    if ran_then && stop.from_ms <= claim.time_ms && claim.time_ms < stop.until_ms + AFTER {
        let what = format!(
            "record {} burns an attempt because {instance} was told to stop",
            claim.seq
        );
        found.push(Violation::of("I12", &history.intent, what));
    }
}

fn delays(history: &History, (retry, claim): (&Record, &Record), counts: &mut Counts, found: &mut Vec<Violation>) {
    if retry.event.name != "retry_scheduled" {
        return;
    }
    let is_off = |record: &Record| record.at_ms().is_none_or(|at| (record.time_ms - at).abs() > SKEW);
    let wake = retry.snapshot.wake_at.as_deref().and_then(millis);
    let (Some(wake), Some(at)) = (wake, retry.at_ms()) else {
        return;
    };
    if is_off(retry) || is_off(claim) {
        return;
    }
    counts.delays += 1;
    if claim.time_ms + SLACK < retry.time_ms.min(at) + (wake - at) {
        let what = format!(
            "record {} claims at {} ms what record {} put off for {} ms at {} ms",
            claim.seq,
            claim.time_ms,
            retry.seq,
            wake - at,
            retry.time_ms
        );
        found.push(Violation::of("I13", &history.intent, what));
    }
}
