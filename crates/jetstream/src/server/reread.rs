//! Reading a stream in JSON, where a message's own head would hide what the server says of it.
//!
//! A direct get answers with the stored head, and the server's headers behind it. Behind a head that is malformed these may
//! not be read; a request to the stream's leader answers in JSON, with the head in base64.

use std::time::Duration;

use base64::Engine as _;
use baton_envelope::{HEADER_IMPORTED, HEADER_SIGNATURE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::mesh::Mesh;
use super::publish::REQUEST_TIMEOUT;
use super::stream::Stored;
use crate::error::Error;

/// The server's code for "no message found".
const NOT_FOUND: u64 = 10037;
/// The headers by which a record is verified, or known as a copy.
const KEPT: [&str; 4] = [
    HEADER_SIGNATURE,
    HEADER_IMPORTED,
    "Nats-Expected-Last-Subject-Sequence",
    "Nats-Expected-Last-Subject-Sequence-Subject",
];
/// How many messages are read where the request does not say.
const PAGE: u64 = 256;

impl Mesh {
    /// Answers the request of a batched direct get: what matched, and whether there may be more.
    pub(super) async fn reread(&self, stream: &str, request: &Value) -> Result<(Vec<Stored>, bool), Error> {
        let mut found = Vec::new();
        if let Some(subjects) = request.get("multi_last").and_then(Value::as_array) {
            for subject in subjects {
                found.extend(self.leader_get(stream, &json!({ "last_by_subj": subject })).await?);
            }
            return Ok((found, false));
        }
        let of = request.get("next_by_subj").cloned().unwrap_or_else(|| ">".into());
        let mut seq = request.get("seq").and_then(Value::as_u64).unwrap_or(1);
        for _ in 0..request.get("batch").and_then(Value::as_u64).unwrap_or(PAGE) {
            match self
                .leader_get(stream, &json!({ "seq": seq, "next_by_subj": of }))
                .await?
            {
                Some(one) => {
                    seq = one.seq + 1;
                    found.push(one);
                }
                None => return Ok((found, false)),
            }
        }
        Ok((found, true))
    }

    /// One message as the stream's leader has it, with the time of storing and what a record is told by as its only headers. `None`
    /// where nothing matches.
    pub(crate) async fn leader_get(&self, stream: &str, request: &Value) -> Result<Option<Stored>, Error> {
        self.leader_get_within(stream, request, REQUEST_TIMEOUT).await
    }

    /// As [`Mesh::leader_get`], with a bound of the caller's.
    pub(crate) async fn leader_get_within(
        &self,
        stream: &str,
        request: &Value,
        patience: Duration,
    ) -> Result<Option<Stored>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            message: Message,
        }
        #[derive(Deserialize)]
        struct Message {
            seq: u64,
            subject: String,
            #[serde(default)]
            data: String,
            #[serde(default)]
            time: String,
            #[serde(default)]
            hdrs: String,
        }
        let what = format!("STREAM.MSG.GET.{stream}");
        match self.read_within::<Answer>(&what, request, patience).await? {
            Ok(Answer { message }) => {
                let body = base64::engine::general_purpose::STANDARD
                    .decode(message.data)
                    .map_err(|error| Error::api(what, error))?;
                let mut headers = async_nats::HeaderMap::new();
                if let Ok(time) = message.time.parse::<async_nats::HeaderValue>() {
                    headers.insert("Nats-Time-Stamp", time);
                }
                let head = base64::engine::general_purpose::STANDARD
                    .decode(message.hdrs)
                    .unwrap_or_default();
                keep(&mut headers, &String::from_utf8_lossy(&head));
                Ok(Some(Stored {
                    seq: message.seq,
                    subject: message.subject,
                    headers: Some(headers),
                    body: body.into(),
                }))
            }
            Err(refusal) if refusal.code == NOT_FOUND => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// Keeps of a stored head what a record is told by.
fn keep(headers: &mut async_nats::HeaderMap, head: &str) {
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if let Some(name) = KEPT.into_iter().find(|known| *known == name)
            && let Ok(value) = value.trim().parse::<async_nats::HeaderValue>()
        {
            headers.append(name, value);
        }
    }
}
