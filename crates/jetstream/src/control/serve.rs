//! Answering as one of any number of controllers.

use async_nats::Subscriber;
use baton_envelope::codes;
use baton_envelope::control::{ControlError, Reply};
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
            mesh: self.mesh.clone(),
            reply_to: message.reply.map(|reply| reply.to_string()),
        })
    }
}

impl ControlRequest {
    /// The question.
    ///
    /// # Errors
    /// When the body does not fit the verb.
    pub fn read<Q: DeserializeOwned>(&self) -> Result<Q, ControlError> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
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
