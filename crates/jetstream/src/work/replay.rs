//! Running a hop again in the sandbox of a worker: what its version would make of an envelope, written nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Request, RequestErrorKind, Subscriber};
use baton_envelope::codes;
use baton_envelope::{AgentName, AgentVersion, Envelope, Json};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Error;
use crate::server::Mesh;

/// How long a replay may take, from the asking to the answer.
pub const REPLAY_TIME: Duration = Duration::from_secs(30);
/// The queue group that the workers of a version share, so that each replay reaches one of them.
const GROUP: &str = "replay";

/// A hop to be run again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// What the hop received.
    #[serde(deserialize_with = "in_any_form")]
    pub envelope: Envelope,
    /// The attempt that the handler is told.
    pub attempt: u32,
    /// The recorded steps of the hop, by name.
    #[serde(default)]
    pub steps: BTreeMap<String, Json>,
}

/// An envelope as the ledger has it; derived code would read those of this build's own major only.
fn in_any_form<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Envelope, D::Error> {
    let document = Json::deserialize(deserializer)?;
    Envelope::decode(document.get().as_bytes()).map_err(serde::de::Error::custom)
}

/// What the handler made of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReplayAnswer {
    /// `complete`, `hand_off`, `reject`, `retry` or `fail`, as a program in JSON mode says it; `new_step` when the
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
    /// What a program branches on, for a rejection, a failure or a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Steps that the handler wanted to run, or ran in its own program, and that have no record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new_steps: Vec<String>,
}

impl ReplayAnswer {
    /// An answer that is no outcome of a handler.
    pub fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            outcome: "refused".to_owned(),
            code: Some(code.into()),
            message: Some(message.into()),
            ..Self::default()
        }
    }
}

/// Replays that a worker is asked for, as they come.
#[derive(Debug)]
pub struct ReplayCalls {
    mesh: Mesh,
    messages: Subscriber,
}

/// One replay that is asked for.
#[derive(Debug)]
pub struct ReplayCall {
    mesh: Mesh,
    body: Bytes,
    reply: Option<String>,
}

impl Mesh {
    /// Runs a hop again at any worker of a version, and gives what the handler made of it.
    ///
    /// # Errors
    /// `NoWorker` when none is there; `TooLarge` when the hop does not fit into one message; `NoAnswer` when the handler
    /// takes longer than half a minute.
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
                | RequestErrorKind::Other => Error::NoAnswer {
                    what: format!("a replay by agent \"{agent}\" {version} ({error})"),
                },
            })?;
        serde_json::from_slice(&reply.payload).map_err(|error| Error::api("reading the answer to a replay", error))
    }

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
            mesh: self.clone(),
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
    /// The hop that is to be run again.
    ///
    /// # Errors
    /// With what is to be answered when it cannot be read.
    pub fn read(&self) -> Result<ReplayRequest, Box<ReplayAnswer>> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Box::new(ReplayAnswer::refused(
                codes::BAD_REQUEST,
                format!("the replay cannot be read: {error}"),
            ))
        })
    }

    /// Answers.
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
            tracing::warn!(%error, "a replay could not be answered");
        }
    }
}
