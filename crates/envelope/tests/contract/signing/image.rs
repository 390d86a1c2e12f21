//! A ledger, an archive and checkpoints as a signed mesh leaves them, made without a server, and edits of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use baton_envelope::{
    Audit, AuditReport, Audited, Author, Bundle, Checkpoint, Draft, Entry, Envelope, EnvelopeId, Grant, Grants, Guard,
    IntentId, Json, KnownSignatures, Link, Message, Namespace, Place, Problem, Record, RecordId, Role, Rules,
    RunningRoot, SecretKey, Signatures, SignerRole, Span, Stamp, Statement, StepEntry, StoredRecord, Subjects,
    Successor, Timestamp, act,
};

const GUARD: &str = "Nats-Expected-Last-Subject-Sequence";
const SIGNATURE: &str = "Baton-Signature";

/// Numbers that look random and are the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end.max(1)).expect("small")).expect("small")
    }
}

/// The key of somebody.
pub(crate) fn key(whose: &str) -> SecretKey {
    SecretKey::of(*Link::of_bytes(whose.as_bytes()).bytes())
}

pub(crate) fn worker(agent: &str) -> Author {
    Author::worker(agent.parse().expect("name"), "1.0.0".parse().expect("version"), "one")
}

pub(crate) fn controller() -> Author {
    Author::of(Role::Controller, "one")
}

fn at(seq: u64) -> Timestamp {
    let start: Timestamp = "2026-11-01T00:00:00Z".parse().expect("a time");
    start.plus(Duration::from_secs(seq))
}

pub(crate) fn entry(message: &Message) -> Entry<'_> {
    let header = |name: &str| {
        let found = message.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    Entry {
        subject: &message.subject,
        seq: message.seq,
        stored_at: message.stored.parse().ok(),
        guard: header(GUARD).map_or(Guard::None, |text| Guard::At(text.parse().expect("a number"))),
        signature: header(SIGNATURE),
        body: &message.body,
    }
}

/// What a mesh has stored.
#[derive(Clone)]
pub(crate) struct Image {
    subjects: Subjects,
    pub(crate) ledger: Vec<Message>,
    archive: Vec<Message>,
    checkpoints: Vec<Message>,
    last_seq: u64,
    intents: u64,
}

/// Where an intent of the image stands.
struct Open {
    head: Record,
    place: Place,
}

impl Image {
    /// A mesh that has lived through so many rounds. In each some intents are submitted and run, older ones are archived,
    /// and a checkpoint is made.
    pub(crate) fn new(rounds: u64) -> Self {
        let mut image = Self::empty();
        for round in 0..rounds {
            image.grow(3);
            image.checkpoint();
            if round > 0 {
                image.archive_some();
            }
        }
        image.checkpoint();
        image
    }

    /// A mesh with so many records, none of them archived.
    pub(crate) fn of_records(records: u64) -> Self {
        // Each checkpoint reads all that is there: a few for many records.
        let between = (records / 40).max(500);
        let mut image = Self::empty();
        while image.last_seq < records {
            image.grow(between);
            image.checkpoint();
        }
        image
    }

    fn empty() -> Self {
        Self {
            subjects: Subjects::new(Namespace::default()),
            ledger: Vec::new(),
            archive: Vec::new(),
            checkpoints: Vec::new(),
            last_seq: 0,
            intents: 0,
        }
    }

    pub(crate) const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(crate) fn rules(&self, signatures: Signatures) -> Rules {
        let grant = |whose: &str, role, agent: Option<&str>| Grant {
            key: key(whose).public(),
            role,
            agent: agent.map(|agent| agent.parse().expect("name")),
            name: None,
            from: None,
            until: None,
        };
        let grants = vec![
            grant("controller", SignerRole::Controller, None),
            grant("research", SignerRole::Worker, Some("research")),
            grant("code", SignerRole::Worker, Some("code")),
            grant("shop", SignerRole::Client, None),
        ];
        Rules {
            grants: Grants::new(grants).expect("grants"),
            signatures,
            since: 0,
            known: KnownSignatures::default(),
        }
    }

    /// An intent with its first record, which stands with `research`.
    pub(crate) fn open(&self) -> (Message, Record) {
        let mut alone = Self::empty();
        let open = alone.submit(false);
        (alone.ledger.remove(0), open.head)
    }

    /// The record of a draft after a message.
    pub(crate) fn sealed(&self, draft: Draft, after: &Message, by: Author) -> Record {
        let intent = self.subjects.intent_of_ledger(&after.subject).expect("an intent");
        draft.seal(intent, after.seq, stamp(after.seq + 1, by))
    }

