//! Reading a stream without a consumer: its end, and messages by direct get.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use baton_envelope::{Entry, Guard, HEADER_IMPORTED, HEADER_SIGNATURE, Timestamp};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::mesh::Mesh;
use super::publish::REQUEST_TIMEOUT;
use crate::error::{Error, STREAM_NOT_FOUND, Status};

/// How long each message of a batched answer may take.
const BATCH_PATIENCE: Duration = Duration::from_secs(5);

/// The header that makes a guard one of another subject.
const GUARDED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// Headers that the server adds to what it reads from a stream.
const ADDED: [&str; 8] = [
    "Nats-Stream",
    "Nats-Subject",
    "Nats-Sequence",
    "Nats-Time-Stamp",
    "Nats-Num-Pending",
    "Nats-Last-Sequence",
    "Nats-Last-Stream",
    "Nats-UpTo-Sequence",
];

/// The end of the ledger, and which ledger it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEnd {
    /// The sequence of the last record that was ever stored.
    pub last_seq: u64,
    /// The sequence of the first record that is still there.
    pub first_seq: u64,
    /// How many records are still there.
    pub messages: u64,
    /// When the stream was created, as the server writes it. A stream that was deleted and made again counts from 1
    /// again: only this tells it from the one before.
    pub created: String,
}

impl LedgerEnd {
    /// How many records were removed. It shrinks only when records come back that were purged before a crash.
    pub const fn removed(&self) -> u64 {
        self.last_seq.saturating_sub(self.messages)
    }
}

/// A message of a stream, with the headers that it was stored with and those that the server adds.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

/// The answer to a batched direct get.
#[derive(Debug, Default)]
pub(crate) struct DirectBatch {
    pub(crate) found: Vec<Stored>,
    /// Whether more matched than the answer holds.
    pub(crate) more: bool,
    /// The last sequence of whoever answered, where it said so.
    pub(crate) up_to: u64,
    /// The server refused: more than 1,024 subjects match.
    pub(crate) is_too_many: bool,
}

impl Stored {
    /// A message that the server sent with its own headers: a direct get, or one that a stream republishes.
    pub(crate) fn of_direct(headers: Option<HeaderMap>, body: Bytes) -> Self {
        let text = |name: &str| headers.as_ref().and_then(|map| map.get(name));
        Self {
            seq: header_u64(headers.as_ref(), "Nats-Sequence").unwrap_or(0),
            subject: text("Nats-Subject").map(ToString::to_string).unwrap_or_default(),
            headers,
            body,
        }
    }

    /// When the server stored it, as the server writes it: to the nanosecond.
    pub(crate) fn stored_text(&self) -> &str {
        let time = self.headers.as_ref().and_then(|map| map.get("Nats-Time-Stamp"));
        time.map_or("", |time| time.as_str())
    }

    /// The headers that it was published with.
    pub(crate) fn published_headers(&self) -> Vec<(String, String)> {
        let headers = self.headers.iter().flat_map(HeaderMap::iter);
        let published = headers.filter(|(name, _)| !ADDED.contains(&name.as_ref()));
        published
            .flat_map(|(name, values)| values.iter().map(move |value| (name.to_string(), value.to_string())))
            .collect()
    }

    /// Whether it says that its key of a bucket is gone, in place of a value.
    pub(crate) fn is_removal(&self) -> bool {
        let Some(headers) = &self.headers else { return false };
        let operation = headers.get("KV-Operation").map_or("", |value| value.as_str());
        matches!(operation, "DEL" | "PURGE") || headers.get("Nats-Marker-Reason").is_some()
    }

    /// The value of its signature.
    pub(crate) fn signature(&self) -> Option<&str> {
        signature(self.headers.as_ref())
    }

    /// It as a record on a ledger subject, to be verified.
    pub(crate) fn entry<'a>(&'a self, subject: &'a str) -> Entry<'a> {
        Entry {
            subject,
            seq: self.seq,
            stored_at: self.stored_at(),
            guard: guard(self.headers.as_ref()),
            signature: self.signature(),
            body: &self.body,
        }
    }

    /// When the server stored it.
    pub(crate) fn stored_at(&self) -> Option<Timestamp> {
        let time = self.headers.as_ref()?.get("Nats-Time-Stamp")?;
        time.as_str().parse().ok()
    }

    /// Whether it is a record that an import has written as a copy.
    pub(crate) fn is_copy(&self) -> bool {
        let headers = self.headers.as_ref();
        headers.is_some_and(|headers| headers.get(HEADER_IMPORTED).is_some())
    }
}

/// The value of a message's signature.
pub(crate) fn signature(headers: Option<&HeaderMap>) -> Option<&str> {
    Some(headers?.get(HEADER_SIGNATURE)?.as_str())
}

