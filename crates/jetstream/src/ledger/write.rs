//! Guarded writes to the ledger, and their outcomes.

use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{HeaderMap, HeaderName, Subject};
use baton_envelope::{
    HEADER_EVENT, HEADER_SIGNATURE, HEADER_STATUS, Mutant, Record, RecordId, Unconfirmed, on_unconfirmed,
};

use super::encode::EncodedRecord;
use super::read::Head;
use crate::error::Error;
use crate::server::{Mesh, Message, Published, UNCONFIRMED, Unheard};

/// How long to pursue a write whose outcome is unknown. An election after the loss of a leader takes 5 to 10 s; a
/// server that restarts on a large store takes longer.
const PURSUIT: Duration = Duration::from_secs(60);
/// How long to pursue the first write of an intent while the server answers reads and no writes: longer than an election.
/// Nobody holds the work yet, so that a repeat costs nothing; a holder goes on trying to commit what it has done.
const UNSTORED: Duration = Duration::from_secs(20);
/// How long the ledger must report no records of an intent before a writer that saw some believes it.
const GONE: Duration = Duration::from_secs(5);
/// How long nobody may answer for the ledger before it is asked whether there is one at all.
const ELECTION: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// How many bytes a record stays below the server's limit. Its ticket has the same body and longer headers. A record
/// that can be committed but whose ticket can never be written would leave its intent without work forever.
const TICKET_HEADROOM: usize = 1024;

/// The outcome of a guarded write.
#[derive(Debug)]
pub(in crate::ledger) enum Written {
    /// The record is in the ledger.
    Stored {
        /// Its sequence in the ledger stream.
        seq: u64,
    },
    /// Another record came first, and this one was not written. This is the present head.
    Superseded(Box<Head>),
}

impl Mesh {
    /// The most bytes that a record may have.
    pub fn largest_record(&self) -> usize {
        self.client().max_payload().saturating_sub(TICKET_HEADROOM)
    }

    /// Writes a record if the intent's last record is still at `expected` (0: if it has none).
    ///
    /// The outcome of an unanswered publish is *unknown*: this reads the ledger and looks for the record's own id, and
    /// writes again only if it is not there.
    ///
    /// # Errors
    /// When the server refuses the record, or does not answer for a minute.
    pub(in crate::ledger) async fn write(&self, record: &EncodedRecord, expected: u64) -> Result<Written, Error> {
        let body = record.body();
        let subject = Subject::from(self.subjects().ledger(&record.intent));
        let (size, limit) = (body.len(), self.largest_record());
        if size > limit {
            let what = subject.to_string();
            return Err(Error::TooLarge { what, size, limit });
        }
        let message = || {
            let mut headers = HeaderMap::new();
            if !Mutant::I2Unguarded.is_on() {
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
            }
            headers.insert(HeaderName::from_static(HEADER_EVENT), record.event.name());
            headers.insert(HeaderName::from_static(HEADER_STATUS), record.snapshot.status.name());
            if let Some(signature) = record.signature() {
                headers.insert(HeaderName::from_static(HEADER_SIGNATURE), signature);
            }
            Message {
                subject: subject.clone(),
                headers,
                payload: body.clone(),
            }
        };
        match self.ledger_queue().write(message()).await? {
            Published::Stored { seq } => {
                if self.is_secured() {
                    self.own_records().remember(&subject, seq, &body);
                }
                Ok(Written::Stored { seq })
            }
            Published::Refused(refusal) => Err(refusal.into()),
            // Boxed, so that the common case stays small.
            published @ (Published::WrongSequence | Published::Unheard | Published::Unknown) => {
                Box::pin(self.pursue(record, message(), expected, published)).await
            }
        }
    }

    /// Pursues a write that the server did not confirm, until its outcome is known.
    async fn pursue(
        &self,
        record: &Record,
        message: Message,
        expected: u64,
        mut published: Published,
    ) -> Result<Written, Error> {
        let mut unknown_before = !matches!(published, Published::WrongSequence);
        let started = tokio::time::Instant::now();
        let mut gone_since: Option<tokio::time::Instant> = None;
        let mut refused = !unknown_before;
        let (mut silence, mut unheard) = (Silence::new(), Unheard::default());
        loop {
            let head = self.head(&record.intent).await;
            silence.reads = head.is_ok();
            match head {
                // Refused, because the preceding records are gone: the intent was closed and archived while the writer
                // was frozen. A newly elected leader may say the same for a moment.
                Ok(None) if expected > 0 && refused => {
                    let since = gone_since.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() > GONE {
                        return Err(Error::NoIntent(record.intent.clone()));
                    }
                }
                Ok(Some(head)) => {
                    let at = Some((head.record.id, head.seq));
                    match on_unconfirmed(record.id, expected, at, unknown_before) {
                        Unconfirmed::Stands => return Ok(Written::Stored { seq: head.seq }),
                        Unconfirmed::Superseded => return Ok(Written::Superseded(Box::new(head))),
                        Unconfirmed::LookBack => {
                            if let Some(seq) = self.find(record, head.seq).await? {
                                return Ok(Written::Stored { seq });
                            }
                            return Ok(Written::Superseded(Box::new(head)));
                        }
                        Unconfirmed::Again => {}
                    }
                }
                Ok(None) => {}
                Err(error @ (Error::Decode(_) | Error::NoneReadable { .. })) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, intent = %record.intent, "the ledger cannot be read yet");
                    // An election looks the same at first.
                    if started.elapsed() > ELECTION
                        && let Ok(Some(lost)) = self.lost_ledger().await
                    {
                        return Err(lost);
                    }
                }
            }
            let is_unstored = unknown_before && silence.reads;
            let patience = if is_unstored && expected == 0 {
                UNSTORED
            } else {
                PURSUIT
            };
            // What nobody takes is another trouble, of which more is known in a moment.
            if is_unstored && !matches!(published, Published::Unheard) {
                silence.say(&message.subject);
            }
            if started.elapsed() > patience {
                let what = format!("writing \"{}\" of {}", record.event.name(), record.intent);
                return Err(if is_unstored {
                    Error::NotStored { what }
                } else {
                    Error::no_answer(what, UNCONFIRMED)
                });
            }
            tokio::time::sleep(PAUSE).await;
            published = self.ledger_queue().write(message.clone()).await?;
            match &published {
                Published::Stored { seq } => return Ok(Written::Stored { seq: *seq }),
                Published::Refused(refusal) => return Err(refusal.clone().into()),
                Published::WrongSequence => refused = true,
                Published::Unheard => {
                    let stream = self.subjects().ledger_stream();
                    if let Some(denied) = unheard.on(self, &message.subject, &stream).await {
                        return Err(denied);
                    }
                    (unknown_before, refused, gone_since) = (true, false, None);
                }
                Published::Unknown => (unknown_before, refused, gone_since) = (true, false, None),
            }
        }
    }

    async fn find(&self, record: &Record, through: u64) -> Result<Option<u64>, Error> {
        let id: RecordId = record.id;
        let records = self.history_through(&record.intent, through).await?;
        Ok(records
            .into_iter()
            .find(|head| head.record.id == id)
            .map(|head| head.seq))
    }
}

/// A server that does not confirm a write.
struct Silence {
    /// Whether it answers reads meanwhile.
    reads: bool,
    said: bool,
}

impl Silence {
    fn new() -> Self {
        Self {
            reads: false,
            said: false,
        }
    }

    /// Says once that the server does not store.
    fn say(&mut self, subject: &Subject) {
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!(%subject, "the server answers, and does not store: is its disk full? Trying again");
        }
    }
}
