//! The connection, and what goes over it: tickets, subjects, and a publish that the server acknowledges.

use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{Client, ConnectOptions, HeaderMap, Request, Subject};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;

use crate::error::Error;

/// How many bytes before the payload of a ticket say what it is for: the ledger sequence, then the intent.
pub(crate) const SEQUENCE_BYTES: usize = 8;
/// As many as a Baton intent's id has, so that subjects are equally long.
pub(crate) const INTENT_BYTES: usize = 36;
/// How many messages a stage pulls ahead.
pub(crate) const BATCH: usize = 500;

/// Connects to the benchmark's own server, which asks for no credentials.
pub(crate) async fn connect(url: &str) -> Result<Client, Error> {
    connect_with(url, ConnectOptions::new()).await
}

/// As [`connect`], as the user with this seed of a key.
pub(crate) async fn connect_as(url: &str, seed: &str) -> Result<Client, Error> {
    connect_with(url, ConnectOptions::with_nkey(seed.to_owned())).await
}

async fn connect_with(url: &str, options: ConnectOptions) -> Result<Client, Error> {
    let options = options
        .name("baton-baseline")
        .connection_timeout(Duration::from_secs(5));
    options.connect(url).await.map_err(Error::failed)
}

/// The id of an intent.
pub(crate) fn intent(number: u64) -> String {
    format!("{number:0INTENT_BYTES$}")
}

/// The subject of an intent's records. Ids are numbers, so their last two digits spread them evenly.
pub(crate) fn subject_of(ledger: &str, intent: &[u8], shards: usize) -> Subject {
    let digits = intent
        .iter()
        .rev()
        .take(2)
        .map(|digit| usize::from(digit.saturating_sub(b'0')));
    let shard = digits.rev().fold(0, |number, digit| 10 * number + digit) % shards.max(1);
    format!("{ledger}{shard}.{}", String::from_utf8_lossy(intent)).into()
}

/// Submits one intent: guarded at 0, then the ticket.
pub(crate) async fn submit(
    client: &Client,
    ledger: Subject,
    intent: &str,
    work: Subject,
    payload: &Bytes,
) -> Result<(), Error> {
    let seq = guarded(client, ledger, 0, payload.clone()).await?;
    publish(client, work, None, ticket(seq, intent.as_bytes(), payload))
        .await
        .map(drop)
}

/// A ticket: where the intent stands in the ledger, its id, and its payload.
pub(crate) fn ticket(seq: u64, intent: &[u8], payload: &Bytes) -> Bytes {
    let mut body = BytesMut::with_capacity(SEQUENCE_BYTES + INTENT_BYTES + payload.len());
    body.put_u64(seq);
    body.put_slice(intent);
    body.put_slice(payload);
    body.freeze()
}

/// Publishes to the ledger if the last record of the subject still stands at `expected`.
pub(crate) async fn guarded(client: &Client, subject: Subject, expected: u64, body: Bytes) -> Result<u64, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
    publish(client, subject, Some(headers), body).await
}

/// Publishes and waits for the server's acknowledgement: the sequence.
pub(crate) async fn publish(
    client: &Client,
    subject: Subject,
    headers: Option<HeaderMap>,
    body: Bytes,
) -> Result<u64, Error> {
    #[derive(Deserialize)]
    struct Ack<'a> {
        #[serde(default)]
        seq: u64,
        #[serde(default, borrow)]
        error: Option<&'a serde_json::value::RawValue>,
    }
    let mut request = Request::new().payload(body);
    if let Some(headers) = headers {
        request = request.headers(headers);
    }
    let reply = client.send_request(subject, request).await.map_err(Error::failed)?;
    match serde_json::from_slice(&reply.payload).map_err(Error::failed)? {
        Ack { seq, error: None } => Ok(seq),
        Ack { error: Some(error), .. } => Err(Error::failed(error.get())),
    }
}
