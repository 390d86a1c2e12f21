//! I4: the way on of each envelope follows from the one before. `next` never changes. A handoff uses up the first of `itinerary`
//! where the work is meant for that agent, whoever stands in for it, and nothing else does. Where the load says by which agents a
//! piece goes, one that is completed went by these.
//!
//! Not seen: whom a handler meant by *next*.

use std::collections::BTreeMap;

use crate::history::{Context, History};
use crate::record::Envelope;
use crate::verdict::{Counts, Violation};

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    for history in context.histories.values() {
        way(context, history, counts, found);
        let envelopes: Vec<_> = history.envelopes().collect();
        for pair in envelopes.windows(2) {
            let [(_, before), (record, after)] = pair else { continue };
            if let Some(problem) = problem(before, after) {
                let what = format!("record {}: {problem}", record.seq);
                found.push(Violation::of("I4", &history.intent, what));
            }
        }
    }
}

/// What the load sent on a way that it knows was there and nowhere else, if it is completed.
fn way(context: &Context<'_>, history: &History, counts: &mut Counts, found: &mut Vec<Violation>) {
    let tried = context.tried_of(history).filter(|tried| !tried.path.is_empty());
    let (Some(tried), Some(head)) = (tried, history.head()) else {
        return;
    };
    if head.snapshot.status.state != "completed" {
        return;
    }
    counts.ways += 1;
    let path: Vec<&str> = head.snapshot.path.iter().map(|entry| entry.agent.as_str()).collect();
    if path != tried.path {
        let what = format!("it went by {path:?}, and its way was {:?}", tried.path);
        found.push(Violation::of("I4", &history.intent, what));
    }
}

fn problem(before: &Envelope, after: &Envelope) -> Option<String> {
    let (was, is) = (next(before), next(after));
    if was != is {
        return Some(format!("`next` is {is:?}, and was {was:?}"));
    }
    let (was, is) = (itinerary(before), itinerary(after));
    let to = meant_for(after);
    let used = match was.split_first() {
        Some((first, rest)) if Some(first) == to.as_ref() => rest.to_vec(),
        Some(_) | None => was.clone(),
    };
    let is_passed_on = after.raw("stands_in").is_some() && to == meant_for(before);
    let is_right = match after.hop() == before.hop() {
        true => is == was,
        false => is == used || is_passed_on && is == was,
    };
    (!is_right).then(|| format!("`itinerary` is {is:?} for {to:?}, and was {was:?}"))
}

fn itinerary(envelope: &Envelope) -> Vec<String> {
    let raw = envelope.raw("itinerary");
    raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
}

fn next(envelope: &Envelope) -> BTreeMap<String, Vec<String>> {
    let raw = envelope.raw("next");
    raw.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()
}

/// Whose work it is, whoever stands in.
pub(crate) fn meant_for(envelope: &Envelope) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct StandsIn {
        for_agent: String,
    }
    let stands_in = envelope.raw("stands_in").map(serde_json::from_str::<StandsIn>);
    match stands_in {
        Some(Ok(stands_in)) => Some(stands_in.for_agent),
        Some(Err(_)) | None => envelope.to(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn envelope(to: &str, hop: u64, itinerary: &[&str], stands_in: Option<&str>) -> Envelope {
        let mut document = json!({"to": to, "hop": hop, "itinerary": itinerary, "next": {"a": ["b"]}});
        if let Some(for_agent) = stands_in {
            document["stands_in"] = json!({"for_agent": for_agent});
        }
        serde_json::from_value(document).expect("an envelope")
    }

    fn is_right(before: &Envelope, after: &Envelope) -> bool {
        problem(before, after).is_none()
    }

    #[test]
    fn only_the_agent_that_is_next_uses_up_an_entry() {
        let first = envelope("a", 1, &["b", "c"], None);
        for (after, right) in [
            (envelope("b", 2, &["c"], None), true),
            (envelope("b", 2, &["b", "c"], None), false),
            (envelope("x", 2, &["b", "c"], None), true),
            (envelope("x", 2, &["c"], None), false),
            (envelope("x", 2, &["c"], Some("b")), true),
            (envelope("x", 2, &["b", "c"], Some("b")), false),
            (envelope("b", 2, &["b", "c"], Some("a")), true),
            (envelope("b", 2, &["c"], Some("a")), false),
            (envelope("a", 1, &["b", "c"], None), true),
            (envelope("a", 1, &["c"], None), false),
            (envelope("b", 2, &[], None), false),
        ] {
            assert_eq!(is_right(&first, &after), right, "{after:?}");
        }
    }

    #[test]
    fn where_it_goes_later_never_changes() {
        let first = envelope("a", 1, &[], None);
        let after: Envelope = serde_json::from_value(json!({"to": "b", "hop": 2, "next": {"a": ["c"]}})).expect("one");
        assert!(!is_right(&first, &after));
    }
}
