//! Raw intents: publishing them, and reading them as one of any number of routers.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, AckKind};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use baton_envelope::{
    Envelope, HEADER_INTENT, HEADER_MALFORMED, HEADER_MSG_ID, HEADER_PROTOCOL, IntentId, RawIntent, RawKept,
};
use baton_envelope::{Timestamp, quoted};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::{ControllerMesh, Intake, Mesh, Published, UNCONFIRMED, Unheard, publish_acked};

/// In a kept raw intent: the size of its body in bytes, if only the beginning was kept.
pub const KEPT_BODY_BYTES: &str = "body_truncated_from";

/// How many characters of a header's value an error quotes.
const QUOTED: usize = 80;
/// For how long a raw intent is published again while nobody takes it, and how far apart: a stream may just elect its leader.
const UNHEARD: Duration = Duration::from_secs(1);
const BETWEEN: Duration = Duration::from_millis(50);
/// How long the answer to a pull that does not wait at the server may take.
const FETCH_PATIENCE: Duration = Duration::from_secs(5);

/// Reads the intake, which routers share.
#[derive(Debug)]
pub struct IntakeReader {
    mesh: Mesh,
    consumer: PullConsumer,
}

/// One raw intent, to route and then ack.
#[derive(Debug)]
pub struct IntakeMessage {
    message: jetstream::Message,
    stream: String,
}

impl Mesh {
    /// Publishes a raw message on an intake subject and waits until it is stored.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn publish_raw(
        &self,
        subject: String,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<u64, Error> {
        let mut map = HeaderMap::new();
        for (key, value) in headers {
            let bad = |problem: String| {
                let value = quoted(&value, QUOTED);
                Error::api(
                    format!("publishing to {subject}"),
                    format!("header {key} \"{value}\": {problem}"),
                )
            };
            let name: HeaderName = key.parse().map_err(|error| bad(format!("{error}")))?;
            let text: HeaderValue = value.parse().map_err(|error| bad(format!("{error}")))?;
            map.append(name, text);
        }
        let mut unheard = Unheard::default();
        let until = tokio::time::Instant::now() + UNHEARD;
        loop {
            match publish_acked(self.link(), subject.clone().into(), map.clone(), body.clone()).await? {
                Published::Stored { seq } => return Ok(seq),
                Published::Refused(refusal) => return Err(refusal.into()),
                // Nothing was stored: it may be published again.
                Published::Unheard if tokio::time::Instant::now() < until => {
                    let stream = self.subjects().intake_stream();
                    if let Some(denied) = unheard.on(self, &subject, &stream).await {
                        return Err(denied);
                    }
                    tokio::time::sleep(BETWEEN).await;
                }
                Published::WrongSequence | Published::Unheard | Published::Unknown => {
                    return Err(Error::no_answer(format!("publishing to {subject}"), UNCONFIRMED));
                }
            }
        }
    }

    /// How many raw messages wait in the intake for a controller.
    ///
    /// # Errors
    /// When the server does not answer, or has no mesh.
    pub async fn intake_waiting(&self) -> Result<u64, Error> {
        #[derive(serde::Deserialize)]
        struct Info {
            state: State,
        }
        #[derive(serde::Deserialize)]
        struct State {
            messages: u64,
        }
        let what = format!("STREAM.INFO.{}", self.subjects().intake_stream());
        let info: Info = self.ask(&what, &serde_json::json!({})).await??;
        Ok(info.state.messages)
    }

    /// Publishes a kept raw intent again, as it came, under the given id.
    ///
    /// # Errors
    /// When its body is incomplete or corrupt, or as [`Mesh::publish_raw`].
    pub async fn publish_kept(&self, kept: &RawKept, intent: &IntentId) -> Result<u64, Error> {
        if kept.extra.contains_key(KEPT_BODY_BYTES) {
            return Err(Error::api(
                "publishing a kept raw intent",
                "only the beginning of its body was kept: it was too large",
            ));
        }
        let body = base64::engine::general_purpose::STANDARD
            .decode(&kept.body_base64)
            .map_err(|error| Error::api("reading a kept raw intent", error))?;
        // What could not be read is not there any more; whoever publishes it again has seen that.
        let dropped = [HEADER_INTENT, HEADER_MSG_ID, HEADER_MALFORMED];
        let mut headers: Vec<(String, String)> = kept
            .headers
            .iter()
            .filter(|(key, _)| !dropped.contains(&key.as_str()))
            .cloned()
            .collect();
        headers.push((HEADER_INTENT.to_owned(), intent.to_string()));
        let is_enveloped = headers.iter().any(|(name, _)| name == HEADER_PROTOCOL);
        let body = match Envelope::decode(&body) {
            // An enveloped intent has its id in the body, and no header has another.
            Ok(mut envelope) if is_enveloped => {
                envelope.intent = intent.clone();
                envelope.id = self.clock().envelope_id();
                serde_json::to_vec(&envelope).map_err(|error| Error::api("writing an envelope", error))?
            }
            Ok(_) | Err(_) => body,
        };
        self.publish_raw(kept.subject.clone(), headers, body.into()).await
    }
}

