//! The audit: what was altered, dropped, swapped, inserted or cut off in a ledger and its archive, and where.
//!
//! It reads a ledger, bundles and checkpoints as they are stored, and trusts nothing but the keys. Several parts may read
//! at the same time, each its share of the intents; [`AuditPart::conclude`] puts them together.

mod spans;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::chain::{Chain, Judged};
use super::checkpoint::Checkpoint;
use super::link::Link;
use super::rules::{Entry, Guard, Rules};
use super::signature::Signature;
use crate::archive::bundle::{Bundle, StoredRecord};
use crate::base::header::{
    HEADER_ENDED, HEADER_EVENT, HEADER_GENERATED, HEADER_INTENT, HEADER_LEDGER_SEQUENCE, HEADER_SIGNATURE,
    HEADER_STATUS, HEADER_SUBMITTED,
};
use crate::base::ids::IntentId;
use crate::base::timestamp::Timestamp;
use crate::intent::containment::stands_elsewhere;
use crate::intent::record::Record;
use crate::message::subject::Subjects;

const GUARD: &str = "Nats-Expected-Last-Subject-Sequence";
const GUARDED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// Which stream is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Audited {
    /// The ledger.
    Ledger,
    /// The archive.
    Archive,
    /// The checkpoints.
    Checkpoints,
}

/// A message of a stream, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// When it was stored, as the server writes it.
    pub stored: String,
    /// The headers that it was published with.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Something that is not as it was written, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// In which stream.
    pub stream: Audited,
    /// At which sequence of it.
    pub seq: u64,
    /// The last sequence, where it is about a stretch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// In the archive: at which ledger sequence of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<u64>,
    /// The intent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentId>,
    /// What is wrong.
    pub problem: String,
}

/// What an audit came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AuditReport {
    /// All that was found, by place.
    pub problems: Vec<Problem>,
    /// How many records were read, in the ledger and in bundles.
    pub records: u64,
    /// How many of them are not signed, and need not be.
    pub unsigned: u64,
    /// How many bundles were read.
    pub bundles: u64,
    /// How many checkpoints were verified.
    pub checkpoints: u64,
    /// The last ledger sequence that a checkpoint covers: of what comes after it, a tail that is cut off is not missed.
    pub covered_through: u64,
    /// How many messages controllers have removed from the ledger without a bundle, and said so.
    #[serde(skip_serializing_if = "is_zero")]
    pub removed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// By what an audit verifies.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The rules of the mesh.
    pub rules: Arc<Rules>,
    /// The names of the mesh.
    pub subjects: Subjects,
    /// The time now.
    pub now: Timestamp,
    /// How long the archive keeps a bundle; zero for ever. What is older may be missing.
    pub archive_max_age: Duration,
    /// When the ledger was created, as the server writes it.
    pub ledger: String,
    /// When the archive was created.
    pub archive: String,
}

/// A record that is there.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    link: Link,
    intent: u32,
}

/// One share of an audit.
#[derive(Debug)]
pub struct AuditPart<'a> {
    audit: &'a Audit,
    chains: HashMap<IntentId, Chain<'a>>,
    /// The first record of each intent in the ledger, if it is not the first of the intent.
    remainders: BTreeMap<IntentId, (u64, Link)>,
    intents: Vec<IntentId>,
    leaves: BTreeMap<u64, Leaf>,
    /// The last record of each bundle.
    ends: HashMap<(IntentId, u64), Link>,
    /// Every message of the archive.
    archived: BTreeMap<u64, (String, Link)>,
    /// What the ledger holds of no intent, and what was removed from it by a controller that says so.
    others: BTreeMap<u64, (String, Link)>,
    report: AuditReport,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    fn entry(&self) -> Entry<'_> {
        entry(&self.subject, self.seq, &self.stored, &self.headers, &self.body)
    }

    /// As a message of the archive or of the checkpoints is counted.
    fn plain_link(&self) -> Link {
        Link::of(&self.body, self.header(HEADER_SIGNATURE))
    }
}

impl Audit {
    /// One share of the work.
    pub fn part(&self) -> AuditPart<'_> {
        AuditPart {
            audit: self,
            chains: HashMap::new(),
            remainders: BTreeMap::new(),
            intents: Vec::new(),
            leaves: BTreeMap::new(),
            ends: HashMap::new(),
            archived: BTreeMap::new(),
            others: BTreeMap::new(),
            report: AuditReport::default(),
        }
    }
}