    /// A record that is written after a message.
    pub(crate) fn signed(&self, record: &Record, after: &Message, key: &SecretKey) -> Message {
        let link = Some(entry(after).link());
        self.signed_at(record, Place { seq: after.seq, link }, key)
    }

    pub(crate) fn signed_at(&self, record: &Record, after: Place, key: &SecretKey) -> Message {
        let subject = self.subjects.ledger(&record.intent);
        let body = serde_json::to_vec(record).expect("JSON");
        let headers = vec![
            ("Baton-Event".to_owned(), record.event.name().to_owned()),
            ("Baton-Status".to_owned(), record.snapshot.status.name().to_owned()),
        ];
        sealed(subject, headers, body, after, after.seq + 1, key)
    }

    fn put(&mut self, record: Record, after: Place, whose: &str) -> Open {
        let mut message = self.signed_at(&record, after, &key(whose));
        self.last_seq += 1;
        message.seq = self.last_seq;
        message.stored = at(self.last_seq).to_string();
        let place = Place {
            seq: message.seq,
            link: Some(entry(&message).link()),
        };
        self.ledger.push(message);
        Open { head: record, place }
    }

    fn submit(&mut self, generated: bool) -> Open {
        self.intents += 1;
        let intent: IntentId = format!("intent-{}", self.intents).parse().expect("id");
        let research = "research".parse().expect("name");
        let payload = Json::string("otters");
        let envelope = Envelope::first(envelope_id(self.intents), intent.clone(), research, payload);
        let mut draft = act::submit(at(self.last_seq), "1.0.0".parse().expect("version"), envelope);
        draft.generated_id = generated;
        let record = draft.seal(intent, 0, stamp(self.last_seq + 1, Author::of(Role::Client, "shop")));
        self.put(record, Place::from(0), "shop")
    }

    fn follow(&mut self, open: Open, whose: &str, draft: impl FnOnce(&Record) -> Draft) -> Open {
        let by = match whose {
            "controller" => controller(),
            agent => worker(agent),
        };
        let stamp = stamp(self.last_seq + 1, by);
        let record = draft(&open.head).seal(open.head.intent.clone(), open.place.seq, stamp);
        self.put(record, open.place, whose)
    }

    /// Submits intents and runs them, several at a time; the last of them stays open.
    pub(crate) fn grow(&mut self, count: u64) {
        let mut open: Vec<Open> = (0..count).map(|number| self.submit(number % 2 == 0)).collect();
        let step = |head: &Record| {
            let entry = StepEntry::new("look", Json::null());
            act::step(&head.snapshot, entry).expect("legal")
        };
        let mut each = |image: &mut Self, whose: &str, draft: &dyn Fn(&Record) -> Draft| {
            open = std::mem::take(&mut open)
                .into_iter()
                .map(|one| image.follow(one, whose, draft))
                .collect();
        };
        each(self, "research", &|head| {
            act::claim(&head.snapshot, "one", 1).expect("legal")
        });
        each(self, "research", &step);
        let mut source = BTreeMap::new();
        for message in &self.ledger {
            let record = Record::decode(&message.body).expect("a record");
            if let Some(envelope) = record.envelope {
                source.insert(record.intent, envelope);
            }
        }
        each(self, "research", &|head| {
            let new = Successor {
                id: envelope_id(head.snapshot.epoch + 1_000_000),
                to: "code".parse().expect("name"),
                to_version: "1.0.0".parse().expect("version"),
                from: "research@1.0.0".to_owned(),
                payload: Json::string("found"),
                kind: None,
                history: None,
            };
            let envelope = source[&head.intent].successor(new).expect("few hops");
            act::hand_off(&head.snapshot, envelope, "1.0.0".parse().expect("version")).expect("legal")
        });
        each(self, "code", &|head| {
            act::claim(&head.snapshot, "one", 1).expect("legal")
        });
        each(self, "code", &|head| {
            act::complete(&head.snapshot, Json::string("done")).expect("legal")
        });
    }

