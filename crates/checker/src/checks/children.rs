//! P5: a child is submitted exactly when the record of its parent stands: each child of a call has one history, and each child
//! that exists is one of a call. P6: a parent goes on exactly once, with what exactly its children came to: each recorded end
//! is the last record of that child and is recorded once, what lets the parent go on has the ends that were recorded before,
//! and they meet the join. No child ends with an object whose call takes none: its parent would read nothing. P7: a closed parent, and a call that is over, has no open child, but those that it detached.
//!
//! A child comes to an end that its payload allows, where that says which. It is cancelled only if somebody asks for that, once
//! nobody waits for it any more, or once its parent is undone.
//!
//! The id of a child follows from its call by section 21 of `docs/protocol.md`, which this module computes independently.
//!
//! Not seen: whether a handler was given what the record says. That a call ends once is judged as P1.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::checks::undo;
use crate::history::{Context, History};
use crate::record::{Called, ChildEnd, Envelope, Record};
use crate::table::is_terminal;
use crate::verdict::{Counts, Violation};

/// A call of a hop, by the name of its wait.
type Key = (u64, String);

/// A call, and what is recorded of it.
struct Call<'h> {
    asked: &'h Called,
    ended: BTreeMap<usize, &'h ChildEnd>,
    /// The record from which on nobody waits for it.
    over: Option<u64>,
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let mut of_calls: HashSet<String> = HashSet::new();
    for history in context.histories.values() {
        let mut judge = Judge {
            context,
            history,
            calls: BTreeMap::new(),
            undone: None,
            counts,
            found,
        };
        judge.walk();
        judge.at_the_end(&mut of_calls);
    }
    counts.children = of_calls.len();
    for history in context.histories.values() {
        if history.records.first().is_some_and(undo::is_undo) {
            continue;
        }
        let parent = history
            .records
            .iter()
            .find_map(|record| record.snapshot.parent.as_ref());
        if let Some(parent) = parent.filter(|_| !of_calls.contains(&history.intent)) {
            let what = format!("no record of {parent}, its parent, asks for it");
            found.push(Violation::of("P5", &history.intent, what));
        }
    }
}

/// The id of a child.
pub(crate) fn id_of(parent: &str, (hop, name): (u64, &str), index: usize) -> String {
    let digest = Sha256::digest(format!("children\n{parent}\n{hop}\n{name}").as_bytes());
    let mut id = String::new();
    for (place, byte) in digest.iter().take(16).enumerate() {
        let byte = match place {
            6 => (byte & 0x0f) | 0x80,
            8 => (byte & 0x3f) | 0x80,
            _ => *byte,
        };
        let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(id, "{dash}{byte:02x}");
    }
    format!("{id}-{index}")
}

struct Judge<'a> {
    context: &'a Context<'a>,
    history: &'a History,
    calls: BTreeMap<Key, Call<'a>>,
    /// The record from which on it is undone.
    undone: Option<u64>,
    counts: &'a mut Counts,
    found: &'a mut Vec<Violation>,
}

impl<'a> Judge<'a> {
    fn complain(&mut self, invariant: &'static str, what: String) {
        self.found.push(Violation::of(invariant, &self.history.intent, what));
    }

