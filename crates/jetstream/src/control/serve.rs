//! Answering as one of any number of controllers.

use async_nats::{HeaderMap, Subscriber};
use baton_envelope::codes;
use baton_envelope::control::{Asker, ControlError, Reply, asked_by};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::server::{ControllerMesh, Mesh};

/// The queue group that controllers share, so that each question reaches one of them.
const GROUP: &str = "controllers";

/// Incoming questions.
#[derive(Debug)]
pub struct ControlRequests {
    mesh: Mesh,
    messages: Subscriber,
}

/// One question.
#[derive(Debug)]
pub struct ControlRequest {
    /// The question: one of [`VERBS`](baton_envelope::control::VERBS), or a newer client's.
    pub verb: String,
    body: Bytes,
    headers: Option<HeaderMap>,
    mesh: Mesh,
    /// Where the reply goes; `None` when nobody waits for one.
    reply_to: Option<String>,
}

impl ControllerMesh {
    /// Joins the controllers that answer questions.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn serve_control(&self) -> Result<ControlRequests, Error> {
        let messages = self
            .client()
            .queue_subscribe(self.subjects().control_all(), GROUP.to_owned())
            .await
            .map_err(|error| Error::api("subscribe", error))?;
        self.round_trip().await?;
        Ok(ControlRequests {
            mesh: Mesh::clone(self),
            messages,
        })
    }
}

impl ControlRequests {
    /// The next question; `None` when the connection was closed.
    pub async fn next(&mut self) -> Option<ControlRequest> {
        let message = self.messages.next().await?;
        let prefix = self.mesh.subjects().control("");
        let verb = message.subject.strip_prefix(&*prefix).unwrap_or_default().to_owned();
        Some(ControlRequest {
            verb,
            body: message.payload,
            headers: message.headers,
            mesh: self.mesh.clone(),
            reply_to: message.reply.map(|reply| reply.to_string()),
        })
    }
}

impl ControlRequest {
    /// Who asks, as the server says; `own` is the account of the mesh itself.
    ///
    /// # Errors
    /// `NO_IDENTITY` where the server does not say so.
    pub fn asker(&self, own: &str) -> Result<Asker, ControlError> {
        let headers = self.headers.iter().flat_map(HeaderMap::iter);
        let each = headers.flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str())));
        Asker::read(each, own)
    }

    /// The question, as its body says it.
    ///
    /// # Errors
    /// When the body does not fit the verb.
    pub fn read<Q: DeserializeOwned>(&self) -> Result<Q, ControlError> {
        self.decode(self.body())
    }

    /// The question, asked by whoever the server says, whatever its body says; by nobody for `None`.
    ///
    /// # Errors
    /// As [`ControlRequest::read`].
    pub fn read_as<Q: DeserializeOwned>(&self, by: Option<&str>) -> Result<Q, ControlError> {
        match asked_by(self.body(), by) {
            Some(body) => self.decode(&body),
            None => self.decode(self.body()),
        }
    }

    fn body(&self) -> &[u8] {
        if self.body.is_empty() { b"{}" } else { &self.body }
    }

    fn decode<Q: DeserializeOwned>(&self, body: &[u8]) -> Result<Q, ControlError> {
        serde_json::from_slice(body).map_err(|error| {
            let fix = "send one JSON object with the fields of docs/protocol.md";
            ControlError::new(codes::BAD_REQUEST, format!("{}: {error}", self.verb), fix)
        })
    }

    /// Sends the answer.
    pub async fn answer<A: Serialize + Sync>(self, reply: &Reply<A>) {
        let Some(subject) = self.reply_to else { return };
        let sent = match serde_json::to_vec(reply) {
            Ok(body) => self.mesh.publish_plain(subject, body.into()).await,
            Err(error) => Err(Error::api("encoding an answer", error)),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot answer a question");
        }
    }
}