impl ControllerMesh {
    /// Through which sequence of the intake all messages of a kind are acked. One that is there nevertheless was left behind by a
    /// server that was killed: it has kept the ack and lost the removal, and delivers the message to nobody any more.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn acked_through(&self, kind: Intake) -> Result<u64, Error> {
        #[derive(serde::Deserialize)]
        struct Info {
            ack_floor: Floor,
        }
        #[derive(serde::Deserialize)]
        struct Floor {
            stream_seq: u64,
        }
        let stream = self.subjects().intake_stream();
        let what = format!("CONSUMER.INFO.{stream}.{}", kind.consumer());
        let info: Info = self.ask(&what, &serde_json::json!({})).await??;
        Ok(info.ack_floor.stream_seq)
    }

    /// Joins the controllers that read a kind of what is in the intake.
    ///
    /// # Errors
    /// When the intake is missing or the server refuses.
    pub async fn read_intake(&self, kind: Intake) -> Result<IntakeReader, Error> {
        let stream = self.subjects().intake_stream();
        let name = kind.consumer();
        let consumer = match self.context().get_consumer_from_stream(name, &stream).await {
            Ok(consumer) => consumer,
            Err(_) => self
                .context()
                .create_consumer_on_stream(self.intake_config(kind), &stream)
                .await
                .map_err(|error| Error::api(format!("creating consumer {name}"), error))?,
        };
        Ok(IntakeReader {
            mesh: Mesh::clone(self),
            consumer,
        })
    }
}

impl IntakeReader {
    /// Up to `max` raw intents; waits a while for the first one. Empty when there was none, or after a reconnect: the
    /// server forgets the pulls of the old connection.
    ///
    /// # Errors
    /// When the consumer is gone or the server does not answer.
    pub async fn next_batch(&self, max: usize) -> Result<Vec<IntakeMessage>, Error> {
        let mut connections = self.mesh.connections();
        connections.mark_unchanged();
        let mut found = Vec::new();
        let end = tokio::select! {
            biased;
            end = self.pull(max, &mut found) => end,
            Ok(()) = connections.changed() => Ok(()),
        };
        // Keep what came before an error: the broker would deliver it again only after the ack wait.
        match end {
            Err(error) if found.is_empty() => Err(error),
            Ok(()) | Err(_) => Ok(found),
        }
    }

    /// Takes what is queued. If nothing is, waits for one message only, so that the first is not held back until a
    /// batch is full.
    async fn pull(&self, max: usize, found: &mut Vec<IntakeMessage>) -> Result<(), Error> {
        let mut batch = self
            .consumer
            .fetch()
            .max_messages(max)
            .messages()
            .await
            .map_err(|error| Error::api("pull from intake", error))?;
        // The client does not limit such a pull: without this timeout a lost answer would block forever.
        tokio::time::timeout(FETCH_PATIENCE, self.drain_into(found, &mut batch))
            .await
            .map_err(|elapsed| Error::no_answer("pull from intake", elapsed))??;
        if found.is_empty() {
            let mut batch = self
                .consumer
                .batch()
                .max_messages(1)
                .expires(Duration::from_secs(20))
                .messages()
                .await
                .map_err(|error| Error::api("pull from intake", error))?;
            self.drain_into(found, &mut batch).await?;
        }
        Ok(())
    }

    async fn drain_into(&self, found: &mut Vec<IntakeMessage>, batch: &mut pull::Batch) -> Result<(), Error> {
        let stream = self.mesh.subjects().intake_stream();
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| Error::api("pull from intake", error))?;
            found.push(IntakeMessage {
                message,
                stream: stream.clone(),
            });
        }
        Ok(())
    }
}

impl IntakeMessage {
    /// The subject on which it was published.
    pub fn subject(&self) -> &str {
        &self.message.subject
    }

    /// Its sequence in the intake stream; 0 when the broker's own facts about it are unreadable.
    pub fn seq(&self) -> u64 {
        self.message.info().map_or(0, |info| info.stream_sequence)
    }

    /// How often the broker has delivered it, including this time.
    pub fn delivered(&self) -> u64 {
        self.message
            .info()
            .map_or(1, |info| u64::try_from(info.delivered).unwrap_or(1))
    }

    /// The message as a raw intent.
    ///
    /// # Errors
    /// When the broker's own facts about it are unreadable.
    pub fn raw(&self) -> Result<RawIntent<'_>, Error> {
        let info = self
            .message
            .info()
            .map_err(|error| Error::api("reading an intake message", error))?;
        let nanos = info.published.unix_timestamp_nanos();
        let headers = self
            .message
            .headers
            .iter()
            .flat_map(HeaderMap::iter)
            .flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str())))
            .collect();
        Ok(RawIntent {
            subject: &self.message.subject,
            headers,
            body: &self.message.payload,
            stored_at: Timestamp::from_unix_millis(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)),
            derived_id: IntentId::derived(&self.stream, info.stream_sequence, nanos),
        })
    }

    /// Removes it from the intake.
    pub async fn ack(&self) {
        if let Err(error) = self.message.ack().await {
            tracing::debug!(%error, "cannot ack an intake message");
        }
    }

    /// Hands it back for another try.
    pub async fn hand_back(&self, delay: Duration) {
        if let Err(error) = self.message.ack_with(AckKind::Nak(Some(delay))).await {
            tracing::debug!(%error, "cannot hand back an intake message");
        }
    }
}
