//! Following the ledger: a tail whose messages are records.

use async_nats::{HeaderMap, Subject};
use baton_envelope::{Entry, Guard, Record, Timestamp};
use bytes::Bytes;

use super::mark::{Followable, LedgerMark};
use super::stream::{Followed, Tail};
use crate::error::Error;
use crate::server::{LedgerEnd, Mesh, guard, signature};

/// The next records of the ledger.
#[derive(Debug)]
pub struct LedgerBatch {
    /// Sequence and body of each, in order. Empty if everything up to `through` was purged.
    pub records: Vec<(u64, Bytes)>,
    /// Everything up to here is now known.
    pub through: LedgerMark,
    /// When each was stored, in milliseconds since the Unix epoch, by its sequence.
    stored: Vec<(u64, i64)>,
    /// What each is verified by, in the same order; empty where the mesh does not sign.
    heads: Vec<MessageHead>,
    /// The headers of each that has some, by its sequence. They are read only for the few that somebody asks about.
    headers: Vec<(u64, HeaderMap)>,
    /// The subject of each, by its sequence.
    subjects: Vec<(u64, Subject)>,
    /// The sequences of the void records that were taken out.
    void: Vec<u64>,
}

/// What a record is verified by, beside its body.
#[derive(Debug)]
struct MessageHead {
    subject: String,
    stored_at: Timestamp,
    guard: Guard,
    signature: Option<String>,
}

/// A record that decides nothing, because its signature does not verify.
#[derive(Debug, Clone, PartialEq)]
pub struct VoidRecord {
    /// Its sequence in the ledger stream.
    pub seq: u64,
    /// The record, as it says of itself.
    pub record: Box<Record>,
    /// Why it is void.
    pub problem: String,
}

impl LedgerBatch {
    /// A batch of records that need no signature.
    pub fn new(records: Vec<(u64, Bytes)>, through: LedgerMark) -> Self {
        Self {
            records,
            through,
            stored: Vec::new(),
            heads: Vec::new(),
            headers: Vec::new(),
            subjects: Vec::new(),
            void: Vec::new(),
        }
    }

    /// The sequences of the void records that were taken out.
    pub fn void(&self) -> &[u64] {
        &self.void
    }

    /// The subject of the record at a sequence; `None` for a batch that does not know.
    pub fn subject(&self, seq: u64) -> Option<&str> {
        let at = self.subjects.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        self.subjects.get(at).map(|(_, subject)| subject.as_str())
    }

    /// When a record was stored, in milliseconds since the Unix epoch; `None` for a batch that does not know.
    pub fn stored_ms(&self, seq: u64) -> Option<i64> {
        let at = self.stored.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        self.stored.get(at).map(|(_, stored)| *stored)
    }

    /// Says when records were stored, in milliseconds since the Unix epoch, in the order of their sequences.
    #[must_use]
    pub fn with_stored(mut self, stored: Vec<(u64, i64)>) -> Self {
        self.stored = stored;
        self
    }

    /// The guard of the record at a sequence.
    pub fn guard(&self, seq: u64) -> Guard {
        let at = self.headers.binary_search_by_key(&seq, |(seq, _)| *seq).ok();
        guard(at.and_then(|at| self.headers.get(at)).map(|(_, headers)| headers))
    }

    /// Takes the void records out, each judged by itself. Verifying takes some 50 µs for each record: call it where that
    /// holds up nobody.
    pub fn take_void(&mut self, mesh: &Mesh) -> Vec<VoidRecord> {
        let (Some(rules), Some(proofs)) = (mesh.rules(), mesh.proofs()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut heads = std::mem::take(&mut self.heads).into_iter();
        self.records.retain(|(seq, body)| {
            // What cannot be read is for the reader of the record to tell.
            let (Some(head), Ok(record)) = (heads.next(), Record::decode(body)) else {
                return true;
            };
            let entry = Entry {
                subject: &head.subject,
                seq: *seq,
                stored_at: Some(head.stored_at),
                guard: head.guard,
                signature: head.signature.as_deref(),
                body,
            };
            if head.signature.is_none() {
                proofs.saw_unsigned(*seq, record.by.instance.clone());
            }
            match rules.check(&entry, &record) {
                Ok(_) => true,
                Err(problem) => {
                    found.push(VoidRecord {
                        seq: *seq,
                        record: Box::new(record),
                        problem,
                    });
                    false
                }
            }
        });
        self.void = found.iter().map(|one| one.seq).collect();
        found
    }
}

/// Follows the ledger.
#[derive(Debug)]
pub struct LedgerTail(Tail);

impl Mesh {
    /// The end of the ledger, according to its leader.
    ///
    /// # Errors
    /// When there is no ledger, or the server does not answer.
    pub async fn ledger_end(&self) -> Result<LedgerEnd, Error> {
        self.stream_end(&self.subjects().ledger_stream()).await
    }

    /// Follows the ledger created at `ledger`, starting after `after`.
    pub fn tail_ledger(&self, ledger: &str, after: LedgerMark) -> LedgerTail {
        let of = Followable {
            stream: self.subjects().ledger_stream(),
            subjects: self.subjects().ledger_all(),
            headers_only: false,
        };
        LedgerTail(self.tail(of, ledger, after))
    }
}

impl LedgerTail {
    /// Whether the ledger has records beyond the mark, as of the last check of its end.
    pub fn is_behind(&self) -> bool {
        self.0.mark.seq < self.0.end
    }

    /// Waits for the next records. `None` when the ledger is no longer the same one: it was deleted and created again,
    /// or it lost records in a crash. Then discard everything learnt from it.
    ///
    /// Cancel safe, and may be called again after an error: nothing is skipped.
    ///
    /// # Errors
    /// When the server does not answer, or refuses. Wait a little before the next call.
    pub async fn next_batch(&mut self) -> Result<Option<LedgerBatch>, Error> {
        let batch = self.0.next_batch().await?;
        let signs = self.0.mesh().proofs().is_some();
        Ok(batch.map(|batch| {
            let heads = match signs {
                true => batch.followed.iter().map(MessageHead::of).collect(),
                false => Vec::new(),
            };
            let millis = |stored: u64| i64::try_from(stored / 1_000_000).unwrap_or_default();
            let stored = batch.followed.iter().map(|one| (one.seq, millis(one.stored)));
            let stored = stored.collect();
            let mut headers = Vec::with_capacity(batch.followed.len());
            let mut subjects = Vec::with_capacity(batch.followed.len());
            let records = batch.followed.into_iter().map(|one| {
                headers.extend(one.message.headers.map(|of| (one.seq, of)));
                subjects.push((one.seq, one.message.subject));
                (one.seq, one.message.payload)
            });
            let records = records.collect();
            LedgerBatch {
                heads,
                headers,
                stored,
                subjects,
                ..LedgerBatch::new(records, batch.through)
            }
        }))
    }
}

impl MessageHead {
    fn of(one: &Followed) -> Self {
        let headers = one.message.headers.as_ref();
        Self {
            subject: one.message.subject.to_string(),
            stored_at: Timestamp::from_unix_millis(i64::try_from(one.stored / 1_000_000).unwrap_or_default()),
            guard: guard(headers),
            signature: signature(headers).map(str::to_owned),
        }
    }
}
