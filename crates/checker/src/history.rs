//! The records of each intent in order, and what the load and the handlers report about it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use serde::de::DeserializeOwned;

use crate::evidence::{Effect, Evidence, Journal, Message, Tried};
use crate::record::{Envelope, Record};
use crate::verdict::Violation;

/// The records of one intent, oldest first.
#[derive(Debug)]
pub struct History {
    /// The intent.
    pub intent: String,
    /// Its records.
    pub records: Vec<Record>,
    /// The key of the work, if the load submitted it.
    pub key: Option<String>,
    /// The sequences of void records between them, in order. They decide nothing, and the server guards by them.
    pub void: Vec<u64>,
}

impl History {
    /// Each record with the one before it.
    pub fn pairs(&self) -> impl Iterator<Item = (&Record, &Record)> {
        self.records.iter().zip(self.records.iter().skip(1))
    }

    /// The last record.
    #[must_use]
    pub fn head(&self) -> Option<&Record> {
        self.records.last()
    }

    /// Every envelope with the record that holds it.
    pub fn envelopes(&self) -> impl Iterator<Item = (&Record, &Envelope)> {
        let held = |record: &'_ Record| record.envelope.is_some();
        self.records
            .iter()
            .filter(move |record| held(record))
            .filter_map(|record| Some((record, record.envelope.as_ref()?)))
    }
}

/// The input of all checks.
#[derive(Debug)]
pub struct Context<'a> {
    /// The evidence itself.
    pub evidence: &'a Evidence,
    /// Every intent, by its id.
    pub histories: BTreeMap<String, History>,
    /// The intents of each key.
    pub by_key: HashMap<String, Vec<String>>,
    /// What the load knows, by key.
    pub tried: HashMap<&'a str, &'a Tried>,
    /// The keys that were acknowledged.
    pub acked: HashSet<&'a str>,
    /// The traces of each intent, in the order in which they were left.
    pub effects: HashMap<&'a str, Vec<&'a Effect>>,
    /// The intents that somebody wanted to cancel, and whether a controller said that it did.
    pub cancelled: HashMap<&'a str, bool>,
}

/// The records that count of each intent, in the order of the dump. What is void is told beside them.
fn histories(
    evidence: &Evidence,
    void: &HashSet<(String, u64)>,
    found: &mut Vec<Violation>,
) -> BTreeMap<String, History> {
    let mut histories: BTreeMap<String, History> = BTreeMap::new();
    for (place, message) in evidence.messages.iter().enumerate() {
        let Some(intent) = ledger_intent(message) else { continue };
        if void.contains(&(intent.to_owned(), message.seq)) {
            continue;
        }
        match Record::read(message, place) {
            Ok(record) if record.intent == intent => {
                let empty = || History {
                    intent: intent.to_owned(),
                    records: Vec::new(),
                    key: None,
                    void: Vec::new(),
                };
                let history = histories.entry(intent.to_owned()).or_insert_with(empty);
                history.records.push(record);
            }
            Ok(record) => found.push(Violation::of(
                "I4",
                intent,
                format!("record {} on its subject is of intent {}", message.seq, record.intent),
            )),
            Err(error) => found.push(Violation::of(
                "I4",
                intent,
                format!("record {} cannot be read: {error}", message.seq),
            )),
        }
    }
    for (intent, seq) in void {
        if let Some(history) = histories.get_mut(intent) {
            history.void.push(*seq);
        }
    }
    histories
}

impl<'a> Context<'a> {
    /// Sorts the evidence. Unreadable evidence is already a violation.
    pub(crate) fn new(evidence: &'a Evidence, void: &HashSet<(String, u64)>, found: &mut Vec<Violation>) -> Self {
        let mut histories = histories(evidence, void, found);
        let mut by_key: HashMap<String, Vec<String>> = HashMap::new();
        for history in histories.values_mut() {
            history.records.sort_by_key(|record| record.seq);
            history.void.sort_unstable();
            history.key = history.records.first().and_then(|first| match &first.envelope {
                Some(envelope) => envelope.key(),
                None => first.rejected_key().or_else(|| first.broadcast_key()),
            });
            let is_child = history.records.iter().any(|record| record.snapshot.parent.is_some());
            if is_child {
                // Nobody submitted it from outside; P5 to P7 judge it.
                history.key = None;
            }
            if let Some(key) = &history.key {
                by_key.entry(key.clone()).or_default().push(history.intent.clone());
            }
        }
        let (mut tried, mut acked, mut cancelled) = (HashMap::new(), HashSet::new(), HashMap::new());
        for line in &evidence.journal {
            match line {
                Journal::Tried(work) => {
                    tried.insert(work.key.as_str(), work);
                }
                Journal::Acked { key } => {
                    acked.insert(key.as_str());
                }
                Journal::Cancel { intent, done } => {
                    let is_done: &mut bool = cancelled.entry(intent.as_str()).or_default();
                    *is_done |= *done;
                }
                Journal::Signal { .. }
                | Journal::Stopped { .. }
                | Journal::Burst { .. }
                | Journal::Limit { .. }
                | Journal::Killed { .. }
                | Journal::OutOfReach { .. }
                | Journal::Note { .. } => {}
            }
        }
        let mut effects: HashMap<&str, Vec<&Effect>> = HashMap::new();
        for effect in &evidence.effects {
            let (Effect::Run { intent, .. } | Effect::Ended { intent, .. } | Effect::Step { intent, .. }) = effect;
            effects.entry(intent).or_default().push(effect);
        }
        Self {
            evidence,
            histories,
            by_key,
            tried,
            acked,
            effects,
            cancelled,
        }
    }

