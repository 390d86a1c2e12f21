//! A closed intent as the archive keeps it: all of its ledger records as they were stored, in one document.
//!
//! The first line is an index in JSON, then the records follow as they are, byte for byte, and the last line is the
//! SHA-256 of all that stands before it. The bytes of a bundle are a function of the records alone, so that whoever
//! writes it once more writes the same.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::error::DecodeError;
use crate::base::ids::IntentId;
use crate::base::timestamp::Timestamp;
use crate::intent::event::Event;
use crate::intent::summary::Glance;

/// The form of a bundle that this build writes, and the newest that it reads.
const FORM: u32 = 1;
const DIGEST: &str = "sha256:";

/// One ledger record as the server had stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its sequence in the ledger stream.
    pub seq: u64,
    /// When the server stored it, as the server writes it.
    pub stored: String,
    /// The headers that it was published with, sorted by name.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// All ledger records of one closed intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The intent.
    pub intent: IntentId,
    /// Its records, oldest first.
    pub records: Vec<StoredRecord>,
}

/// What the archive says of a bundle beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFacts {
    /// The name of the terminal status.
    pub status: String,
    /// The agent that had the intent last; none when no agent ever had a turn.
    pub agent: Option<crate::base::names::AgentName>,
    /// The ledger sequence of the terminal record.
    pub seq: u64,
    /// When the intent was submitted. With the id it names one life of an intent: an id may be used again one day.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether Baton made the id, so that nobody submits it again.
    pub generated: bool,
}

/// Why a bundle is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be taken apart.
    #[error("the bundle is malformed: {0}")]
    Malformed(String),
    /// It was written by a newer version.
    #[error("the bundle has form {found}, and this build reads form {FORM}: use a newer baton")]
    NewerForm {
        /// The form that it says.
        found: u32,
    },
    /// Its bytes are not those that were written.
    #[error("the bundle was altered: its SHA-256 is {found}, and it says {stated}")]
    Altered {
        /// What it says.
        stated: String,
        /// What it is.
        found: String,
    },
    /// Its records are not the history of one closed intent.
    #[error("the bundle of {intent} is no history of a closed intent: {problem}")]
    NotClosed {
        /// The intent.
        intent: IntentId,
        /// What is wrong.
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
    /// The bytes of the bundle.
    ///
    /// # Errors
    /// When the index cannot be written as JSON, which no valid id and no text prevents.
    pub fn encode(&self) -> Result<Vec<u8>, BundleError> {
        let index = Index {
            bundle: FORM,
            intent: self.intent.clone(),
            records: self.records.iter().map(Entry::of).collect(),
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

    /// Takes a bundle apart, once its digest was compared.
    ///
    /// # Errors
    /// When it was altered, is of a newer form, or is no bundle.
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
        Ok(Self {
            intent: index.intent,
            records,
        })
    }

    /// Whether this is the whole history of one closed intent: records of that intent alone, in order, from one that may
    /// be the first to a terminal one, and nothing after it. Gives what the archive says of it.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn verify(&self) -> Result<BundleFacts, BundleError> {
        let wrong = |problem: &str| BundleError::NotClosed {
            intent: self.intent.clone(),
            problem: problem.to_owned(),
        };
        let (Some(first), Some(last)) = (self.records.first(), self.records.last()) else {
            return Err(wrong("it has no record"));
        };
        let in_order = self.records.windows(2).all(|pair| match pair {
            [one, next] => one.seq < next.seq,
            _ => true,
        });
        if !in_order {
            return Err(wrong("its records are out of order"));
        }
        let opening = Glance::decode(&first.body)?;
        if !opening.is_opening() {
            return Err(wrong("its first record is not the first of an intent"));
        }
        for record in &self.records {
            let glance = Glance::decode(&record.body)?;
            if glance.intent != self.intent {
                return Err(wrong(&format!("record {} is of {}", record.seq, glance.intent)));
            }
            let ends = glance.snapshot.status.is_terminal();
            if ends != (record.seq == last.seq) {
                return Err(wrong(if ends {
                    "a record follows a terminal one"
                } else {
                    "its last record is not terminal"
                }));
            }
            if ends {
                return Ok(BundleFacts {
                    status: glance.snapshot.status.name().to_owned(),
                    agent: glance.snapshot.agent,
                    seq: record.seq,
                    submitted_at: glance.snapshot.submitted_at,
                    ended_at: glance.snapshot.updated_at,
                    generated: opening.generated_id,
                });
            }
        }
        Err(wrong("its last record is not terminal"))
    }

    /// The message id under which the archive drops a repeat of one part of this bundle; parts count from 1.
    pub fn message_id(intent: &IntentId, seq: u64, part: usize) -> String {
        format!("{intent}:{seq}:{part}")
    }
}

impl Glance {
    /// Whether a record may be the first of its intent: what is left of an intent whose earlier records were moved to the
    /// archive is told by this.
    pub fn is_opening(&self) -> bool {
        is_opening(&self.event, self.snapshot.envelope.is_some())
    }
}

impl crate::intent::record::Record {
    /// Whether this record may be the first of its intent; see [`Glance::is_opening`].
    pub fn is_opening(&self) -> bool {
        is_opening(&self.event, self.snapshot.envelope.is_some())
    }
}

/// A raw intent that was refused has a rejection alone, and no envelope.
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

/// The form alone: a newer index may differ in all the rest.
#[derive(Deserialize)]
struct Form {
    bundle: u32,
}

impl Form {
    fn read(line: &[u8]) -> Result<u32, BundleError> {
        let form: Self = serde_json::from_slice(line).map_err(|error| malformed(format!("its index: {error}")))?;
        Ok(form.bundle)
    }
}

fn malformed(problem: impl Into<String>) -> BundleError {
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

/// What the digest is of, and the digest as it is stated.
fn split_digest(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let without_end = bytes.strip_suffix(b"\n")?;
    let start = without_end.iter().rposition(|byte| *byte == b'\n')? + 1;
    let (content, line) = without_end.split_at_checked(start)?;
    let stated = std::str::from_utf8(line).ok()?;
    stated.starts_with(DIGEST).then_some((content, stated))
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line, rest.get(1..)?))
}
