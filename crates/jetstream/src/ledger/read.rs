//! Reading the ledger: the head and the history of an intent.

use std::time::Duration;

use baton_envelope::{IntentId, Link, Place, Record, Timestamp, containable, in_server_time};
use bytes::Bytes;

use crate::error::{Error, Status};
use crate::server::{Mesh, Stored, is_malformed};

const PAUSE: Duration = Duration::from_millis(50);
/// How many times to ask a lagging replica, a pause apart.
const LAG_TRIES: usize = 100;

/// The last record of an intent and its sequence.
#[derive(Debug, Clone)]
pub struct Head {
    /// The record.
    pub record: Record,
    /// Its sequence in the ledger stream.
    pub seq: u64,
    /// When the server stored it, if known.
    pub stored_at: Option<Timestamp>,
    /// Whether an import has written it, as a copy: `parked` follows.
    pub is_copy: bool,
    /// The record as it is stored; only where the mesh signs.
    pub(crate) original: Option<Box<Original>>,
}

/// A record as it is stored: what its ticket repeats, and the next record names.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    pub(crate) body: Bytes,
    pub(crate) signature: Option<String>,
    pub(crate) link: Link,
}

impl Head {
    /// A record whose storage time is unknown.
    pub fn new(record: Record, seq: u64) -> Self {
        Self {
            record,
            seq,
            stored_at: None,
            is_copy: false,
            original: None,
        }
    }

    /// The body of its ticket: the very bytes of the record where they are signed.
    pub(super) fn body(&self) -> Result<Bytes, Error> {
        match &self.original {
            Some(original) => Ok(original.body.clone()),
            None => Mesh::encode(&self.record),
        }
    }

    /// The signature of its ticket.
    pub(super) fn signature(&self) -> Option<&str> {
        self.original.as_ref()?.signature.as_deref()
    }

    /// What a writer must know of it to write after it.
    pub fn place(&self) -> Place {
        Place {
            seq: self.seq,
            link: self.original.as_ref().map(|original| original.link),
        }
    }
}

impl Mesh {
    /// The last record of an intent.
    ///
    /// # Errors
    /// When the server does not answer, or the record is corrupt.
    pub async fn head(&self, intent: &IntentId) -> Result<Option<Head>, Error> {
        if self.proofs().is_some() {
            return Box::pin(self.verified_head(intent)).await;
        }
        let Some(last) = self.last_of(intent).await? else {
            return Ok(None);
        };
        let head = self.head_of(intent, &last).await?;
        Ok(head.map(|head| Head {
            stored_at: last.stored_at(),
            ..head
        }))
    }

    /// As [`Mesh::head`], by all records of the intent: each is judged by those before it.
    async fn verified_head(&self, intent: &IntentId) -> Result<Option<Head>, Error> {
        // Replicas may lag: the leader knows how far the records go.
        let through = match self.replicas() > 1 {
            true => match self.last_of(intent).await? {
                Some(last) => last.seq,
                None => return Ok(None),
            },
            false => 0,
        };
        let records = self.raw_history_through(intent, through).await?;
        let stored_at = records.last().and_then(Stored::stored_at);
        let head = self.judged_head(intent, &records)?;
        Ok(head.map(|head| Head { stored_at, ..head }))
    }

    /// The last record of an intent, its delay counted from when the server stored it: a ticket's due time must not
    /// depend on the clock of the record's writer.
    ///
    /// # Errors
    /// As [`Mesh::head`].
    pub async fn head_in_server_time(&self, intent: &IntentId) -> Result<Option<Head>, Error> {
        Ok(self.head(intent).await?.map(|head| match head.stored_at {
            Some(stored_at) => Head {
                record: in_server_time(head.record, stored_at),
                ..head
            },
            None => head,
        }))
    }

