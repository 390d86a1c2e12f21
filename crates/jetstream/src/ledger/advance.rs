//! The only compare-and-set on an intent: an act decides on the present head, `advance` writes its record after that
//! head and pays what the new head owes.

use baton_envelope::{Author, Draft, Envelope, IntentId, Link, Place, Record, Snapshot, Stamp};

use super::encode::EncodedRecord;
use super::read::Head;
use super::write::Written;
use crate::error::Error;
use crate::server::Mesh;

/// How many times to try a write that loses to other writers. A holder that records steps writes often.
const TRIES: u32 = 50;

/// What the caller knows of the head of an intent.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// Nothing: read the head first.
    Unread,
    /// The intent has no record. A write that loses shows the head.
    Absent,
    /// This head, read a moment ago.
    Read(&'a Head),
    /// The state after the record at a place, cached by the holder of the hop.
    At(&'a Snapshot, Place),
}

/// The head of an intent, as an act sees it.
#[derive(Debug, Clone, Copy)]
pub struct HeadRef<'a> {
    /// The state.
    pub snapshot: &'a Snapshot,
    /// The ledger sequence of the record.
    pub seq: u64,
    /// The link of the last record that counts, where it is known.
    link: Option<Link>,
    /// The record, if it was read; `None` when the caller supplied only the state.
    pub record: Option<&'a Record>,
    /// The envelope of the present hop: in the record itself, or read after [`Decision::ReadEnvelope`].
    pub envelope: Option<&'a Envelope>,
}

impl<'a> HeadRef<'a> {
    fn of(head: &'a Head, envelope: Option<&'a Envelope>) -> Self {
        Self {
            snapshot: &head.record.snapshot,
            seq: head.seq,
            link: head.place().link,
            record: Some(&head.record),
            envelope: head.record.envelope.as_deref().or(envelope),
        }
    }
}

/// What an act decides about a head.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment: a draft is sealed before anything is awaited"
)]
pub enum Decision {
    /// Write this after the head.
    Write(Draft),
    /// Write nothing.
    Nothing,
    /// Read the envelope of the present hop, then ask again.
    ReadEnvelope,
}

impl From<Draft> for Decision {
    fn from(draft: Draft) -> Self {
        Self::Write(draft)
    }
}

/// A record in the ledger whose effects are all paid.
#[derive(Debug)]
pub struct Committed {
    /// The record.
    pub record: EncodedRecord,
    /// Its sequence in the ledger stream.
    pub seq: u64,
}

impl Committed {
    /// Where the next record is written.
    pub fn place(&self) -> Place {
        Place {
            seq: self.seq,
            link: self.record.link(),
        }
    }
}

/// What an advance did.
#[derive(Debug)]
pub enum Advanced {
    /// It wrote a record.
    Committed(Committed),
    /// The act decided to write nothing; this is the head, if it was read.
    Unchanged(Option<Box<Head>>),
}

