//! Guarded writes to the ledger, with all of their outcomes; the head and the history of an intent.

use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{HeaderMap, HeaderName, Subject};
use base64::Engine as _;
use baton_envelope::{
    HEADER_EVENT, HEADER_STATUS, IntentId, Mutant, Record, RecordId, Timestamp, Unconfirmed, in_server_time,
    on_unconfirmed,
};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;

use crate::api::Published;
use crate::error::Error;
use crate::group::Message;
use crate::mesh::Mesh;

/// How long a write whose outcome is unknown is pursued. An election after the loss of a leader takes 5 to 10 s; a
/// server that restarts on a large store takes longer.
const PURSUIT: Duration = Duration::from_secs(60);
/// How long the ledger must say that it has nothing of an intent before a writer that saw its records believes it.
const GONE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// How often a replica that lags is asked again, a pause apart.
const LAG_TRIES: usize = 100;

/// How many bytes a record stays below the server's limit. Its ticket has the same body and longer headers; a record
/// that can be committed while its ticket can never be written would leave its intent without work for ever.
const TICKET_HEADROOM: usize = 1024;

/// The last record of an intent and its sequence.
#[derive(Debug, Clone)]
pub struct Head {
    /// The record.
    pub record: Record,
    /// Its sequence in the ledger stream.
    pub seq: u64,
}

/// A record together with its bytes on the wire: its ticket has the very same body, and is not encoded again.
#[derive(Debug)]
pub struct Sealed {
    record: Box<Record>,
    body: Bytes,
}

impl Sealed {
    /// Encodes a record.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn new(record: Box<Record>) -> Result<Self, Error> {
        let body = Mesh::encode(&record)?;
        Ok(Self { record, body })
    }

    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

impl std::ops::Deref for Sealed {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// What became of a guarded write.
#[derive(Debug)]
pub enum Written {
    /// It stands, at this sequence.
    Stored {
        /// Its sequence in the ledger stream.
        seq: u64,
    },
    /// Another record came first and this one was not written; this is the present head.
    Superseded(Box<Head>),
}

impl Mesh {
    /// Writes a record if the intent's last record still stands at `expected` (0: if there is none).
    ///
    /// A publish that was not answered is *unknown*: the ledger is read, and the record's own id tells whether it
    /// stands. Only then is it written again.
    ///
    /// # Errors
    /// When the server refuses the record, or does not answer for a minute.
    pub async fn write(&self, record: &Record, expected: u64) -> Result<Written, Error> {
        self.write_encoded(record, Self::encode(record)?, expected).await
    }

    /// As [`Mesh::write`], with a record that is encoded already.
    ///
    /// # Errors
    /// As [`Mesh::write`].
    pub async fn write_sealed(&self, sealed: &Sealed, expected: u64) -> Result<Written, Error> {
        self.write_encoded(&sealed.record, sealed.body.clone(), expected).await
    }

    pub(crate) async fn write_encoded(&self, record: &Record, body: Bytes, expected: u64) -> Result<Written, Error> {
        let subject = Subject::from(self.subjects().ledger(&record.intent));
        let (size, limit) = (body.len(), self.client().max_payload());
        if size + TICKET_HEADROOM > limit {
            return Err(Error::TooLarge {
                what: subject.to_string(),
                size,
                limit: limit.saturating_sub(TICKET_HEADROOM),
            });
        }
        let message = || {
            let mut headers = HeaderMap::new();
            if !Mutant::I2Unguarded.is_on() {
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
            }
            headers.insert(HeaderName::from_static(HEADER_EVENT), record.event.name());
            headers.insert(HeaderName::from_static(HEADER_STATUS), record.snapshot.status.name());
            Message {
                subject: subject.clone(),
                headers,
                payload: body.clone(),
            }
        };
        match self.ledger_lane().write(message()).await? {
            Published::Stored { seq } => Ok(Written::Stored { seq }),
            Published::Refused(refusal) => Err(refusal.into()),
            // Apart, so that the common case stays small.
            Published::WrongSequence => Box::pin(self.pursue(record, message(), expected, false)).await,
            Published::Unknown => Box::pin(self.pursue(record, message(), expected, true)).await,
        }
    }

