//! The only compare-and-set on an intent: an act decides on the present head, its record is written after that head, and
//! what the new head owes is paid.

use baton_envelope::{Author, Draft, Envelope, IntentId, Record, Snapshot, Stamp};

use super::encode::EncodedRecord;
use super::read::Head;
use super::write::Written;
use crate::error::Error;
use crate::server::Mesh;

/// How often a write is tried that loses to others. A holder that records steps writes often.
const TRIES: u32 = 50;

/// What the caller knows of the head of an intent.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// Nothing: the head is read first.
    Unread,
    /// That there is none. A write that loses shows the head.
    Absent,
    /// This head, which was read a moment ago.
    Read(&'a Head),
    /// The state after the record at a sequence, as the holder of the hop keeps it.
    At(&'a Snapshot, u64),
}

/// The head of an intent, as an act sees it.
#[derive(Debug, Clone, Copy)]
pub struct HeadRef<'a> {
    /// The state.
    pub snapshot: &'a Snapshot,
    /// The ledger sequence of the record.
    pub seq: u64,
    /// The record, where it was read; `None` is what the caller knew.
    pub record: Option<&'a Record>,
    /// The envelope of the present hop: in the record itself, or read after [`Decision::ReadEnvelope`].
    pub envelope: Option<&'a Envelope>,
}

impl<'a> HeadRef<'a> {
    fn of(head: &'a Head, envelope: Option<&'a Envelope>) -> Self {
        Self {
            snapshot: &head.record.snapshot,
            seq: head.seq,
            record: Some(&head.record),
            envelope: head.record.envelope.as_ref().or(envelope),
        }
    }
}

/// What is decided on a head.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment: a draft is sealed before anything is awaited"
)]
pub enum Decision {
    /// Write this after it.
    Write(Draft),
    /// Write nothing.
    Nothing,
    /// Read the envelope of the present hop, and ask once more.
    ReadEnvelope,
}

impl From<Draft> for Decision {
    fn from(draft: Draft) -> Self {
        Self::Write(draft)
    }
}

/// A record that stands, with all that it owed paid.
#[derive(Debug)]
pub struct Committed {
    /// The record.
    pub record: EncodedRecord,
    /// Its sequence in the ledger stream.
    pub seq: u64,
}

/// What an advance did.
#[derive(Debug)]
pub enum Advanced {
    /// It wrote a record.
    Committed(Committed),
    /// It was decided to write nothing; this is the head, where it was read.
    Unchanged(Option<Box<Head>>),
}

/// Why an advance ended without a record that stands, or with one whose effects are not paid.
#[derive(Debug)]
pub enum AdvanceError<R> {
    /// The act refused.
    Refused(R),
    /// Nothing was written.
    NotWritten(Error),
    /// The record stands, and a ticket that it owes could not be written. A redelivery, a repeat or the sweeper pays it: the
    /// work is committed, and must not be done again.
    Unsettled {
        /// What stands.
        committed: Committed,
        /// Why its ticket was not written.
        source: Error,
    },
}

impl<R> From<Error> for AdvanceError<R> {
    fn from(error: Error) -> Self {
        Self::NotWritten(error)
    }
}

impl From<AdvanceError<Self>> for Error {
    /// For callers to whom a record whose ticket is missing is a failure that a repeat makes good.
    fn from(error: AdvanceError<Self>) -> Self {
        match error {
            AdvanceError::Refused(error) | AdvanceError::NotWritten(error) => error,
            AdvanceError::Unsettled { source, .. } => source,
        }
    }
}