    /// Whether the ledger has nothing at all of an intent, readable or not.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn has_no_record(&self, intent: &IntentId) -> Result<bool, Error> {
        Ok(self.last_of(intent).await?.is_none())
    }

    async fn last_of(&self, intent: &IntentId) -> Result<Option<Stored>, Error> {
        let subject = self.subjects().ledger(intent);
        // Replicas may lag, and a stale head looks like work that is not there yet. With more than one copy, ask the
        // leader.
        if self.replicas() > 1 {
            self.leader_last(&subject).await
        } else {
            self.direct_last(&subject).await
        }
    }

    /// All records of an intent from `from_seq` on, oldest first, but for those that nobody can read.
    ///
    /// # Errors
    /// When the server does not answer, or a record is of a newer version of the protocol that is not read here.
    pub async fn history(&self, intent: &IntentId, from_seq: u64) -> Result<Vec<Head>, Error> {
        self.readable(intent, &self.raw_history(intent, from_seq).await?)
    }

    /// As [`Mesh::history`], all of them, as they are stored.
    pub(crate) async fn raw_history(&self, intent: &IntentId, from_seq: u64) -> Result<Vec<Stored>, Error> {
        let subject = self.subjects().ledger(intent);
        let mut found = Vec::new();
        let mut next = from_seq.max(1);
        loop {
            let request = serde_json::json!({ "seq": next, "next_by_subj": subject, "batch": 256 });
            let (batch, more) = self.direct_batch(&request).await?;
            let Some(last) = batch.last() else { break };
            next = last.seq + 1;
            found.extend(batch);
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// All records of an intent, up to one that is known to exist at `through`. Any replica may answer. Replicas apply
    /// records in order: one without that record lags, and is asked again.
    ///
    /// # Errors
    /// When no replica has it within a few seconds, or as [`Mesh::history`].
    pub async fn history_through(&self, intent: &IntentId, through: u64) -> Result<Vec<Head>, Error> {
        self.readable(intent, &self.raw_history_through(intent, through).await?)
    }

    async fn raw_history_through(&self, intent: &IntentId, through: u64) -> Result<Vec<Stored>, Error> {
        for _ in 0..LAG_TRIES {
            let found = self.raw_history(intent, 1).await?;
            // The last one may be what nobody can read: a head stands for it, with its sequence.
            if through == 0 || found.last().is_some_and(|last| last.seq >= through) {
                return Ok(found);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Error::no_answer(
            format!("the history of {intent} up to {through}"),
            "every replica that answered lags behind",
        ))
    }

    /// One record by its sequence.
    ///
    /// # Errors
    /// When there is no such record, or the server does not answer.
    pub async fn record_at(&self, intent: &IntentId, seq: u64) -> Result<Head, Error> {
        let (stream, subject) = (self.subjects().ledger_stream(), self.subjects().ledger(intent));
        let request = serde_json::json!({ "seq": seq, "next_by_subj": subject, "batch": 1 });
        let (batch, _) = self.direct_batch_of(&stream, &request).await?;
        let mut found = batch.into_iter().next().filter(|found| found.seq == seq);
        if found.is_none() && self.replicas() > 1 {
            // A replica may lag; the leader has what there is.
            let request = serde_json::json!({ "seq": seq, "next_by_subj": subject });
            found = Box::pin(self.leader_get(&stream, &request)).await?;
        }
        let Some(found) = found.filter(|found| found.seq == seq) else {
            return Err(Error::NoEnvelope(intent.clone()));
        };
        let read = self.verified(intent, &found);
        match containable(&read) {
            Some(problem) if read.is_err() => Err(Error::NoneReadable {
                intent: intent.clone(),
                seq,
                problem,
            }),
            Some(_) | None => Ok(Head {
                stored_at: found.stored_at(),
                original: self.original(&found, None),
                ..Head::new(read?, seq)
            }),
        }
    }

    pub(super) async fn direct_last(&self, subject: &str) -> Result<Option<Stored>, Error> {
        let stream = self.subjects().ledger_stream();
        let what = format!("DIRECT.GET.{stream}.{subject}");
        let asked = format!("{}.{what}", self.api_prefix());
        let reply = match self.link().request(asked.into(), async_nats::Request::new()).await {
            Ok(reply) => reply,
            Err(error) if error.is_unheard() => return Err(self.why_no_head(&stream, &what).await),
            Err(error) => return Err(error.into_error(&what)),
        };
        match reply.status.map(|status| status.as_u16()) {
            Some(404) => Ok(None),
            Some(status) => Err(Error::api(what, Status::of(status))),
            None if is_malformed(reply.headers.as_ref()) => Box::pin(self.leader_last(subject)).await,
            None => Ok(Some(Stored::of_direct(reply.headers, reply.payload))),
        }
    }

    /// Why nobody listens for the read of a head. A stream without a leader is no news here: whoever reads asks again.
    async fn why_no_head(&self, stream: &str, what: &str) -> Error {
        let why = Box::pin(self.why_unread(stream, what)).await;
        if let Error::Denied { .. } = why {
            return why;
        }
        Error::no_answer(what, "nobody listens on its subject")
    }

    async fn leader_last(&self, subject: &str) -> Result<Option<Stored>, Error> {
        let stream = self.subjects().ledger_stream();
        self.leader_get(&stream, &serde_json::json!({ "last_by_subj": subject }))
            .await
    }

    /// A batched direct get of the ledger: the matches, and whether there are more.
    pub(crate) async fn direct_batch(&self, request: &serde_json::Value) -> Result<(Vec<Stored>, bool), Error> {
        self.direct_batch_of(&self.subjects().ledger_stream(), request).await
    }
}
