//! I1: no acknowledged intent is ever lost.
//!
//! For each key that the journal calls acknowledged there must be an intent whose last record is one of the ends that
//! the load expects; a key under an id of its own, or one that was acknowledged by the router's own rules, has exactly
//! one intent. What was not acknowledged may be there or not, but where it is it must have an expected end too.
//!
//! Not seen: an acknowledgement that the load did not hear of. What the load could not keep a promise about is never
//! asked for.

use crate::history::Context;
use crate::table::{is_terminal, is_workable};
use crate::verdict::Violation;

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    let mut acked: Vec<&str> = context.acked.iter().copied().collect();
    acked.sort_unstable();
    for key in acked {
        match context.by_key.get(key).map(Vec::as_slice) {
            None | Some([]) => {
                found.push(Violation::at_large(
                    "I1",
                    format!("{key} was acknowledged and has no record"),
                ));
            }
            Some([_]) => {}
            Some(intents @ [first, ..]) => {
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
        let status = &head.snapshot.status;
        let (Some(key), Some(tried)) = (&history.key, context.tried_of(history)) else {
            let what = format!("nobody submitted it: the key of its payload is {:?}", history.key);
            found.push(Violation::of("I5", &history.intent, what));
            continue;
        };
        if let Some(intent) = tried.intent.as_ref().filter(|intent| **intent != history.intent) {
            let what = format!("{key} was submitted under the id {intent}");
            found.push(Violation::of("I1", &history.intent, what));
        }
        let end = status.to_string();
        if is_workable(&status.state) || !(is_terminal(&status.state) || status.state == "parked") {
            let what = format!("it stands at {end} and nothing moves it any more");
            found.push(Violation::of("I1", &history.intent, what));
        } else if !tried.expect.contains(&end) {
            let what = format!("it ended as {end}, and only {:?} can come of it", tried.expect);
            found.push(Violation::of("I1", &history.intent, what));
        }
    }
}
