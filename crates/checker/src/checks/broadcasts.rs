//! P9: every receiver of a broadcast has one child: no agent receives twice, each copy goes to its receiver with the payload of
//! the message, and the intent says of as many that they completed as there are. It is a root that no agent has, or one whose
//! hop has ended with the message.
//!
//! The ids of the copies are those of children, and P5 to P7 judge them as such: each has one history, and none stands open
//! when the root is closed.
//!
//! Not seen: who subscribed when the message was routed. A copy that another agent took in place of its receiver, because the
//! policy of the receiver says so, names the receiver in `stands_in`.

use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;

use crate::checks::children::id_of;
use crate::checks::itinerary::meant_for;
use crate::history::{Context, History};
use crate::record::Record;
use crate::verdict::{Counts, Violation};

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    for history in context.histories.values() {
        let Some(opener) = history.records.iter().find(|record| record.broadcast.is_some()) else {
            continue;
        };
        counts.broadcasts += 1;
        counts.named += usize::from(opener.broadcast.as_ref().is_some_and(|sent| sent.named));
        let called = opener.waits.iter().filter_map(|wait| wait.children.as_ref());
        counts.copies += called.map(|called| called.children.len()).sum::<usize>();
        judge(context, history, opener, &mut |what| {
            found.push(Violation::of("P9", &history.intent, what));
        });
    }
}

fn judge(context: &Context<'_>, history: &History, opener: &Record, complain: &mut impl FnMut(String)) {
    let mut waits = opener.waits.iter();
    let Some((wait, called)) = waits.find_map(|wait| Some((wait, wait.children.as_ref()?))) else {
        return complain("it names no receivers".to_owned());
    };
    let receivers = called.agents();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut completed = 0;
    for (index, receiver) in receivers.iter().enumerate() {
        let Some(receiver) = receiver.as_deref() else {
            complain(format!("receiver {index} has no name"));
            continue;
        };
        if !seen.insert(receiver) {
            complain(format!("{receiver} receives it twice"));
        }
        // P5 complains of one that is missing.
        let id = id_of(&history.intent, (opener.snapshot.hop, &wait.name), index);
        let Some(copy) = context.histories.get(&id) else {
            continue;
        };
        completed += usize::from(
            copy.head()
                .is_some_and(|head| head.snapshot.status.state == "completed"),
        );
        let Some(envelope) = copy.records.first().and_then(|record| record.envelope.as_ref()) else {
            continue;
        };
        if meant_for(envelope).as_deref() != Some(receiver) {
            complain(format!(
                "copy {index} is for {receiver}, and went to {:?}",
                envelope.to()
            ));
        }
        let sent = opener
            .broadcast
            .as_ref()
            .and_then(|sent| sent.payload.as_deref())
            .map(RawValue::get);
        // One that is an object has its payload elsewhere.
        let is_inline = envelope.raw("payload_ref").is_none();
        if is_inline && envelope.raw("payload") != sent.filter(|text| *text != "null") {
            complain(format!("copy {index} has another payload than the message"));
        }
    }
    let Some(result) = history.head().and_then(|head| head.snapshot.result.as_ref()) else {
        return;
    };
    let told: BTreeMap<String, Box<RawValue>> = serde_json::from_str(result.get()).unwrap_or_default();
    let number = |name: &str| told.get(name).and_then(|value| value.get().parse::<usize>().ok());
    if (number("receivers"), number("completed")) != (Some(receivers.len()), Some(completed)) {
        let what = format!(
            "{completed} of {} completed, and it says {}",
            receivers.len(),
            result.get()
        );
        complain(what);
    }
}
