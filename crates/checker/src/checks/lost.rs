//! I1: no acknowledged intent is ever lost.
//!
//! For each key that the journal calls acknowledged there must be exactly one intent, whose last record is one of the
//! ends that the load expects. (A raw message that cannot become an intent is rejected each time it is published, under
//! a free id: if the load published it again under the same id, more than one rejection is right.) Work that was not
//! acknowledged may be missing, but if it exists it must have an expected end too. Work that somebody asks to cancel may be
//! cancelled, and is where a controller has said so.
//!
//! Not seen: an acknowledgement that the load did not hear. The load never submits work about which it could not keep
//! its promise.

use crate::history::{Context, History};
use crate::table::{is_terminal, is_workable};
use crate::verdict::Violation;

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    let mut acked: Vec<&str> = context.acked.iter().copied().collect();
    acked.sort_unstable();
    for key in acked {
        let again = context.tried.get(key).is_some_and(|tried| tried.intent.is_some());
        let mut intents = context.by_key.get(key).cloned().unwrap_or_default();
        if again && intents.len() > 1 {
            let is_rejection = |intent: &String| context.histories.get(intent).is_some_and(is_rejected_raw);
            if intents.iter().all(is_rejection) {
                intents.truncate(1);
            } else {
                intents.retain(|intent| !is_rejection(intent));
            }
        }
        match intents.as_slice() {
            [] => {
                found.push(Violation::at_large(
                    "I1",
                    format!("{key} was acknowledged and has no record"),
                ));
            }
            [_] => {}
            [first, ..] => {
                let what = format!("{key} was submitted once and became {intents:?}");
                found.push(Violation::of("I1", first, what));
            }
        }
        if !context.tried.contains_key(key) {
            found.push(Violation::at_large(
                "I1",
                format!("{key} was acknowledged and never submitted"),
            ));
        }
    }
    for history in context.histories.values() {
        let Some(head) = history.head() else { continue };
        if head.letter().is_some() {
            // A signal that told nobody; P2 judges it.
            continue;
        }
        let status = &head.snapshot.status;
        if head.snapshot.parent.is_some() {
            if !is_terminal(&status.state) && status.state != "parked" {
                let what = format!("this child stands at {status} and nothing moves it any more");
                found.push(Violation::of("I1", &history.intent, what));
            }
            continue;
        }
        let (Some(key), Some(tried)) = (&history.key, context.tried_of(history)) else {
            let what = format!("nobody submitted it: the key of its payload is {:?}", history.key);
            found.push(Violation::of("I5", &history.intent, what));
            continue;
        };
        let other = tried.intent.as_ref().filter(|intent| **intent != history.intent);
        if let Some(intent) = other.filter(|_| !is_rejected_raw(history)) {
            let what = format!("{key} was submitted under the id {intent}");
            found.push(Violation::of("I1", &history.intent, what));
        }
        let end = status.to_string();
        let is_for_a_person = status.state == "parked" || (is_workable(&status.state) && head.snapshot.is_by_hand());
        if !(is_terminal(&status.state) || is_for_a_person) {
            let what = format!("it stands at {end} and nothing moves it any more");
            found.push(Violation::of("I1", &history.intent, what));
        } else if end == "cancelled" && context.cancelled.contains_key(history.intent.as_str()) {
            // Somebody wanted that.
        } else if context.cancelled.get(history.intent.as_str()) == Some(&true) {
            let what = format!("a controller said that it was cancelled, and it ended as {end}");
            found.push(Violation::of("I1", &history.intent, what));
        } else if !tried.expect.contains(&end) {
            let what = format!("it ended as {end}, and only {:?} can come of it", tried.expect);
            found.push(Violation::of("I1", &history.intent, what));
        }
    }
}

/// Whether this is the record of a raw message that never became an intent.
fn is_rejected_raw(history: &History) -> bool {
    matches!(history.records.as_slice(), [only] if only.event.name == "rejected" && only.raw.is_some())
}
