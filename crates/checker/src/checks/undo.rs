//! P10: committed work with an undo is undone at most once and in reverse, or the intent is parked and says what was not.
//!
//! The plan follows from the records before: each step and each handoff that names its undo, the latest first. The undos of a
//! plan begin one after the other, each when the end of the one before is recorded, and ask for what was named. Of those that
//! stand for one place in the plan one completes at most. An intent ends as `compensated` when all of them have, and has no
//! other end but by a person who cancels it while it is parked; it never goes back to work.
//!
//! Not seen: what the handler of an undo did.

use std::collections::HashMap;

use crate::checks::children::id_of;
use crate::history::{Context, History};
use crate::record::{PlannedUndo, Record, Undo};
use crate::verdict::{Counts, Violation};

/// What the names of the sets of undos begin with.
pub(crate) const NAME: &str = "undo#";

/// Whether this is the first record of an undo.
pub(crate) fn is_undo(record: &Record) -> bool {
    let join = record.envelope.as_ref().and_then(|envelope| envelope.raw("join"));
    join.is_some_and(|join| join.contains(&format!("\"{NAME}")))
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let mut asked: HashMap<String, usize> = HashMap::new();
    for history in context.histories.values() {
        let mut judge = Judge {
            context,
            history,
            plan: Vec::new(),
            done: 0,
            again: 0,
            is_fixed: false,
            asked: &mut asked,
            found,
        };
        judge.walk();
        counts.undone += judge.done;
    }
    for history in context.histories.values() {
        let is_own = history.records.first().is_some_and(is_undo);
        if is_own && !asked.contains_key(&history.intent) {
            found.push(Violation::of(
                "P10",
                &history.intent,
                "it is an undo that no plan asks for",
            ));
        }
    }
}

struct Judge<'a> {
    context: &'a Context<'a>,
    history: &'a History,
    /// What the history names, the latest first.
    plan: Vec<(PlannedUndo, &'a Undo)>,
    done: usize,
    again: usize,
    is_fixed: bool,
    asked: &'a mut HashMap<String, usize>,
    found: &'a mut Vec<Violation>,
}

impl<'a> Judge<'a> {
    fn complain(&mut self, what: String) {
        self.found.push(Violation::of("P10", &self.history.intent, what));
    }

    fn walk(&mut self) {
        let history = self.history;
        let mut hop = 0;
        let mut has_failed = false;
        for record in &history.records {
            self.name(record, hop);
            hop = record.snapshot.hop;
            let is_undoing = record.snapshot.is_undoing();
            match record.event.name.as_str() {
                "progress" if !record.undos.is_empty() => self.fix(record),
                "redriven" if is_undoing => {
                    if record.snapshot.status.state != "compensating" {
                        let what = format!(
                            "record {}: it goes back to work after it began to be undone",
                            record.seq
                        );
                        self.complain(what);
                    }
                    if std::mem::take(&mut has_failed) {
                        self.again += 1;
                        self.begins(record);
                    }
                }
                "compensated" if self.done < self.plan.len() => {
                    let left = self.plan.get(self.done).map(|(planned, _)| planned);
                    let what = format!("record {} ends it, and not undone is {left:?}", record.seq);
                    self.complain(what);
                }
                _ => {}
            }
            for done in record.children.iter().filter(|done| done.name.starts_with(NAME)) {
                has_failed = !self.ended(record, &done.name, &done.ends);
            }
        }
    }

    /// Notes what a record names.
    fn name(&mut self, record: &'a Record, hop: u64) {
        let of_step = record
            .step
            .as_ref()
            .and_then(|step| Some((Some(step.name.clone()), step.undo.as_ref()?)));
        let (of, named) = match (of_step, &record.undo) {
            (Some(named), _) => (record.snapshot.hop, named),
            (None, Some(undo)) => (hop, (None, undo)),
            (None, None) => return,
        };
        if self.is_fixed {
            return self.complain(format!("record {} names an undo after the plan was fixed", record.seq));
        }
        let (step, undo) = named;
        let agent = undo.agent.clone();
        self.plan.insert(0, (PlannedUndo { hop: of, step, agent }, undo));
    }

    fn fix(&mut self, record: &Record) {
        let named: Vec<&PlannedUndo> = self.plan.iter().map(|(planned, _)| planned).collect();
        if record.undos.iter().collect::<Vec<_>>() != named {
            let what = format!("record {} plans {:?}; named are {named:?}", record.seq, record.undos);
            self.complain(what);
        }
        if std::mem::replace(&mut self.is_fixed, true) {
            self.complain(format!("record {} fixes the plan again", record.seq));
        }
        self.begins(record);
    }

    fn own_name(&self) -> String {
        match self.again {
            0 => format!("{NAME}{}", self.done + 1),
            again => format!("{NAME}{}.{again}", self.done + 1),
        }
    }

    /// The next undo may begin from this record on.
    fn begins(&mut self, record: &Record) {
        let Some((planned, undo)) = self.plan.get(self.done) else {
            return;
        };
        let id = id_of(&self.history.intent, (record.snapshot.hop, &self.own_name()), 0);
        let first = self
            .context
            .histories
            .get(&id)
            .and_then(|history| history.records.first());
        self.asked.insert(id.clone(), self.done);
        let Some(first) = first else { return };
        let envelope = first.envelope.as_ref();
        let payload = envelope.and_then(|envelope| envelope.raw("payload"));
        let wanted = undo
            .payload
            .as_ref()
            .map(|payload| payload.get())
            .filter(|text| *text != "null");
        // The draft of 2.0 holds its payload elsewhere, and so does one that is an object.
        let elsewhere = |envelope: &crate::record::Envelope| {
            envelope.raw("content").is_some() || envelope.raw("payload_ref").is_some()
        };
        let is_known_form = envelope.is_some_and(|envelope| !elsewhere(envelope));
        let to = envelope.and_then(crate::record::Envelope::to);
        let what = if first.seq < record.seq {
            format!(
                "the undo of {planned:?} ({id}) began at {}, before record {}",
                first.seq, record.seq
            )
        } else if (is_known_form && payload != wanted) || to.as_ref() != Some(&undo.agent) {
            format!(
                "the undo of {planned:?} asks {to:?} for {payload:?}; named were {} and {wanted:?}",
                undo.agent
            )
        } else {
            return;
        };
        self.complain(what);
    }

    /// An end is recorded; whether the undo completed.
    fn ended(&mut self, record: &Record, name: &str, ends: &[crate::record::ChildEnd]) -> bool {
        let is_next = self.is_fixed && name == self.own_name();
        let [end] = ends else {
            self.complain(format!(
                "record {} has {} ends of the undo {name}",
                record.seq,
                ends.len()
            ));
            return false;
        };
        if !is_next {
            let what = format!(
                "record {}: the end of {name}, and the next undo is {}",
                record.seq,
                self.own_name()
            );
            self.complain(what);
        }
        let id = id_of(&self.history.intent, (record.snapshot.hop, name), 0);
        let last = self.context.histories.get(&id).and_then(History::head);
        if !last.is_some_and(|last| last.seq == end.seq && last.snapshot.status.state == end.state) {
            let is = last.map(|last| (last.seq, last.snapshot.status.to_string()));
            let what = format!(
                "record {}: {name} ended as {} at {}; its last record is {is:?}",
                record.seq, end.state, end.seq
            );
            self.complain(what);
        }
        let is_undone = end.state == "completed";
        if is_undone && is_next {
            self.done += 1;
            self.begins(record);
        }
        is_undone
    }
}
