//! Answering as one of any number of controllers.

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ControlError, Error};
use crate::server::Mesh;

/// The queue group that controllers share, so that each question reaches one of them.
const GROUP: &str = "controllers";

/// Questions, as they come.
#[derive(Debug)]
pub struct ControlRequests {
    mesh: Mesh,
    messages: Subscriber,
}

/// One question.
#[derive(Debug)]
pub struct ControlRequest {
    /// What is asked: one of [`verb`](crate::control::verb).
    pub verb: String,
    body: Bytes,
    reply: ControlReply,
}

/// Where the answer goes.
#[derive(Debug)]
pub struct ControlReply {
    mesh: Mesh,
    subject: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer<'a, A: ?Sized> {
    Ok(&'a A),
    Error(&'a ControlError),
}

impl Mesh {
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
            mesh: self.clone(),
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
            reply: ControlReply {
                mesh: self.mesh.clone(),
                subject: message.reply.map(|reply| reply.to_string()),
            },
        })
    }
}

impl ControlRequest {
    /// What is asked, and where the answer goes.
    ///
    /// # Errors
    /// When the body is not what the verb takes.
    pub fn read<Q: DeserializeOwned>(&self) -> Result<Q, ControlError> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|error| ControlError {
            code: "BAD_REQUEST".to_owned(),
            message: format!("{}: {error}", self.verb),
            fix: "send one JSON object with the fields of docs/protocol.md".to_owned(),
        })
    }

    /// Answers.
    pub async fn answer<A: Serialize + ?Sized + Sync>(self, answer: Result<&A, &ControlError>) {
        self.reply.send(answer).await;
    }
}

impl ControlReply {
    async fn send<A: Serialize + ?Sized + Sync>(self, answer: Result<&A, &ControlError>) {
        let Some(subject) = self.subject else { return };
        let body = match answer {
            Ok(answer) => serde_json::to_vec(&Answer::Ok(answer)),
            Err(error) => serde_json::to_vec(&Answer::<A>::Error(error)),
        };
        let sent = match body {
            Ok(body) => self.mesh.publish_plain(subject, body.into()).await,
            Err(error) => Err(Error::api("encoding an answer", error)),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "a question could not be answered");
        }
    }
}