/// The guard that a message was published with. One that is doubled, or of another subject, held it to nothing.
pub(crate) fn guard(headers: Option<&HeaderMap>) -> Guard {
    let one = |headers: &HeaderMap| {
        let mut values = headers.get_all(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE);
        let value = values.next()?.as_str().parse().ok()?;
        (values.next().is_none() && headers.get(GUARDED_SUBJECT).is_none()).then_some(value)
    };
    headers.and_then(one).map_or(Guard::None, Guard::At)
}

/// Whether the head of a message could not be read as it was published.
pub(crate) fn is_malformed(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(baton_envelope::HEADER_MALFORMED).is_some())
}

pub(crate) fn header_u64(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

impl Mesh {
    /// What the server says of a stream; `None` when there is no such stream.
    pub(crate) async fn stream_info<T: DeserializeOwned>(&self, stream: &str) -> Result<Option<T>, Error> {
        let what = format!("STREAM.INFO.{stream}");
        match self.read_within(&what, &serde_json::json!({}), REQUEST_TIMEOUT).await? {
            Ok(info) => Ok(Some(info)),
            Err(refusal) if refusal.code == STREAM_NOT_FOUND => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The end of a stream, as its leader knows it.
    pub(crate) async fn stream_end(&self, stream: &str) -> Result<LedgerEnd, Error> {
        #[derive(Deserialize)]
        struct Info {
            created: String,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
            first_seq: u64,
            messages: u64,
        }
        let what = format!("STREAM.INFO.{stream}");
        let info: Info = self.ask(&what, &serde_json::json!({})).await??;
        Ok(LedgerEnd {
            last_seq: info.state.last_seq,
            first_seq: info.state.first_seq,
            messages: info.state.messages,
            created: info.created,
        })
    }

    /// A batched direct get of a stream: what matched, and whether there is more.
    pub(crate) async fn direct_batch_of(
        &self,
        stream: &str,
        request: &serde_json::Value,
    ) -> Result<(Vec<Stored>, bool), Error> {
        let batch = self.direct_batch_within(stream, request, BATCH_PATIENCE).await?;
        if batch.is_too_many {
            return Err(Error::api(
                format!("DIRECT.GET.{stream}"),
                "status 413: more than 1,024 subjects",
            ));
        }
        Ok((batch.found, batch.more))
    }

    /// As [`Mesh::direct_batch_of`], where each message of the answer may take this long.
    pub(crate) async fn direct_batch_within(
        &self,
        stream: &str,
        request: &serde_json::Value,
        patience: Duration,
    ) -> Result<DirectBatch, Error> {
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
        let mut batch = DirectBatch::default();
        loop {
            let reply = tokio::time::timeout(patience, replies.next())
                .await
                .map_err(|elapsed| Error::no_answer(&*what, elapsed))?
                .ok_or_else(|| Error::no_answer(&*what, "the connection was closed"))?;
            let headers = reply.headers.as_ref();
            match reply.status.map(|status| status.as_u16()) {
                Some(204 | 404) => {
                    batch.up_to = header_u64(headers, "Nats-UpTo-Sequence").unwrap_or(0);
                    return Ok(batch);
                }
                Some(413) => {
                    batch.is_too_many = true;
                    return Ok(batch);
                }
                Some(503) => return Err(Box::pin(self.why_unread(stream, &what)).await),
                Some(status) => return Err(Error::api(what, Status::of(status))),
                None => {}
            }
            // What the server says of it stands behind a head that cannot be read.
            if is_malformed(headers) || header_u64(headers, "Nats-Sequence").is_none() {
                drop(replies);
                let (found, more) = Box::pin(self.reread(stream, request)).await?;
                return Ok(DirectBatch {
                    found,
                    more,
                    ..DirectBatch::default()
                });
            }
            batch.more = header_u64(headers, "Nats-Num-Pending").unwrap_or(0) > 0;
            batch.found.push(Stored::of_direct(reply.headers, reply.payload));
        }
    }

    /// The last message on a subject, by direct get: any replica may answer. `None` where there is none.
    pub(crate) async fn direct_last_of(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        let what = format!("DIRECT.GET.{stream}.{subject}");
        let request = async_nats::Request::new().timeout(Some(super::publish::REQUEST_TIMEOUT));
        let reply = match self
            .link()
            .request(format!("{}.{what}", self.api_prefix()).into(), request)
            .await
        {
            Ok(reply) => reply,
            Err(error) if error.is_unheard() => return Err(Box::pin(self.why_unread(stream, &what)).await),
            Err(error) => return Err(error.into_error(&what)),
        };
        match reply.status.map(|status| status.as_u16()) {
            Some(404) => Ok(None),
            Some(status) => Err(Error::api(what, Status::of(status))),
            // What the server says of it stands behind a head that cannot be read.
            None if is_malformed(reply.headers.as_ref()) => {
                let request = serde_json::json!({ "last_by_subj": subject });
                Box::pin(self.leader_get(stream, &request)).await
            }
            None => Ok(Some(Stored::of_direct(reply.headers, reply.payload))),
        }
    }
}
