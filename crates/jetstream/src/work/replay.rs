//! Running a hop again in the sandbox of a worker: what a version makes of an envelope, with nothing written.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Request, RequestErrorKind, Subscriber};
use baton_envelope::codes;
use baton_envelope::{AgentName, AgentVersion, Envelope, Json, WaitResult};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Error;
use crate::server::{ControllerMesh, Mesh, WorkerMesh};

/// How long a replay may take, from the request to the answer.
pub const REPLAY_TIME: Duration = Duration::from_secs(30);
/// The queue group that the workers of a version share, so that each replay reaches one of them.
const GROUP: &str = "replay";

/// A hop to run again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// What the hop received.
    #[serde(deserialize_with = "in_any_form")]
    pub envelope: Envelope,
    /// The attempt number that the handler sees.
    pub attempt: u32,
    /// The recorded steps of the hop, by name.
    #[serde(default)]
    pub steps: BTreeMap<String, Json>,
    /// What the waits of the hop came to, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waits: BTreeMap<String, WaitResult>,
}

/// Reads an envelope in any form; a derived implementation would read only this build's own major.
fn in_any_form<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Envelope, D::Error> {
    let document = Json::deserialize(deserializer)?;
    Envelope::decode(document.get().as_bytes()).map_err(serde::de::Error::custom)
}

/// The handler's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReplayAnswer {
    /// `complete`, `hand_off`, `reject`, `retry` or `fail`, named as in a program's JSON mode; `new_step` when the
    /// handler stopped at a step that has no record; `refused` when this worker cannot replay.
    pub outcome: String,
    /// The agent, for a handoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The kind of work, for a handoff that sets one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The payload, for a handoff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Json>,
    /// The result, for a completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The machine-readable code of a rejection, a failure or a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The message for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Steps without a record that the handler wanted to run, or ran in its own program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_steps: Vec<String>,
}

impl ReplayAnswer {
    /// An answer that is not a handler's outcome.
    pub fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            outcome: "refused".to_owned(),
            code: Some(code.into()),
            message: Some(message.into()),
            ..Self::default()
        }
    }
}

/// The replay requests that a worker receives.
#[derive(Debug)]
pub struct ReplayCalls {
    mesh: Mesh,
    messages: Subscriber,
}

/// One replay request.
#[derive(Debug)]
pub struct ReplayCall {
    mesh: Mesh,
    body: Bytes,
    reply: Option<String>,
}

impl ControllerMesh {
    /// Runs a hop again at any worker of a version, and returns the handler's outcome.
    ///
    /// # Errors
    /// `NoWorker` when the version has no worker; `TooLarge` when the hop does not fit into one message; `NoAnswer`
    /// when the handler takes longer than half a minute.
    pub async fn replay(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        request: &ReplayRequest,
    ) -> Result<ReplayAnswer, Error> {
        let subject = self.subjects().replay(agent, version);
        let body = serde_json::to_vec(request).map_err(|error| Error::api("encoding a replay", error))?;
        let (size, limit) = (body.len(), self.client().max_payload());
        if size > limit {
            return Err(Error::TooLarge {
                what: subject,
                size,
                limit,
            });
        }
        let asked = Request::new().payload(body.into()).timeout(Some(REPLAY_TIME));
        let reply = self
            .client()
            .send_request(subject, asked)
            .await
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => Error::NoWorker {
                    agent: agent.to_string(),
                    version: version.to_string(),
                },
                RequestErrorKind::TimedOut
                | RequestErrorKind::MaxPayloadExceeded
                | RequestErrorKind::InvalidSubject
                | RequestErrorKind::Other => {
                    Error::no_answer(format!("a replay by agent \"{agent}\" {version}"), error)
                }
            })?;
        serde_json::from_slice(&reply.payload).map_err(|error| Error::api("reading the answer to a replay", error))
    }
}

impl WorkerMesh {
    /// Joins the workers of a version that answer replays.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn serve_replays(&self, agent: &AgentName, version: &AgentVersion) -> Result<ReplayCalls, Error> {
        let subject = self.subjects().replay(agent, version);
        let messages = self
            .client()
            .queue_subscribe(subject, GROUP.to_owned())
            .await
            .map_err(|error| Error::api("subscribe", error))?;
        Ok(ReplayCalls {
            mesh: Mesh::clone(self),
            messages,
        })
    }
}

impl ReplayCalls {
    /// The next replay; `None` when the connection was closed.
    pub async fn next(&mut self) -> Option<ReplayCall> {
        let message = self.messages.next().await?;
        Some(ReplayCall {
            mesh: self.mesh.clone(),
            body: message.payload,
            reply: message.reply.map(|reply| reply.to_string()),
        })
    }
}

impl ReplayCall {
    /// The hop to run again.
    ///
    /// # Errors
    /// When the request is corrupt; the error is the answer to send.
    pub fn read(&self) -> Result<ReplayRequest, Box<ReplayAnswer>> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Box::new(ReplayAnswer::refused(
                codes::BAD_REQUEST,
                format!("the replay cannot be read: {error}"),
            ))
        })
    }

    /// Sends the answer.
    pub async fn answer(self, answer: &ReplayAnswer) {
        let Some(reply) = self.reply else { return };
        let body = match serde_json::to_vec(answer) {
            Ok(body) if body.len() <= self.mesh.client().max_payload() => Ok(body),
            Ok(body) => {
                let message = format!("the outcome has {} bytes, more than the server takes", body.len());
                serde_json::to_vec(&ReplayAnswer::refused(codes::ANSWER_TOO_LARGE, message))
            }
            Err(error) => Err(error),
        };
        let sent = match body {
            Ok(body) => self.mesh.publish_plain(reply, body.into()).await,
            Err(error) => Err(Error::api("encoding the answer to a replay", error)),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot answer a replay");
        }
    }
}