    /// Archives the oldest closed intents: of every other one the ledger keeps the last record.
    fn archive_some(&mut self) {
        let mut by_intent: BTreeMap<String, Vec<Message>> = BTreeMap::new();
        for message in &self.ledger {
            by_intent
                .entry(message.subject.clone())
                .or_default()
                .push(message.clone());
        }
        for (subject, messages) in by_intent.into_iter().filter(|(_, messages)| messages.len() > 1).take(2) {
            let records = messages.into_iter().map(|message| StoredRecord {
                seq: message.seq,
                stored: message.stored,
                headers: message.headers,
                body: message.body,
            });
            let bundle = Bundle {
                intent: self.subjects.intent_of_ledger(&subject).expect("an intent"),
                records: records.collect(),
                void: Vec::new(),
            };
            let facts = bundle.verify().expect("closed");
            let headers = [
                ("Baton-Intent", bundle.intent.to_string()),
                ("Baton-Status", facts.status.clone()),
                ("Baton-Ledger-Sequence", facts.seq.to_string()),
                ("Baton-Submitted", facts.submitted_at.to_string()),
                ("Baton-Ended", facts.ended_at.to_string()),
            ];
            let mut headers: Vec<(String, String)> = headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            if facts.generated {
                headers.push(("Baton-Generated".to_owned(), "1".to_owned()));
            }
            let seq = u64::try_from(self.archive.len()).expect("small") + 1;
            self.archive.push(Message {
                seq,
                subject: self.subjects.archive(facts.agent.as_ref()),
                stored: at(self.last_seq).to_string(),
                headers,
                body: bundle.encode().expect("a bundle"),
            });
            let keeps = !facts.generated;
            self.ledger
                .retain(|message| message.subject != subject || (keeps && message.seq == facts.seq));
        }
    }

    fn checkpoint(&mut self) {
        let before = self.checkpoints.last().map(|last| {
            let read: Checkpoint = serde_json::from_slice(&last.body).expect("a checkpoint");
            (
                read,
                Place {
                    seq: last.seq,
                    link: Some(entry(last).link()),
                },
            )
        });
        let (ledger_after, archive_after) = before
            .as_ref()
            .map_or((0, 0), |(read, _)| (read.ledger.through, read.archive.through));
        let span = |created: &str, messages: &[Message], after: u64, through: u64| {
            let mut root = RunningRoot::new();
            for message in messages.iter().filter(|message| message.seq > after) {
                root.add(message.seq, &message.subject, entry(message).link());
            }
            Span {
                created: created.to_owned(),
                after,
                through,
                count: root.count,
                root: root.root,
            }
        };
        let archived = u64::try_from(self.archive.len()).expect("small");
        let checkpoint = Checkpoint {
            removed: Vec::new(),
            checkpoint: Checkpoint::FORM,
            at: at(self.last_seq),
            by: "one".to_owned(),
            ledger: span("ledger", &self.ledger, ledger_after, self.last_seq),
            archive: span("archive", &self.archive, archive_after, archived),
        };
        let after = before.map_or(Place::from(0), |(_, place)| place);
        let body = serde_json::to_vec(&checkpoint).expect("JSON");
        let subject = self.subjects.checkpoint();
        self.checkpoints.push(sealed(
            subject,
            Vec::new(),
            body,
            after,
            after.seq + 1,
            &key("controller"),
        ));
    }

    pub(crate) fn audit(&self) -> AuditReport {
        self.audit_with(1)
    }

    /// Audits with several threads, each of which takes a share of the intents.
    pub(crate) fn audit_with(&self, threads: usize) -> AuditReport {
        let audit = Audit {
            rules: Arc::new(self.rules(Signatures::Require)),
            subjects: self.subjects.clone(),
            now: at(self.last_seq),
            archive_max_age: Duration::from_secs(30 * 24 * 60 * 60),
            ledger: "ledger".to_owned(),
            archive: "archive".to_owned(),
        };
        let share = |subject: &str| usize::from(Link::of_bytes(subject.as_bytes()).bytes()[0]) % threads;
        let run = |mine: usize| {
            let mut part = audit.part();
            for message in self.ledger.iter().filter(|message| share(&message.subject) == mine) {
                part.ledger(message);
            }
            for message in &self.archive {
                let intent = message.headers.iter().find(|(name, _)| name == "Baton-Intent");
                let intent = intent.map_or("", |(_, intent)| intent);
                if share(&format!("mesh.ledger.0.{intent}")) == mine {
                    part.archived(message);
                    part.bundle(message, &message.body);
                }
            }
            part
        };
        let parts = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|mine| scope.spawn(move || run(mine))).collect();
            running.into_iter().map(|part| part.join().expect("no panic")).collect()
        });
        audit.conclude(parts, &self.checkpoints)
    }
}

fn sealed(
    subject: String,
    mut headers: Vec<(String, String)>,
    body: Vec<u8>,
    after: Place,
    seq: u64,
    key: &SecretKey,
) -> Message {
    let statement = Statement {
        subject: &subject,
        expected: after.seq,
        previous: after.link,
        body: Link::of_bytes(&body),
    };
    headers.push((SIGNATURE.to_owned(), statement.sign(key).to_string()));
    headers.push((GUARD.to_owned(), after.seq.to_string()));
    headers.sort();
    Message {
        seq,
        subject,
        stored: at(seq).to_string(),
        headers,
        body,
    }
}