impl Mesh {
    /// Takes an intent one record further, and pays what its new head owes before it returns.
    ///
    /// `decide` sees the head and makes the draft of what follows it. When another writer comes first, it is asked again on
    /// the newer head: it rebases (a draft), gives up (nothing) or refuses. Ids and times that belong to one write come
    /// with the stamp.
    ///
    /// # Errors
    /// When the act refuses, nothing could be written, or what is owed could not be paid.
    pub async fn advance<R>(
        &self,
        intent: &IntentId,
        by: &Author,
        known: Known<'_>,
        mut decide: impl FnMut(Option<HeadRef<'_>>, &Stamp) -> Result<Decision, R> + Send,
    ) -> Result<Advanced, AdvanceError<R>> {
        let mut newer: Option<Box<Head>> = None;
        let mut envelope: Option<Box<Envelope>> = None;
        if matches!(known, Known::Unread) {
            newer = Box::pin(self.head(intent)).await?.map(Box::new);
        }
        let mut tries = 0;
        loop {
            // In a block of its own: what is dropped at its end is no part of the state of a hop that waits for the server.
            let next = {
                let head = match (&newer, known) {
                    (Some(head), _) => Some(HeadRef::of(head, envelope.as_deref())),
                    (None, Known::Read(head)) => Some(HeadRef::of(head, envelope.as_deref())),
                    (None, Known::At(snapshot, seq)) => Some(HeadRef {
                        snapshot,
                        seq,
                        record: None,
                        envelope: None,
                    }),
                    (None, Known::Unread | Known::Absent) => None,
                };
                let stamp = self.stamp(by);
                match decide(head, &stamp).map_err(AdvanceError::Refused)? {
                    Decision::Write(draft) => {
                        let expected = head.map_or(0, |head| head.seq);
                        Next::Write(Box::new(draft.seal(intent.clone(), expected, stamp)), expected)
                    }
                    Decision::Nothing => Next::Nothing,
                    Decision::ReadEnvelope => Next::Read(head.and_then(|head| head.snapshot.envelope_seq)),
                }
            };
            let (record, expected) = match next {
                Next::Write(record, expected) => (record, expected),
                Next::Nothing => return Ok(Advanced::Unchanged(newer)),
                Next::Read(seq) => {
                    envelope = Some(Box::pin(self.envelope_at(intent, seq)).await?);
                    continue;
                }
            };
            match self.write_and_pay(record, expected).await? {
                Attempt::Paid(committed) => return Ok(Advanced::Committed(committed)),
                Attempt::Unpaid(committed, source) => return Err(AdvanceError::Unsettled { committed, source }),
                Attempt::Superseded(head) => (newer, envelope) = (Some(head), None),
            }
            tries += 1;
            if tries == TRIES {
                return Err(Error::Raced(intent.clone()).into());
            }
        }
    }

    /// One try. Not generic, so that the code is there once.
    async fn write_and_pay(&self, record: Box<Record>, expected: u64) -> Result<Attempt, Error> {
        let record = EncodedRecord::new(record)?;
        match self.write(&record, expected).await? {
            Written::Stored { seq } => Ok(match self.pay(&record, seq).await {
                Ok(()) => Attempt::Paid(Committed { record, seq }),
                Err(error) => Attempt::Unpaid(Committed { record, seq }, error),
            }),
            Written::Superseded(head) => Ok(Attempt::Superseded(head)),
        }
    }

    /// The envelope that an earlier record holds.
    async fn envelope_at(&self, intent: &IntentId, seq: Option<u64>) -> Result<Box<Envelope>, Error> {
        let source = match seq {
            Some(seq) => self.record_at(intent, seq).await?.record.envelope,
            None => None,
        };
        source.map(Box::new).ok_or_else(|| Error::NoEnvelope(intent.clone()))
    }

    /// What makes the next write different from every other.
    fn stamp(&self, by: &Author) -> Stamp {
        Stamp {
            id: self.record_id(),
            at: self.now(),
            by: by.clone(),
        }
    }
}

/// What is done about a decision.
enum Next {
    Write(Box<Record>, u64),
    Read(Option<u64>),
    Nothing,
}

/// The result of one try.
enum Attempt {
    Paid(Committed),
    Unpaid(Committed, Error),
    Superseded(Box<Head>),
}