    fn head_of(&self, (hop, name): &Key, index: usize) -> Option<&'a Record> {
        let id = id_of(&self.history.intent, (*hop, name), index);
        self.context.histories.get(&id)?.head()
    }

    fn walk(&mut self) {
        let history = self.history;
        for record in &history.records {
            if record.event.name == "fanned_out" || record.broadcast.is_some() {
                for wait in &record.waits {
                    let Some(asked) = &wait.children else { continue };
                    let call = Call {
                        asked,
                        ended: BTreeMap::new(),
                        over: None,
                    };
                    self.calls.insert((record.snapshot.hop, wait.name.clone()), call);
                }
            }
            for done in &record.children {
                // P10 judges the ends of undos.
                for end in done.ends.iter().filter(|_| !done.name.starts_with(undo::NAME)) {
                    self.ends(record, (done.hop, done.name.clone()), end);
                }
            }
            self.goes_on(record);
            if record.snapshot.status.state == "compensating" {
                self.undone.get_or_insert(record.seq);
            }
            let is_closed = is_terminal(&record.snapshot.status.state);
            for ((hop, name), call) in &mut self.calls {
                let is_own = |wait: &crate::record::Wait| wait.hop == *hop && wait.name == *name;
                let is_over = is_closed || record.snapshot.hop != *hop || !record.snapshot.waits.iter().any(is_own);
                call.over = is_over.then(|| call.over.unwrap_or(record.seq));
            }
        }
    }

    /// An end is recorded.
    fn ends(&mut self, record: &Record, key: Key, end: &'a ChildEnd) {
        let (seq, index) = (record.seq, end.index);
        let last = self.head_of(&key, index);
        let name = key.1.clone();
        let Some(call) = self
            .calls
            .get_mut(&key)
            .filter(|call| index < call.asked.children.len())
        else {
            return self.complain("P6", format!("record {seq}: {name} has no child {index}"));
        };
        if call.ended.insert(index, end).is_some() {
            self.complain(
                "P6",
                format!("record {seq}: the end of child {index} of {name} is recorded again"),
            );
        }
        let is_last = |last: &Record| last.seq == end.seq && last.snapshot.status.state == end.state;
        if !last.is_some_and(|last| is_last(last) && is_terminal(&end.state)) {
            let is = last.map(|last| (last.seq, last.snapshot.status.to_string()));
            let what = format!(
                "record {seq}: child {index} of {name} ended as {} at {}, and its last record is {is:?}",
                end.state, end.seq
            );
            self.complain("P6", what);
        }
    }

    /// What lets the parent go on must be what is recorded.
    fn goes_on(&mut self, record: &Record) {
        let hop = record.snapshot.hop;
        for result in &record.results {
            let Some(call) = self.calls.get(&(hop, result.name.clone())) else {
                continue;
            };
            let told = |end: &ChildEnd| (end.index, end.state.clone(), end.seq);
            let is: Vec<_> = result.children.iter().map(told).collect();
            let recorded: Vec<_> = call.ended.values().map(|end| told(end)).collect();
            let is_met = call.is_met();
            let join = match result.outcome.as_str() {
                "joined" => call.asked.join.as_deref().unwrap_or("collect"),
                "timed_out" => "until",
                _ => "none",
            };
            *self.counts.joins.entry(join.to_owned()).or_default() += 1;
            if is != recorded {
                let what = format!("record {} goes on with {is:?}; recorded are {recorded:?}", record.seq);
                self.complain("P6", what);
            }
            if result.outcome == "joined" && !is_met {
                let what = format!(
                    "record {} goes on, and the join of {} is not met",
                    record.seq, result.name
                );
                self.complain("P6", what);
            }
        }
    }

    fn is_broadcast(&self) -> bool {
        self.history
            .records
            .first()
            .is_some_and(|first| first.broadcast.is_some())
    }

    /// Whether a child came to an end that may be.
    fn came_to(&mut self, child: &History, call: &Call<'_>) {
        let Some(head) = child.head() else { return };
        if head.snapshot.result_ref.is_some() && !call.asked.result_refs {
            let what = format!(
                "child {} ended with an object at {}, and its parent takes none",
                child.intent, head.seq
            );
            self.complain("P6", what);
        }
        let end = head.snapshot.status.to_string();
        if matches!(end.as_str(), "cancelled" | "rejected:PARENT_CLOSED") {
            let is_after = |seq: Option<u64>| seq.is_some_and(|seq| seq < head.seq);
            let is_asked = self.context.cancelled.contains_key(child.intent.as_str());
            if !is_asked && !is_after(call.over) && !is_after(self.undone) {
                let what = format!(
                    "child {} was cancelled at {} while its parent waited",
                    child.intent, head.seq
                );
                self.complain("P7", what);
            }
            return;
        }
        let first = child.records.first().and_then(|first| first.envelope.as_ref());
        let expect = first.map(Envelope::expected).unwrap_or_default();
        if !expect.is_empty() && !expect.contains(&end) {
            let what = format!("it ended as {end}, and only {expect:?} can come of it");
            self.found.push(Violation::of("I1", &child.intent, what));
        }
    }

    /// All that the load did has been done.
    fn at_the_end(&mut self, of_calls: &mut HashSet<String>) {
        for (key, call) in std::mem::take(&mut self.calls) {
            for index in 0..call.asked.children.len() {
                let (hop, name) = &key;
                let id = id_of(&self.history.intent, (*hop, name), index);
                if !self.is_broadcast() {
                    let is_child = self
                        .history
                        .records
                        .iter()
                        .any(|record| record.snapshot.parent.is_some());
                    self.counts.grandchildren += usize::from(is_child);
                    self.counts.detached += usize::from(call.asked.detach);
                }
                if let Some(child) = self.context.histories.get(&id) {
                    self.came_to(child, &call);
                }
                of_calls.insert(id);
                match self.head_of(&key, index) {
                    None if call.over.is_some() && call.asked.detach => {}
                    None => self.complain("P5", format!("child {index} of {name} (hop {hop}) was never submitted")),
                    Some(last) if is_terminal(&last.snapshot.status.state) => {}
                    Some(last) if call.over.is_some() && !call.asked.detach => {
                        let what = format!(
                            "child {index} of {name} (hop {hop}) stands at {}, and nobody waits for it",
                            last.snapshot.status
                        );
                        self.complain("P7", what);
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

impl Call<'_> {
    fn is_met(&self) -> bool {
        let count = self.asked.children.len();
        let completed = self.ended.values().filter(|end| end.state == "completed").count();
        let failed = self.ended.len() - completed;
        match (self.asked.join.as_deref(), self.asked.need) {
            (Some("all"), _) => completed == count || failed > 0,
            (Some("any"), _) => completed > 0 || failed == count,
            (Some("some"), Some(need)) => completed >= need || failed + need > count,
            (_, _) => completed + failed == count,
        }
    }
}
