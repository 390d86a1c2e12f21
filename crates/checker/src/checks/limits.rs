//! L1: the workers of an agent never run more of its hops at a time than its limit allows.
//!
//! The journal says from when a limit holds: from the moment in which all shares of it were within it, until somebody asks
//! for another one. The traces say when each run of a handler began and ended; a killed process ended all of its runs. A
//! hop that runs twice counts once.
//!
//! Not seen: runs of a worker that stood still, or that nothing reached, for so long that its share may be another's: what
//! it runs goes on, as the operations guide says. Nor the time between a handler's end and its commit.

use std::collections::{BTreeMap, HashMap};

use crate::evidence::{Effect, Journal};
use crate::history::Context;
use crate::verdict::{Counts, Violation};

/// For how long a worker may be out of reach and keep its share, in milliseconds.
const REACHED: i64 = 4_000;

/// A time in which a limit holds.
struct Holds<'a> {
    agent: &'a str,
    in_flight: u64,
    from_ms: i64,
    until_ms: i64,
}

/// One run of a handler.
struct Ran<'a> {
    agent: &'a str,
    hop: (&'a str, u64),
    from_ms: i64,
    until_ms: i64,
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let holds = holds(context);
    counts.limits = holds.len();
    if holds.is_empty() {
        return;
    }
    let runs = runs(context);
    for limit in &holds {
        let (most, at_ms, hops) = most(limit, &runs);
        let percent = (most * 100).checked_div(limit.in_flight).unwrap_or_default();
        counts.fullest_percent = counts.fullest_percent.max(percent);
        if most > limit.in_flight {
            let what = format!(
                "{} ran {most} hops at {at_ms} ms, and its limit was {} since {} ms: {hops:?}",
                limit.agent, limit.in_flight, limit.from_ms
            );
            found.push(Violation::at_large("L1", what));
        }
    }
}

fn holds<'a>(context: &Context<'a>) -> Vec<Holds<'a>> {
    let mut all: Vec<Holds<'_>> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for line in &context.evidence.journal {
        let Journal::Limit {
            agent,
            in_flight,
            holds,
            at_ms,
        } = line
        else {
            continue;
        };
        if let Some(limit) = open.remove(agent.as_str()).and_then(|index| all.get_mut(index)) {
            limit.until_ms = *at_ms;
        }
        if *holds && *in_flight > 0 {
            open.insert(agent, all.len());
            all.push(Holds {
                agent,
                in_flight: *in_flight,
                from_ms: *at_ms,
                until_ms: i64::MAX,
            });
        }
    }
    all
}

/// The runs whose end is known, but for those of workers that were out of reach for long.
fn runs<'a>(context: &Context<'a>) -> Vec<Ran<'a>> {
    let mut killed: HashMap<&str, i64> = HashMap::new();
    let mut unreached: Vec<(&str, i64, i64)> = Vec::new();
    for line in &context.evidence.journal {
        match line {
            Journal::Killed { instance, at_ms } => {
                killed.insert(instance, *at_ms);
            }
            Journal::OutOfReach {
                worker,
                from_ms,
                until_ms,
            } if until_ms - from_ms >= REACHED => {
                unreached.push((worker, *from_ms, *until_ms));
            }
            Journal::OutOfReach { .. }
            | Journal::Tried(_)
            | Journal::Acked { .. }
            | Journal::Signal { .. }
            | Journal::Stopped { .. }
            | Journal::Burst { .. }
            | Journal::Cancel { .. }
            | Journal::Limit { .. }
            | Journal::Note { .. } => {}
        }
    }
    let mut ends: HashMap<(&str, &str, u64), Vec<i64>> = HashMap::new();
    for effect in context.evidence.effects.iter().rev() {
        if let Effect::Ended {
            instance,
            envelope,
            epoch,
            at_ms,
            ..
        } = effect
        {
            ends.entry((instance, envelope, *epoch)).or_default().push(*at_ms);
        }
    }
    let mut all = Vec::new();
    for effect in &context.evidence.effects {
        let Effect::Run {
            intent,
            hop,
            agent,
            instance,
            envelope,
            epoch,
            at_ms,
            ..
        } = effect
        else {
            continue;
        };
        // The ends stand in the order of time, the first one last.
        let end = ends.get_mut(&(instance.as_str(), envelope.as_str(), *epoch));
        let end = end
            .and_then(Vec::pop)
            .or_else(|| killed.get(instance.as_str()).copied());
        let Some(until_ms) = end else { continue };
        let overlaps = |(worker, from, until): &(&str, i64, i64)| {
            instance.starts_with(worker) && *from <= until_ms && *at_ms <= *until
        };
        if !unreached.iter().any(overlaps) {
            all.push(Ran {
                agent,
                hop: (intent, *hop),
                from_ms: *at_ms,
                until_ms,
            });
        }
    }
    all
}

/// The most different hops that ran at a time while a limit held, when that was, and which.
fn most<'a>(limit: &Holds<'_>, runs: &[Ran<'a>]) -> (u64, i64, Vec<&'a str>) {
    let mut changes: Vec<(i64, bool, (&str, u64))> = Vec::new();
    for run in runs.iter().filter(|run| run.agent == limit.agent) {
        let (from, until) = (run.from_ms.max(limit.from_ms), run.until_ms.min(limit.until_ms));
        if from < until {
            changes.push((from, true, run.hop));
            changes.push((until, false, run.hop));
        }
    }
    // What ends in a millisecond ends before what begins in it.
    changes.sort_unstable();
    let mut now: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let (mut most, mut at_ms, mut hops) = (0, limit.from_ms, Vec::new());
    for (at, begins, hop) in changes {
        if begins {
            *now.entry(hop).or_default() += 1;
        } else if let Some(count) = now.get_mut(&hop) {
            *count -= 1;
            if *count == 0 {
                now.remove(&hop);
            }
        }
        let count = now.len() as u64;
        if count > most {
            (most, at_ms) = (count, at);
            hops = now.keys().map(|(intent, _)| *intent).collect();
        }
    }
    (most, at_ms, hops)
}
