//! I7: only version v handles a message for version v, unless a recorded act moved it.
//!
//! Every record of a worker must be by the agent and version that the record before it names, and every run of a
//! handler by those of the record that holds its envelope. Agent and version may change only by an event that puts work
//! before an agent, or by `moved`.
//!
//! Not seen: a worker of another version that took a ticket and gave it back silently.

use crate::evidence::Effect;
use crate::history::Context;
use crate::table::puts_work;
use crate::verdict::Violation;

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    for history in context.histories.values() {
        let mut complain = |what: String| found.push(Violation::of("I7", &history.intent, what));
        for (before, record) in history.pairs() {
            let (was, now) = (&before.snapshot, &record.snapshot);
            let by = &record.by;
            if by.role == "worker" && (by.agent != was.agent || by.version != was.version) {
                complain(format!(
                    "record {} ({}) is by {:?}@{:?}, and the work is of {:?}@{:?}",
                    record.seq, record.event.name, by.agent, by.version, was.agent, was.version
                ));
            }
            if (was.agent != now.agent || was.version != now.version) && !puts_work(&record.event.name) {
                let what = format!("record {} ({}) changed the version", record.seq, record.event.name);
                complain(what);
            }
            if let Some(envelope) = &record.envelope
                && (envelope.to() != now.agent || envelope.to_version() != now.version)
            {
                complain(format!("record {}: its envelope is for another version", record.seq));
            }
        }
        for effect in context.effects_of(&history.intent) {
            let Effect::Run {
                envelope,
                agent,
                version,
                ..
            } = effect
            else {
                continue;
            };
            let held = |(_, found): &(_, &crate::Envelope)| found.text("id").as_ref() == Some(envelope);
            if let Some((record, _)) = history.envelopes().find(held) {
                let now = &record.snapshot;
                if now.agent.as_ref() != Some(agent) || now.version.as_ref() != Some(version) {
                    complain(format!("envelope {envelope} was run by {agent}@{version}"));
                }
            }
        }
    }
}