fn stamp(seq: u64, by: Author) -> Stamp {
    Stamp {
        id: RecordId::generate(at(seq), [u8::try_from(seq % 251).expect("small"); 10]),
        at: at(seq),
        by,
    }
}

fn envelope_id(number: u64) -> EnvelopeId {
    EnvelopeId::generate(at(number), [1; 10])
}

/// What was done to an image, and where.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) what: &'static str,
    stream: Audited,
    places: Vec<u64>,
}

impl Edit {
    /// Whether a problem tells of it: in its stream, at one of its places.
    pub(crate) fn is_at(&self, problem: &Problem) -> bool {
        let through = problem.through.unwrap_or(problem.seq);
        problem.stream == self.stream && self.places.iter().any(|at| (problem.seq..=through).contains(at))
    }
}

impl Image {
    /// Whether it is what the ledger keeps of an archived intent.
    fn is_remainder(&self, message: &Message) -> bool {
        let alone = self
            .ledger
            .iter()
            .filter(|other| other.subject == message.subject)
            .count()
            == 1;
        alone && !Record::decode(&message.body).expect("a record").is_opening()
    }

    /// Edits the image at a random place.
    pub(crate) fn edit(&mut self, random: &mut Random) -> Edit {
        let is_ledger = random.below(2) == 0;
        let stream = if is_ledger { Audited::Ledger } else { Audited::Archive };
        let last = if is_ledger {
            self.last_seq
        } else {
            u64::try_from(self.archive.len()).expect("small")
        };
        // What the archive has, too, is not gone when it leaves the ledger.
        let is_lost: Vec<bool> = match is_ledger {
            true => self.ledger.iter().map(|message| !self.is_remainder(message)).collect(),
            false => vec![true; self.archive.len()],
        };
        let messages = if is_ledger { &mut self.ledger } else { &mut self.archive };
        let at = random.below(messages.len());
        let first_lost = (at..messages.len()).chain(0..at).find(|at| is_lost[*at]).expect("one");
        let seq = messages[at].seq;
        let edit = |what, places| Edit { what, stream, places };
        match random.below(5) {
            0 => {
                flip(&mut messages[at], is_ledger, random);
                edit("flip", vec![seq])
            }
            1 => {
                let gone = messages.remove(first_lost);
                edit("drop", vec![gone.seq])
            }
            2 => {
                let other = (at + 1 + random.below(messages.len() - 1)) % messages.len();
                messages.swap(at, other);
                let other_seq = messages[at].seq;
                (messages[at].seq, messages[other].seq) = (seq, other_seq);
                edit("swap", vec![seq, other_seq])
            }
            3 => {
                let mut copy = messages[at].clone();
                if !is_ledger {
                    // The same bundle twice is what a new leader may write, so another one.
                    flip(&mut copy, false, random);
                }
                copy.seq = last + 1;
                messages.push(copy);
                edit("insert", vec![last + 1])
            }
            _ => {
                let gone = messages[first_lost].seq;
                messages.truncate(first_lost);
                edit("truncate", vec![gone])
            }
        }
    }
}

/// Changes one bit of one of the things that a message consists of.
fn flip(message: &mut Message, is_ledger: bool, random: &mut Random) {
    let bit = 1 << random.below(5);
    match random.below(4) {
        0 if is_ledger => {
            let at = random.below(message.headers.len());
            let value = &mut message.headers[at].1;
            let mut bytes = value.clone().into_bytes();
            let byte = random.below(bytes.len());
            bytes[byte] ^= bit;
            *value = String::from_utf8_lossy(&bytes).into_owned();
        }
        1 if is_ledger => {
            let mut bytes = message.subject.clone().into_bytes();
            let byte = random.below(bytes.len());
            bytes[byte] ^= bit;
            message.subject = String::from_utf8_lossy(&bytes).into_owned();
        }
        2 if !is_ledger => {
            // A record in it, with a digest that fits.
            let mut bundle = Bundle::decode(&message.body).expect("a bundle");
            let record = random.below(bundle.records.len());
            let body = &mut bundle.records[record].body;
            let byte = random.below(body.len());
            body[byte] ^= bit;
            message.body = bundle.encode().expect("a bundle");
        }
        _ => {
            let byte = random.below(message.body.len());
            message.body[byte] ^= bit;
        }
    }
}
