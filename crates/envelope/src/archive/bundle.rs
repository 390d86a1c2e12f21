//! A closed intent as the archive stores it: all of its ledger records, unchanged, in one document.
//!
//! The first line is a JSON index. The records follow byte for byte. The last line is the SHA-256 of everything before
//! it. The bytes of a bundle depend on the records alone, so writing it again writes the same bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::error::DecodeError;
use crate::base::ids::IntentId;
use crate::base::timestamp::Timestamp;
use crate::intent::event::Event;
use crate::intent::record::Record;
use crate::intent::summary::RecordSummary;

/// The form of a bundle that this build writes, and the newest one that it reads.
const FORM: u32 = 1;
const DIGEST: &str = "sha256:";

/// One ledger record, as the server stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its sequence in the ledger stream.
    pub seq: u64,
    /// When the server stored it, in the server's own spelling.
    pub stored: String,
    /// The headers it was published with, sorted by name.
    pub headers: Vec<(String, String)>,
    /// Its body, byte for byte.
    pub body: Vec<u8>,
}

/// All ledger records of one closed intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The intent.
    pub intent: IntentId,
    /// Its records, oldest first.
    pub records: Vec<StoredRecord>,
    /// In a mesh that signs: the void records of its subject, which decide nothing and are kept as they were found.
    pub void: Vec<StoredRecord>,
}

/// What the archive records about a bundle beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFacts {
    /// The name of the terminal status.
    pub status: String,
    /// The agent that had the intent last; `None` when no agent ever had a turn.
    pub agent: Option<crate::base::names::AgentName>,
    /// The ledger sequence of the terminal record.
    pub seq: u64,
    /// When the intent was submitted. An id may be used again one day; the id and this time name one life of an intent.
    pub submitted_at: Timestamp,
    /// When the intent ended.
    pub ended_at: Timestamp,
    /// Whether Baton made the id. Nobody submits such an id again.
    pub generated: bool,
}

/// Why a bundle is corrupt or unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be parsed.
    #[error("the bundle is malformed: {0}")]
    Malformed(String),
    /// A newer version of Baton wrote it.
    #[error("the bundle has form {found}, and this build reads form {FORM}: use a newer baton")]
    NewerForm {
        /// The form it states.
        found: u32,
    },
    /// Its digest does not match its bytes.
    #[error("the bundle was altered: its SHA-256 is {found}, and it says {stated}")]
    Altered {
        /// The digest it states.
        stated: String,
        /// The digest of its bytes.
        found: String,
    },
    /// Its records are not the history of one closed intent.
    #[error("the bundle of {intent} is no history of an intent: {problem}")]
    NotClosed {
        /// The intent.
        intent: IntentId,
        /// What is wrong.
        problem: String,
    },
    /// In a mesh that signs: one of its records does not verify.
    #[error("record {seq} in the bundle of {intent} is void: {problem}")]
    Void {
        /// The intent.
        intent: IntentId,
        /// The ledger sequence of the record.
        seq: u64,
        /// Why it is void.
        problem: String,
    },
    /// One of its records cannot be read.
    #[error("a record of the bundle cannot be read")]
    Record(#[from] DecodeError),
}

#[derive(Serialize, Deserialize)]
struct Index {
    bundle: u32,
    intent: IntentId,
    records: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    void: Vec<VoidEntry>,
}

/// A void record. Its body stands here: readers that know of none find the records alone behind the index.
#[derive(Serialize, Deserialize)]
struct VoidEntry {
    seq: u64,
    stored: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    seq: u64,
    stored: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    bytes: usize,
}

impl Bundle {
    /// The tree that its last record says it is of: that of its own intent where it names no root. `None` where nobody can read it.
    pub fn tree(&self) -> Option<IntentId> {
        let last = Record::decode(&self.records.last()?.body).ok()?.snapshot;
        Some(last.root.unwrap_or_else(|| self.intent.clone()))
    }

    /// Encodes the bundle.
    ///
    /// # Errors
    /// When the index cannot be written as JSON. No valid id and no text causes that.
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let index = Index {
            bundle: FORM,
            intent: self.intent.clone(),
            records: self.records.iter().map(Entry::of).collect(),
            void: self.void.iter().map(VoidEntry::of).collect(),
        };
        let mut bytes = serde_json::to_vec(&index).map_err(|error| malformed(error.to_string()))?;
        bytes.reserve(self.records.iter().map(|record| record.body.len() + 1).sum::<usize>() + 80);
        bytes.push(b'\n');
        for record in &self.records {
            bytes.extend_from_slice(&record.body);
            bytes.push(b'\n');
        }
        let digest = digest(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Checks the digest, then parses the bundle.
    ///
    /// # Errors
    /// When it was altered, has a newer form, or is no bundle.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let (content, stated) = split_digest(bytes).ok_or_else(|| malformed("its last line is no digest"))?;
        let found = digest(content);
        if stated != found {
            return Err(BundleError::Altered {
                stated: stated.to_owned(),
                found,
            });
        }
        let (line, mut rest) = split_line(content).ok_or_else(|| malformed("it has no index"))?;
        let form = Form::read(line)?;
        if form != FORM {
            return Err(BundleError::NewerForm { found: form });
        }
        let index: Index = serde_json::from_slice(line).map_err(|error| malformed(format!("its index: {error}")))?;
        let mut records = Vec::with_capacity(index.records.len());
        for entry in index.records {
            let record = rest.split_at_checked(entry.bytes);
            let (body, after) = record.ok_or_else(|| malformed(format!("record {} is cut off", entry.seq)))?;
            rest = after
                .strip_prefix(b"\n")
                .ok_or_else(|| malformed(format!("record {} does not end where its index says", entry.seq)))?;
            records.push(StoredRecord {
                seq: entry.seq,
                stored: entry.stored,
                headers: entry.headers,
                body: body.to_vec(),
            });
        }
        if !rest.is_empty() {
            return Err(malformed("there is more than its index names"));
        }
        let void = index.void.into_iter().map(VoidEntry::read).collect::<Result<_, _>>()?;
        Ok(Self {
            intent: index.intent,
            records,
            void,
        })
    }

