//! C11: what could not be had is told until it can be. A gap of an envelope is in the next one, and in the record that completes the
//! intent, unless its content is there or its memory has a newer revision. And what a record says that its hop could read is what the
//! envelopes come to: the references of its own, less those that the next one, or the last record, tells as gaps. Nor could the sender of
//! a view have more of it than it tells.
//!
//! Not seen: a gap that nobody closed, whose content came back later; what a hop could read of a view that it made itself, since no
//! envelope says what that has; and what children are told.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use crate::checks::contexts::{Objects, link, object, objects};
use crate::history::{Context, History};
use crate::record::{Envelope, Record};
use crate::verdict::{Counts, Violation};

/// The minor version of the protocol since which the last record has a context.
const SINCE: u64 = 7;
/// What the name of a step begins with by which a hop reads a space: with what is pinned there it makes its view anew.
const OF_SPACE: &str = "space:";

/// What an envelope or a last record says of the context.
#[derive(Debug, Clone, Default, Deserialize)]
struct Said {
    #[serde(default)]
    head: Option<String>,
    #[serde(default)]
    view: Option<View>,
    #[serde(default)]
    gaps: Vec<Named>,
}

#[derive(Debug, Clone, Deserialize)]
struct View {
    #[serde(default)]
    kept: usize,
    #[serde(default)]
    assembled: Option<Completeness>,
}

/// How many of the memories that are given in full could be read.
#[derive(Debug, Clone, Deserialize)]
struct Completeness {
    requested: usize,
    resolved: usize,
}

/// A memory by its key and its content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Named {
    key: String,
    #[serde(default)]
    hash: String,
}

/// What a record tells whoever comes after it.
struct Told {
    seq: u64,
    said: Said,
    /// What an envelope refers to.
    refs: Vec<Named>,
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let objects = objects(context);
    for history in context.histories.values() {
        let mut judge = Judge {
            history,
            objects: &objects,
            tree: history.intent.clone(),
            with_spaces: HashSet::new(),
            counts,
            found,
        };
        let mut before: Option<Told> = None;
        for record in &history.records {
            if let Some(root) = record.envelope.as_ref().and_then(|envelope| envelope.text("root")) {
                judge.tree = root;
            }
            if record.step.as_ref().is_some_and(|step| step.name.starts_with(OF_SPACE)) {
                judge.with_spaces.insert(record.snapshot.hop);
            }
            let next = told(record);
            if let Some(before) = &before {
                judge.follows(record, before, next.as_ref());
            }
            if let Some(next) = next {
                judge.assembles(record, &next);
                before = Some(next);
            }
        }
    }
}

/// What a record tells; nothing where it neither puts work before an agent nor completes the intent.
fn told(record: &Record) -> Option<Told> {
    let read = |text: Option<&str>| -> Option<Said> { serde_json::from_str(text?).ok() };
    let (said, refs) = match &record.envelope {
        Some(envelope) => (read(envelope.raw("context")).unwrap_or_default(), refs(envelope)),
        None if record.event.name == "completed" => {
            let said = read(record.snapshot.context.as_ref().map(|context| context.get()));
            // A worker from before does not know of it.
            (
                said.or_else(|| knows(&record.protocol).then(Said::default))?,
                Vec::new(),
            )
        }
        None => return None,
    };
    Some(Told {
        seq: record.seq,
        said,
        refs,
    })
}

fn refs(envelope: &Envelope) -> Vec<Named> {
    let refs = envelope.raw("memory").map(serde_json::from_str);
    refs.and_then(Result::ok).unwrap_or_default()
}

fn knows(protocol: &str) -> bool {
    let mut numbers = protocol.split('.').map(|part| part.parse::<u64>().unwrap_or_default());
    (numbers.next(), numbers.next()) >= (Some(1), Some(SINCE))
}

struct Judge<'a> {
    history: &'a History,
    objects: &'a Objects<'a>,
    tree: String,
    /// The hops that have read a space.
    with_spaces: HashSet<u64>,
    counts: &'a mut Counts,
    found: &'a mut Vec<Violation>,
}