impl<'a> AuditPart<'a> {
    /// Takes in the next message of the ledger. All of one subject go to the same part, in their order.
    pub fn ledger(&mut self, message: &Message) {
        self.report.records += 1;
        let Some(intent) = self.audit.subjects.intent_of_ledger(&message.subject) else {
            let problem = format!("\"{}\" is the ledger subject of no intent", message.subject);
            let other = (message.subject.clone(), message.entry().link());
            self.others.insert(message.seq, other);
            return self.find(Audited::Ledger, message.seq, None, None, problem);
        };
        let read = read(&intent, &message.body);
        if let Err(problem) = &read {
            self.find(Audited::Ledger, message.seq, None, Some(&intent), problem.to_string());
        }
        let entry = message.entry();
        if let Ok(record) = &read {
            if let Some(problem) = differing_headers(record, &message.headers) {
                self.find(Audited::Ledger, message.seq, None, Some(&intent), problem);
            }
            if !self.chains.contains_key(&intent) && !record.is_opening() {
                self.remainders.insert(intent.clone(), (message.seq, entry.link()));
            }
        }
        self.count(&entry);
        self.leaf(message.seq, &intent, entry.link(), (Audited::Ledger, message.seq));
        let chain = match self.chains.get_mut(&intent) {
            Some(chain) => chain,
            None => {
                let chain = Chain::new(&self.audit.rules);
                self.chains.entry(intent).or_insert(chain)
            }
        };
        chain.take(&entry, read.as_ref());
    }

    /// Takes in a bundle: the last message of the archive that holds it, and all of its bytes.
    pub fn bundle(&mut self, message: &Message, bytes: &[u8]) {
        self.report.bundles += 1;
        let at = message.seq;
        let bundle = match Bundle::decode(bytes) {
            Ok(bundle) => bundle,
            Err(error) => return self.find(Audited::Archive, at, None, None, error.to_string()),
        };
        let intent = bundle.intent.clone();
        match bundle.verify() {
            Ok(facts) => {
                let agent = facts.agent.as_ref();
                let expected = [
                    (HEADER_INTENT, intent.to_string()),
                    (HEADER_STATUS, facts.status.clone()),
                    (HEADER_LEDGER_SEQUENCE, facts.seq.to_string()),
                    (HEADER_SUBMITTED, facts.submitted_at.to_string()),
                    (HEADER_ENDED, facts.ended_at.to_string()),
                    (
                        HEADER_GENERATED,
                        if facts.generated { "1".to_owned() } else { String::new() },
                    ),
                ];
                for (name, value) in expected {
                    let found = message.header(name).unwrap_or_default();
                    if found != value {
                        let problem = format!("its header {name} is \"{found}\", and its records say \"{value}\"");
                        self.find(Audited::Archive, at, None, Some(&intent), problem);
                    }
                }
                if message.subject != self.audit.subjects.archive(agent) {
                    let problem = format!("it stands on \"{}\", the subject of another agent", message.subject);
                    self.find(Audited::Archive, at, None, Some(&intent), problem);
                }
            }
            Err(error) => self.find(Audited::Archive, at, None, Some(&intent), error.to_string()),
        }
        self.records_of(at, &bundle);
    }

    /// Takes in the records of a bundle that is known to be at a sequence of the archive.
    pub fn records_of(&mut self, at: u64, bundle: &Bundle) {
        let (audit, intent) = (self.audit, &bundle.intent);
        let subject = audit.subjects.ledger(intent);
        let mut chain = Chain::new(&audit.rules);
        let mut all: Vec<&StoredRecord> = bundle.records.iter().chain(&bundle.void).collect();
        all.sort_by_key(|record| record.seq);
        for record in all {
            let StoredRecord { seq, headers, body, .. } = record;
            self.report.records += 1;
            let read = read(intent, body);
            match &read {
                Err(problem) => self.find(Audited::Archive, at, Some(*seq), Some(intent), problem.to_string()),
                Ok(record) => {
                    if let Some(problem) = differing_headers(record, headers) {
                        self.find(Audited::Archive, at, Some(*seq), Some(intent), problem);
                    }
                }
            }
            let entry = record.entry(&subject);
            self.count(&entry);
            self.leaf(*seq, intent, entry.link(), (Audited::Archive, at));
            chain.take(&entry, read.as_ref());
        }
        if let Some(last) = bundle.records.last() {
            let link = last.entry(&subject).link();
            self.ends.insert((intent.clone(), last.seq), link);
        }
        let judged = chain.judged();
        if judged.is_cut {
            let first = bundle.records.first().map(|record| record.seq);
            let problem = "the record that its first one was written after is missing".to_owned();
            self.find(Audited::Archive, at, first, Some(intent), problem);
        }
        self.found_void((Audited::Archive, at), intent, judged);
    }