    /// Checks that this is the whole history of one closed intent: records of that intent alone, in order, from an
    /// opening record to a terminal one, and nothing after it. Returns the facts for the archive.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn verify(&self) -> Result<BundleFacts, BundleError> {
        let (opening, last) = self.history()?;
        let Some((seq, ended)) = last else {
            return Err(self.wrong("its last record is not terminal"));
        };
        Ok(BundleFacts {
            status: ended.snapshot.status.name().to_owned(),
            agent: ended.snapshot.agent,
            seq,
            submitted_at: ended.snapshot.submitted_at,
            ended_at: ended.snapshot.updated_at,
            generated: opening.generated_id,
        })
    }

    /// Checks that this is the whole history of one open intent so far: as [`Bundle::verify`], and none of its records is
    /// terminal.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn verify_open(&self) -> Result<(), BundleError> {
        match self.history()? {
            (_, None) => Ok(()),
            (_, Some(_)) => Err(self.wrong("it is said to be open, and its last record is terminal")),
        }
    }

    fn wrong(&self, problem: &str) -> BundleError {
        BundleError::NotClosed {
            intent: self.intent.clone(),
            problem: problem.to_owned(),
        }
    }

    /// The first record, and the last one with its sequence where that is terminal.
    fn history(&self) -> Result<(RecordSummary, Option<(u64, RecordSummary)>), BundleError> {
        let wrong = |problem: &str| self.wrong(problem);
        let Some(first) = self.records.first() else {
            return Err(wrong("it has no record"));
        };
        let in_order = self.records.windows(2).all(|pair| match pair {
            [one, next] => one.seq < next.seq,
            _ => true,
        });
        if !in_order {
            return Err(wrong("its records are out of order"));
        }
        let opening = RecordSummary::decode(&first.body)?;
        if !opening.is_opening() {
            return Err(wrong("its first record is not the first of an intent"));
        }
        let mut ended = None;
        for record in &self.records {
            let summary = RecordSummary::decode(&record.body)?;
            if summary.intent != self.intent {
                return Err(wrong(&format!("record {} is of {}", record.seq, summary.intent)));
            }
            if ended.is_some() {
                return Err(wrong("a record follows a terminal one"));
            }
            if summary.snapshot.status.is_terminal() {
                ended = Some((record.seq, summary));
            }
        }
        Ok((opening, ended))
    }

    /// The message id by which the archive drops a repeated part of this bundle. Parts count from 1.
    pub fn message_id(intent: &IntentId, seq: u64, part: usize) -> String {
        format!("{intent}:{seq}:{part}")
    }
}

impl RecordSummary {
    /// Whether a record may be the first of its intent. When the archive has taken the earlier records, the one that
    /// remains in the ledger is not.
    pub fn is_opening(&self) -> bool {
        is_opening(&self.event, self.snapshot.envelope.is_some())
    }
}

impl crate::intent::record::Record {
    /// Whether this record may be the first of its intent; see [`RecordSummary::is_opening`].
    pub fn is_opening(&self) -> bool {
        is_opening(&self.event, self.snapshot.envelope.is_some())
    }
}

/// The only record of a refused raw intent is a rejection without an envelope.
fn is_opening(event: &Event, had_envelope: bool) -> bool {
    if let Event::Rejected { .. } = event {
        return !had_envelope;
    }
    *event == Event::Submitted
}

impl Entry {
    fn of(record: &StoredRecord) -> Self {
        Self {
            seq: record.seq,
            stored: record.stored.clone(),
            headers: record.headers.clone(),
            bytes: record.body.len(),
        }
    }
}

impl VoidEntry {
    fn of(record: &StoredRecord) -> Self {
        Self {
            seq: record.seq,
            stored: record.stored.clone(),
            headers: record.headers.clone(),
            body: BASE64.encode(&record.body),
        }
    }

    fn read(self) -> Result<StoredRecord, BundleError> {
        let bad = |error| malformed(format!("void record {}: {error}", self.seq));
        Ok(StoredRecord {
            body: BASE64.decode(&self.body).map_err(bad)?,
            seq: self.seq,
            stored: self.stored,
            headers: self.headers,
        })
    }
}

/// Reads the form alone: a newer index may differ in everything else.
#[derive(Deserialize)]
pub(super) struct Form {
    bundle: u32,
}

impl Form {
    pub(super) fn read(line: &[u8]) -> Result<u32, BundleError> {
        let form: Self = serde_json::from_slice(line).map_err(|error| malformed(format!("its index: {error}")))?;
        Ok(form.bundle)
    }
}

pub(super) fn malformed(problem: impl Into<String>) -> BundleError {
    BundleError::Malformed(problem.into())
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = DIGEST.to_owned();
    for byte in Sha256::digest(bytes) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Splits a bundle into the bytes that the digest covers and the digest it states.
fn split_digest(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let without_end = bytes.strip_suffix(b"\n")?;
    let start = without_end.iter().rposition(|byte| *byte == b'\n')? + 1;
    let (content, line) = without_end.split_at_checked(start)?;
    let stated = std::str::from_utf8(line).ok()?;
    stated.starts_with(DIGEST).then_some((content, stated))
}

pub(super) fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line, rest.get(1..)?))
}