    /// Goes on with a write that the server did not confirm, until it is known what became of it.
    async fn pursue(
        &self,
        record: &Record,
        message: Message,
        expected: u64,
        mut unknown_before: bool,
    ) -> Result<Written, Error> {
        let started = tokio::time::Instant::now();
        let mut gone_since: Option<tokio::time::Instant> = None;
        let mut refused = !unknown_before;
        loop {
            match self.head(&record.intent).await {
                // Refused, because the records that it would follow are not there: the intent was closed and archived
                // while the writer was frozen. A leader that was just elected may say the same for a moment.
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
                Err(error @ Error::Decode(_)) => return Err(error),
                Err(error) => tracing::debug!(%error, intent = %record.intent, "the ledger cannot be read yet"),
            }
            if started.elapsed() > PURSUIT {
                return Err(Error::NoAnswer {
                    what: format!("writing \"{}\" of {}", record.event.name(), record.intent),
                });
            }
            tokio::time::sleep(PAUSE).await;
            match self.ledger_lane().write(message.clone()).await? {
                Published::Stored { seq } => return Ok(Written::Stored { seq }),
                Published::Refused(refusal) => return Err(refusal.into()),
                Published::WrongSequence => refused = true,
                Published::Unknown => (unknown_before, refused, gone_since) = (true, false, None),
            }
        }
    }

    /// The last record of an intent.
    ///
    /// # Errors
    /// When the server does not answer, or the record cannot be read.
    pub async fn head(&self, intent: &IntentId) -> Result<Option<Head>, Error> {
        let found = self.last_of(intent).await?;
        found
            .map(|last| {
                Ok(Head {
                    record: Record::decode(&last.body)?,
                    seq: last.seq,
                })
            })
            .transpose()
    }

    /// The last record of an intent, its delay counted from when the server stored it: what its ticket is worth must not
    /// rest on the clock of whoever wrote it.
    ///
    /// # Errors
    /// As [`Mesh::head`].
    pub async fn head_in_server_time(&self, intent: &IntentId) -> Result<Option<Head>, Error> {
        let found = self.last_of(intent).await?;
        found
            .map(|last| {
                let record = Record::decode(&last.body)?;
                let record = match last.stored_at {
                    Some(stored_at) => in_server_time(record, stored_at),
                    None => record,
                };
                Ok(Head { record, seq: last.seq })
            })
            .transpose()
    }

    async fn last_of(&self, intent: &IntentId) -> Result<Option<Last>, Error> {
        let subject = self.subjects().ledger(intent);
        // Replicas may lag behind, and a stale head would look like work that is not there yet: with more than one
        // copy the leader is asked.
        if self.replicas() > 1 {
            self.leader_last(&subject).await
        } else {
            self.direct_last(&subject).await
        }
    }