impl Judge<'_> {
    fn complain(&mut self, record: &Record, what: &str) {
        let what = format!("record {}: {what}", record.seq);
        self.found.push(Violation::of("C11", &self.history.intent, what));
    }

    fn follows(&mut self, record: &Record, before: &Told, next: Option<&Told>) {
        if let Some(read) = &record.context {
            match serde_json::from_str(read.get()) {
                Ok(read) => self.reads(record, &read, before, next),
                Err(error) => self.complain(record, &format!("its `context` cannot be read: {error}")),
            }
        }
        let Some(next) = next else { return };
        self.counts.gaps += before.said.gaps.len();
        let is_lost = |gap: &&Named| object(self.objects, &self.tree, &gap.hash).is_err();
        let untold = before.said.gaps.iter().filter(|gap| !next.said.gaps.contains(gap));
        let untold: Vec<&Named> = untold.filter(is_lost).collect();
        if untold.is_empty() {
            return;
        }
        let chain = next.said.head.as_ref().map_or(&before.said, |_| &next.said);
        // Of a broken chain nobody knows it.
        let Some(newest) = self.newest(chain) else { return };
        for gap in untold {
            if newest.get(&gap.key) == Some(&gap.hash) {
                let (key, seq) = (&gap.key, before.seq);
                self.complain(
                    record,
                    &format!("the gap \"{key}\" of record {seq} is told no more, and nobody could have found it"),
                );
            }
        }
    }

    /// What the hop of this envelope could read of its view.
    fn reads(&mut self, record: &Record, read: &Completeness, before: &Told, next: Option<&Told>) {
        let (requested, resolved) = (read.requested, read.resolved);
        let Some(missing) = requested.checked_sub(resolved) else {
            self.complain(
                record,
                &format!("its hop could read {resolved} of {requested} memories"),
            );
            return;
        };
        if self.with_spaces.contains(&record.snapshot.hop) {
            return;
        }
        let Some((_, refs)) = self.view_of(record, before) else {
            return;
        };
        self.counts.views += 1;
        if requested != refs.len() {
            let given = refs.len();
            self.complain(
                record,
                &format!("it says that its hop was given {requested} memories in full, and its envelope has {given}"),
            );
            return;
        }
        let Some(next) = next else { return };
        let (told, untold): (Vec<&Named>, Vec<&Named>) = refs.into_iter().partition(|one| next.said.gaps.contains(one));
        // A gap that has a newer revision in the meantime is told no more.
        let newest = self.newest(&next.said).unwrap_or_default();
        let older = untold
            .iter()
            .filter(|one| newest.get(&one.key) != Some(&one.hash))
            .count();
        let told = told.len();
        if !(told..=told + older).contains(&missing) {
            self.complain(
                record,
                &format!("its hop could read {resolved} of {requested} memories, and {told} of them are told as gaps"),
            );
        }
    }

    /// What the sender of an envelope could have of the view that it made.
    fn assembles(&mut self, record: &Record, told: &Told) {
        let Some((view, refs)) = self.view_of(record, told) else {
            return;
        };
        let Some(could) = &view.assembled else { return };
        let gaps = refs.iter().filter(|one| told.said.gaps.contains(one)).count();
        if could.requested != refs.len() || could.resolved + gaps > could.requested {
            let (requested, resolved, given) = (could.requested, could.resolved, refs.len());
            self.complain(
                record,
                &format!(
                    "its sender could have {resolved} of {requested} memories; of {given} in full {gaps} are gaps"
                ),
            );
        }
    }

    /// The view of an envelope, and its references; nothing where its receiver makes the view itself.
    fn view_of<'t>(&self, record: &Record, told: &'t Told) -> Option<(&'t View, Vec<&'t Named>)> {
        let view = told.said.view.as_ref()?;
        let known = self.newest(&told.said)?;
        // Other references are a client's.
        let refs: Vec<&Named> = told
            .refs
            .iter()
            .filter(|given| known.contains_key(&given.key))
            .collect();
        let is_own = record.snapshot.parent.is_none() || view.kept == refs.len();
        is_own.then_some((view, refs))
    }

    /// The newest content of each key; nothing where the chain is broken, which C1 finds.
    fn newest(&self, said: &Said) -> Option<HashMap<String, String>> {
        let mut left: Vec<String> = said.head.iter().cloned().collect();
        let mut links = HashSet::new();
        let mut entries = BTreeMap::new();
        while let Some(hash) = left.pop() {
            if !links.insert(hash.clone()) {
                continue;
            }
            let link = link(self.objects, &self.tree, &hash).ok()?;
            for (index, memory) in link.memories.into_iter().enumerate() {
                entries.insert(
                    (link.depth, link.intent.clone(), link.hop, index),
                    (memory.key, memory.hash),
                );
            }
            left.extend(link.previous);
        }
        Some(entries.into_values().collect())
    }
}