    /// The revisions of the routes, in order, as a check reads them. What cannot be read says nothing.
    pub(crate) fn routes<R: DeserializeOwned>(&self) -> impl Iterator<Item = (&'a Message, R)> {
        let is_route = |message: &&Message| message.stream.starts_with("KV_") && message.stream.ends_with("_ROUTES");
        let mut revisions: Vec<&Message> = self.evidence.messages.iter().filter(is_route).collect();
        revisions.sort_by_key(|message| message.seq);
        let read = |message: &'a Message| Some((message, serde_json::from_slice(&message.bytes()).ok()?));
        revisions.into_iter().filter_map(read)
    }

    /// The traces of an intent.
    #[must_use]
    pub fn effects_of(&self, intent: &str) -> &[&'a Effect] {
        self.effects.get(intent).map_or(&[], Vec::as_slice)
    }

    /// What the load knows about an intent.
    #[must_use]
    pub fn tried_of(&self, history: &History) -> Option<&'a Tried> {
        self.tried.get(history.key.as_deref()?).copied()
    }

    /// Everything known about an intent, for a reader: a line for each record, the bodies, the traces, the journal.
    #[must_use]
    pub fn tell(&self, intent: &str) -> String {
        let mut text = String::new();
        let Some(history) = self.histories.get(intent) else {
            return format!("{intent} has no record\n");
        };
        for seq in &history.void {
            let said = writeln!(text, "  {seq} is void");
            debug_assert!(said.is_ok(), "a string takes all text");
        }
        for record in &history.records {
            let at = &record.snapshot;
            let none = || "-".to_owned();
            let said = writeln!(
                text,
                "  {} at {} ms: {} -> {} | hop {} of {} attempt {} epoch {} at {}@{} holder {} envelope {} | by {} {}",
                record.seq,
                record.time_ms,
                record.event.name,
                at.status,
                at.hop,
                at.max_hops,
                at.attempt,
                at.epoch,
                at.agent.clone().unwrap_or_else(none),
                at.version.clone().unwrap_or_else(none),
                at.holder.clone().unwrap_or_else(none),
                at.envelope.clone().unwrap_or_else(none),
                record.by.role,
                record.by.instance,
            );
            debug_assert!(said.is_ok(), "a string takes all text");
        }
        let mut more = vec!["bodies:".to_owned()];
        for record in &history.records {
            if let Some(message) = self.evidence.messages.get(record.message) {
                more.push(serde_json::to_string(message).unwrap_or_default());
            }
        }
        more.push("effects:".to_owned());
        let effects = self.effects_of(intent).iter();
        more.extend(effects.map(|effect| serde_json::to_string(effect).unwrap_or_default()));
        more.push("journal:".to_owned());
        let tried = self.tried_of(history);
        more.extend(tried.map(|tried| serde_json::to_string(tried).unwrap_or_default()));
        if history.key.as_deref().is_some_and(|key| self.acked.contains(key)) {
            more.push("acknowledged".to_owned());
        }
        for line in more {
            text.push_str("  ");
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// The intent of a message of the ledger: `mesh.ledger.<shard>.<intent>`.
pub(crate) fn ledger_intent(message: &Message) -> Option<&str> {
    if !message.stream.contains("_LEDGER") || message.stream.starts_with("KV_") {
        return None;
    }
    let mut tokens = message.subject.split('.');
    let (_, ledger, _, intent) = (tokens.next()?, tokens.next()?, tokens.next()?, tokens.next()?);
    (ledger == "ledger" && tokens.next().is_none()).then_some(intent)
}