    /// All records of an intent from `from_seq` on, oldest first.
    ///
    /// # Errors
    /// When the server does not answer, or a record cannot be read.
    pub async fn history(&self, intent: &IntentId, from_seq: u64) -> Result<Vec<Head>, Error> {
        let subject = self.subjects().ledger(intent);
        let mut found = Vec::new();
        let mut next = from_seq.max(1);
        loop {
            let request = serde_json::json!({ "seq": next, "next_by_subj": subject, "batch": 256 });
            let (batch, more) = self.direct_batch(&request).await?;
            let Some((last, _, _)) = batch.last() else { break };
            next = last + 1;
            for (seq, _, body) in batch {
                found.push(Head {
                    record: Record::decode(&body)?,
                    seq,
                });
            }
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// All records of an intent, up to one that is known to stand at `through`. Any replica may answer, and replicas apply
    /// records in order: one that does not have that record yet lags, and is asked again.
    ///
    /// # Errors
    /// When no replica has it within a few seconds, or as [`Mesh::history`].
    pub async fn history_through(&self, intent: &IntentId, through: u64) -> Result<Vec<Head>, Error> {
        for _ in 0..LAG_TRIES {
            let found = self.history(intent, 1).await?;
            if found.last().is_some_and(|head| head.seq >= through) {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Error::NoAnswer {
            what: format!("the history of {intent} up to {through}"),
        })
    }

    /// One record by its sequence.
    ///
    /// # Errors
    /// When there is none there, or the server does not answer.
    pub async fn record_at(&self, intent: &IntentId, seq: u64) -> Result<Head, Error> {
        let request = serde_json::json!({ "seq": seq, "next_by_subj": self.subjects().ledger(intent), "batch": 1 });
        let (batch, _) = self.direct_batch(&request).await?;
        match batch.into_iter().next() {
            Some((found, _, body)) if found == seq => Ok(Head {
                record: Record::decode(&body)?,
                seq,
            }),
            Some(_) | None => Err(Error::api(
                format!("reading ledger record {seq} of {intent}"),
                "there is none",
            )),
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

    async fn direct_last(&self, subject: &str) -> Result<Option<Last>, Error> {
        let stream = self.subjects().ledger_stream();
        let what = format!("DIRECT.GET.{stream}.{subject}");
        let reply = self
            .client()
            .request(format!("{}.{what}", self.api_prefix()), Bytes::new())
            .await
            .map_err(|_| Error::NoAnswer { what: what.clone() })?;
        match reply.status.map(|status| status.as_u16()) {
            Some(404) => Ok(None),
            Some(status) => Err(Error::api(what, format!("status {status}"))),
            None => {
                let time = reply.headers.as_ref().and_then(|map| map.get("Nats-Time-Stamp"));
                Ok(Some(Last {
                    seq: header_u64(reply.headers.as_ref(), "Nats-Sequence").unwrap_or(0),
                    stored_at: time.and_then(|time| time.as_str().parse().ok()),
                    body: reply.payload,
                }))
            }
        }
    }

    async fn leader_last(&self, subject: &str) -> Result<Option<Last>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            message: Message,
        }
        #[derive(Deserialize)]
        struct Message {
            seq: u64,
            #[serde(default)]
            data: String,
            #[serde(default)]
            time: String,
        }
        let what = format!("STREAM.MSG.GET.{}", self.subjects().ledger_stream());
        match self
            .ask::<Answer>(&what, &serde_json::json!({ "last_by_subj": subject }))
            .await?
        {
            Ok(answer) => {
                let body = base64::engine::general_purpose::STANDARD
                    .decode(answer.message.data)
                    .map_err(|error| Error::api(what, error))?;
                Ok(Some(Last {
                    seq: answer.message.seq,
                    stored_at: answer.message.time.parse().ok(),
                    body: body.into(),
                }))
            }
            Err(refusal) if refusal.code == 10037 => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// A batched direct get of the ledger: what matched as (sequence, subject, body), and whether there is more.
    pub(crate) async fn direct_batch(
        &self,
        request: &serde_json::Value,
    ) -> Result<(Vec<(u64, String, Bytes)>, bool), Error> {
        let (found, more) = self.direct_batch_of(&self.subjects().ledger_stream(), request).await?;
        let found = found
            .into_iter()
            .map(|stored| (stored.seq, stored.subject, stored.body));
        Ok((found.collect(), more))
    }

    /// A batched direct get of a stream: what matched, and whether there is more.
    pub(crate) async fn direct_batch_of(
        &self,
        stream: &str,
        request: &serde_json::Value,
    ) -> Result<(Vec<Stored>, bool), Error> {
        let what = format!("DIRECT.GET.{stream}");
        let inbox = self.client().new_inbox();
        let mut replies = self
            .client()
            .subscribe(inbox.clone())
            .await
            .map_err(|error| Error::api(&*what, error))?;
        self.client()
            .publish_with_reply(
                format!("{}.{what}", self.api_prefix()),
                inbox,
                request.to_string().into(),
            )
            .await
            .map_err(|error| Error::api(&*what, error))?;
        let mut found = Vec::new();
        let mut pending = 0;
        loop {
            let reply = tokio::time::timeout(Duration::from_secs(5), replies.next())
                .await
                .map_err(|_| Error::NoAnswer { what: what.clone() })?
                .ok_or_else(|| Error::NoAnswer { what: what.clone() })?;
            match reply.status.map(|status| status.as_u16()) {
                Some(204 | 404) => return Ok((found, pending > 0)),
                Some(status) => return Err(Error::api(what, format!("status {status}"))),
                None => {}
            }
            pending = header_u64(reply.headers.as_ref(), "Nats-Num-Pending").unwrap_or(0);
            let seq = header_u64(reply.headers.as_ref(), "Nats-Sequence").unwrap_or(0);
            let subject = reply
                .headers
                .as_ref()
                .and_then(|h| h.get("Nats-Subject"))
                .map(ToString::to_string);
            found.push(Stored {
                seq,
                subject: subject.unwrap_or_default(),
                headers: reply.headers,
                body: reply.payload,
            });
        }
    }
}

/// The last message on a ledger subject.
struct Last {
    seq: u64,
    /// By the server's clock; absent only where the server did not say.
    stored_at: Option<Timestamp>,
    body: Bytes,
}

/// A message of a stream, with the headers that it was stored with and those that the server adds.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

pub(crate) fn header_u64(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}