/// Why an advance wrote no record, or wrote one and could not pay its effects.
#[derive(Debug)]
pub enum AdvanceError<R> {
    /// The act refused.
    Refused(R),
    /// Nothing was written.
    NotWritten(Error),
    /// The record is written, but a ticket that it owes is not. A redelivery, a repeat or the sweeper pays it: the work
    /// is committed and must not be done again.
    Unsettled {
        /// The record that was written.
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
    /// For callers that treat a missing ticket as a failure, which a repeat corrects.
    fn from(error: AdvanceError<Self>) -> Self {
        match error {
            AdvanceError::Refused(error) | AdvanceError::NotWritten(error) => error,
            AdvanceError::Unsettled { source, .. } => source,
        }
    }
}

impl Mesh {
    /// Advances an intent by one record, and pays what its new head owes before returning.
    ///
    /// `decide` sees the head and drafts what follows it. When another writer comes first, `advance` asks again with
    /// the newer head: `decide` rebases (a draft), gives up (nothing) or refuses. The stamp carries the id and time of
    /// one write.
    ///
    /// # Errors
    /// When the act refuses, the write fails, or what is owed cannot be paid.
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
            // In a block of its own: values dropped at its end take no room in the state of a hop that waits for the
            // server.
            let next = {
                let head = match (&newer, known) {
                    (Some(head), _) => Some(HeadRef::of(head, envelope.as_deref())),
                    (None, Known::Read(head)) => Some(HeadRef::of(head, envelope.as_deref())),
                    (None, Known::At(snapshot, place)) => Some(HeadRef {
                        snapshot,
                        seq: place.seq,
                        link: place.link,
                        record: None,
                        envelope: None,
                    }),
                    (None, Known::Unread | Known::Absent) => None,
                };
                let stamp = self.stamp(by);
                match decide(head, &stamp).map_err(AdvanceError::Refused)? {
                    Decision::Write(draft) => {
                        let after = Place {
                            seq: head.map_or(0, |head| head.seq),
                            link: head.and_then(|head| head.link),
                        };
                        Next::Write(Box::new(draft.seal(intent.clone(), after.seq, stamp)), after)
                    }
                    Decision::Nothing => Next::Nothing,
                    Decision::ReadEnvelope => Next::Read(head.and_then(|head| head.snapshot.envelope_seq)),
                }
            };
            let (record, after) = match next {
                Next::Write(record, after) => (record, after),
                Next::Nothing => return Ok(Advanced::Unchanged(newer)),
                Next::Read(seq) => {
                    envelope = Some(Box::pin(self.envelope_at(intent, seq)).await?);
                    continue;
                }
            };
            match self.write_and_pay(record, after).await? {
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

    /// One try. Not generic, so that it is compiled only once.
    async fn write_and_pay(&self, record: Box<Record>, mut after: Place) -> Result<Attempt, Error> {
        let what = || format!("writing \"{}\" of {}", record.event.name(), record.intent);
        if let Some(error) = self.refused_unsigned(what) {
            return Err(error);
        }
        let mut record = EncodedRecord::new(record)?;
        if let Some(proofs) = self.proofs() {
            let has_key = proofs.key().is_some();
            if has_key && after.seq > 0 && after.link.is_none() {
                // Rare: whoever has read the head knows it.
                match Box::pin(self.head(&record.intent)).await? {
                    Some(head) if head.seq == after.seq => after = head.place(),
                    Some(head) => return Ok(Attempt::Superseded(Box::new(head))),
                    None => return Err(Error::NoIntent(record.intent.clone())),
                }
            }
            record.sign(self, after);
        }
        match self.write(&record, after.seq).await? {
            Written::Stored { seq } => Ok(match self.pay(&record, seq).await {
                Ok(()) => Attempt::Paid(Committed { record, seq }),
                Err(error) => Attempt::Unpaid(Committed { record, seq }, error),
            }),
            Written::Superseded(head) => Ok(Attempt::Superseded(head)),
        }
    }

    /// The envelope of an earlier record.
    pub(crate) async fn envelope_at(&self, intent: &IntentId, seq: Option<u64>) -> Result<Box<Envelope>, Error> {
        let source = match seq {
            Some(seq) => self.record_at(intent, seq).await?.record.envelope,
            None => None,
        };
        source.ok_or_else(|| Error::NoEnvelope(intent.clone()))
    }

    /// The id, time and author of the next write.
    fn stamp(&self, by: &Author) -> Stamp {
        Stamp {
            id: self.record_id(),
            at: self.now(),
            by: by.clone(),
        }
    }
}

/// What to do about a decision.
enum Next {
    Write(Box<Record>, Place),
    Read(Option<u64>),
    Nothing,
}

/// The result of one try.
enum Attempt {
    Paid(Committed),
    Unpaid(Committed, Error),
    Superseded(Box<Head>),
}