    /// Takes in any message of the archive, whether or not a bundle ends with it.
    pub fn archived(&mut self, message: &Message) {
        self.archived
            .insert(message.seq, (message.subject.clone(), message.plain_link()));
    }

    fn count(&mut self, entry: &Entry<'_>) {
        self.report.unsigned += u64::from(entry.signature.is_none());
    }

    /// Notes a record that is there. The ledger and a bundle may both have it, and then alike.
    fn leaf(&mut self, seq: u64, intent: &IntentId, link: Link, (stream, at): (Audited, u64)) {
        if self.intents.last() != Some(intent) {
            self.intents.push(intent.clone());
        }
        let place = u32::try_from(self.intents.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let before = self.leaves.insert(seq, Leaf { link, intent: place });
        let Some(before) = before else { return };
        let other = self.intent(before);
        if before.link != link || other != Some(intent) {
            let problem = format!("ledger sequence {seq} holds two different records");
            let record = (stream == Audited::Archive).then_some(seq);
            self.find(stream, at, record, Some(&intent.clone()), problem);
        }
    }

    fn intent(&self, leaf: Leaf) -> Option<&IntentId> {
        self.intents.get(usize::try_from(leaf.intent).ok()?)
    }

    fn found_void(&mut self, (stream, at): (Audited, u64), intent: &IntentId, judged: Judged) {
        for (seq, void) in judged.void {
            // What only builds on a void record is not told again.
            if void.follows.is_some() {
                continue;
            }
            let problem = format!("void: {}", void.problem);
            match stream {
                Audited::Archive => self.find(stream, at, Some(seq), Some(intent), problem),
                Audited::Ledger | Audited::Checkpoints => self.find(stream, seq, None, Some(intent), problem),
            }
        }
    }

    fn find(&mut self, stream: Audited, seq: u64, record: Option<u64>, intent: Option<&IntentId>, problem: String) {
        self.report.problems.push(Problem {
            stream,
            seq,
            through: None,
            record,
            intent: intent.cloned(),
            problem,
        });
    }

    /// Ends the chains of the ledger.
    fn close(&mut self) {
        for (intent, chain) in std::mem::take(&mut self.chains) {
            let judged = chain.judged();
            self.found_void((Audited::Ledger, 0), &intent, judged);
        }
    }

    /// Judges one intent alone, without the checkpoints.
    pub fn conclude_one(mut self) -> AuditReport {
        self.close();
        self.whole();
        self.report.problems.sort();
        self.report
    }

    /// Whether the archive has what comes before each remainder in the ledger.
    fn whole(&mut self) {
        for (intent, (seq, link)) in std::mem::take(&mut self.remainders) {
            if self.ends.get(&(intent.clone(), seq)) != Some(&link) {
                let problem = "the records before it are missing, and no bundle of the archive ends with it".to_owned();
                self.find(Audited::Ledger, seq, None, Some(&intent), problem);
            }
        }
    }
}

impl AuditPart<'_> {
    fn merge(&mut self, part: Self) {
        let offset = u32::try_from(self.intents.len()).unwrap_or(u32::MAX);
        self.intents.extend(part.intents);
        for (seq, leaf) in part.leaves {
            let intent = leaf.intent.saturating_add(offset);
            if self.leaves.insert(seq, Leaf { intent, ..leaf }).is_some() {
                let problem = format!("ledger sequence {seq} holds records of two intents");
                self.find(Audited::Ledger, seq, None, None, problem);
            }
        }
        self.archived.extend(part.archived);
        self.others.extend(part.others);
        let report = &mut self.report;
        report.problems.extend(part.report.problems);
        report.records += part.report.records;
        report.unsigned += part.report.unsigned;
        report.bundles += part.report.bundles;
    }

