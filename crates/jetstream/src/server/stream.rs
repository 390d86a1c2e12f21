//! Reading a stream without a consumer: its end, and messages by direct get.

use std::time::Duration;

use async_nats::HeaderMap;
use baton_envelope::Timestamp;
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;

use super::mesh::Mesh;
use crate::error::Error;

/// The server's code for a stream that does not exist.
pub(crate) const STREAM_NOT_FOUND: u64 = 10059;

/// The end of the ledger, and which ledger it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEnd {
    /// The sequence of the last record that was ever stored.
    pub last_seq: u64,
    /// The sequence of the first record that is still there.
    pub first_seq: u64,
    /// When the stream was created, as the server writes it. A stream that was deleted and made again counts from 1
    /// again: only this tells it from the one before.
    pub created: String,
}

/// A message of a stream, with the headers that it was stored with and those that the server adds.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

impl Stored {
    /// When the server stored it.
    pub(crate) fn stored_at(&self) -> Option<Timestamp> {
        let time = self.headers.as_ref()?.get("Nats-Time-Stamp")?;
        time.as_str().parse().ok()
    }
}

/// Whether the head of a message could not be read as it was published.
pub(crate) fn is_malformed(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| headers.get(baton_envelope::HEADER_MALFORMED).is_some())
}

pub(crate) fn header_u64(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

impl Mesh {
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
        }
        let what = format!("STREAM.INFO.{stream}");
        let info: Info = self.ask(&what, &serde_json::json!({})).await??;
        Ok(LedgerEnd {
            last_seq: info.state.last_seq,
            first_seq: info.state.first_seq,
            created: info.created,
        })
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
            let seq = header_u64(reply.headers.as_ref(), "Nats-Sequence").unwrap_or(0);
            // What the server says of it stands behind a head that cannot be read.
            if seq == 0 || is_malformed(reply.headers.as_ref()) {
                drop(replies);
                return Box::pin(self.reread(stream, request)).await;
            }
            pending = header_u64(reply.headers.as_ref(), "Nats-Num-Pending").unwrap_or(0);
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
