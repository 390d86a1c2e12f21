//! I14: waiting work of higher priority is taken before lower, and lower is never starved.
//!
//! The streams do not show what waited while something else was taken: acknowledged tickets are gone. So the load makes
//! groups whose order is known: low work first, then high, all queued before the single worker that may take it runs,
//! and with no fault until it is done. The runs of the handlers then show the order.
//!
//! Not seen: the order among the rest of the load. I1 says only that none of it is starved forever.

use std::collections::HashSet;

use crate::evidence::{Effect, Journal};
use crate::history::Context;
use crate::verdict::{Counts, Violation};

/// From this priority on, work is high: the first band.
const HIGH: i64 = 8;
/// At least one low one must be taken before the last of this many high ones.
const ENOUGH: usize = 32;

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    for line in &context.evidence.journal {
        let Journal::Burst { group, ready_ms, slots } = line else {
            continue;
        };
        let mut begun: HashSet<&str> = HashSet::new();
        let mut order: Vec<(i64, &str)> = Vec::new();
        for effect in &context.evidence.effects {
            let Effect::Run { key, at_ms, .. } = effect else {
                continue;
            };
            let tried = context.tried.get(key.as_str());
            if let Some(tried) = tried.filter(|tried| tried.group.as_ref() == Some(group))
                && begun.insert(key)
            {
                if at_ms < ready_ms {
                    let what = format!("{group}: {key} began at {at_ms} ms, before all was queued at {ready_ms} ms");
                    found.push(Violation::at_large("I14", what));
                }
                order.push((tried.priority, key));
            }
        }
        counts.bursts += 1;
        let high = order.iter().filter(|(priority, _)| *priority >= HIGH).count();
        let last_high = order.iter().rposition(|(priority, _)| *priority >= HIGH);
        let among = order.get(..last_high.unwrap_or(0)).unwrap_or_default();
        let low = among.iter().filter(|(priority, _)| *priority < HIGH).count();
        // The runtime's floor is one pull in eight. A pull takes what is free, and the first pulls blur the count.
        if low > high / 4 + 2 * slots + 2 {
            let what = format!("{group}: {low} low ones were taken before the last of {high} high ones");
            found.push(Violation::at_large("I14", what));
        }
        let has_low = order.len() > high;
        if has_low && high >= ENOUGH && low == 0 {
            let what = format!("{group}: no low one was taken before the last of {high} high ones");
            found.push(Violation::at_large("I14", what));
        }
    }
}