    /// The checkpoints that verify, oldest first, each with its sequence.
    fn verify_checkpoints(&mut self, messages: &[Message]) -> Vec<(u64, Checkpoint)> {
        let mut found = Vec::new();
        let mut last: Option<(u64, Link)> = None;
        for message in messages {
            let before = last.replace((message.seq, message.plain_link()));
            match self.audit.checkpoint(message, before) {
                Ok(checkpoint) => found.push((message.seq, checkpoint)),
                Err(problem) => self.find(Audited::Checkpoints, message.seq, None, None, problem),
            }
        }
        self.report.checkpoints = u64::try_from(found.len()).unwrap_or(u64::MAX);
        found
    }
}

impl Audit {
    /// Reads a checkpoint that follows another one.
    fn checkpoint(&self, message: &Message, before: Option<(u64, Link)>) -> Result<Checkpoint, String> {
        let text = message.header(HEADER_SIGNATURE).ok_or("it is not signed")?;
        let signature: Signature = text.parse()?;
        let checkpoint: Checkpoint =
            serde_json::from_slice(&message.body).map_err(|error| format!("it cannot be read: {error}"))?;
        if checkpoint.checkpoint != Checkpoint::FORM {
            return Err(format!(
                "it has form {}, and this build reads form 1",
                checkpoint.checkpoint
            ));
        }
        self.rules
            .verify_checkpoint(&message.entry(), &signature, checkpoint.at)?;
        match before {
            Some((seq, _)) if seq != signature.expected => Err(format!(
                "it was written after {}, and {seq} is before it",
                signature.expected
            )),
            Some((_, link)) if Some(link) != signature.previous => {
                Err("it names another one as the checkpoint before it".to_owned())
            }
            Some(_) | None => Ok(checkpoint),
        }
    }

    /// Puts the parts together, and compares them with the checkpoints, oldest first.
    pub fn conclude(&self, parts: Vec<AuditPart<'_>>, checkpoints: &[Message]) -> AuditReport {
        let mut all = self.part();
        for mut part in parts {
            part.close();
            part.whole();
            all.merge(part);
        }
        let verified = all.verify_checkpoints(checkpoints);
        all.compare(&verified);
        all.report.problems.sort();
        all.report.problems.dedup();
        all.report
    }
}

fn read(intent: &IntentId, body: &[u8]) -> Result<Record, crate::base::error::DecodeError> {
    let record = Record::decode(body)?;
    if record.intent == *intent {
        Ok(record)
    } else {
        Err(stands_elsewhere(&record, intent))
    }
}

/// What the headers say otherwise than the record.
fn differing_headers(record: &Record, headers: &[(String, String)]) -> Option<String> {
    let said = [
        (HEADER_EVENT, record.event.name()),
        (HEADER_STATUS, record.snapshot.status.name()),
    ];
    said.into_iter().find_map(|(name, value)| {
        let found = header(headers, name)?;
        (found != value).then(|| format!("its header {name} is \"{found}\", and the record says \"{value}\""))
    })
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

impl StoredRecord {
    /// It as a record on its ledger subject, to be verified.
    pub fn entry<'e>(&'e self, subject: &'e str) -> Entry<'e> {
        entry(subject, self.seq, &self.stored, &self.headers, &self.body)
    }
}

fn entry<'e>(subject: &'e str, seq: u64, stored: &str, headers: &'e [(String, String)], body: &'e [u8]) -> Entry<'e> {
    let guards: Vec<&str> = headers
        .iter()
        .filter(|(name, _)| name == GUARD)
        .map(|(_, value)| value.as_str())
        .collect();
    let guard = match guards.as_slice() {
        [one] if header(headers, GUARDED_SUBJECT).is_none() => one.parse().map_or(Guard::None, Guard::At),
        _ => Guard::None,
    };
    Entry {
        subject,
        seq,
        stored_at: stored.parse().ok(),
        guard,
        signature: header(headers, HEADER_SIGNATURE),
        body,
    }
}
