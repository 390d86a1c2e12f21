//! Asking a controller.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::documents::verb;
use crate::error::{ControlError, Error};
use crate::server::Mesh;

/// How long it is tried to reach a controller: one that died is replaced within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a controller may take to answer: longer than a server takes to come back. One that died does not answer at
/// all, and nobody says so.
const ANSWER: Duration = Duration::from_secs(15);
/// How long for a replay, or a move of much work.
const LONG_ANSWER: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Box<serde_json::value::RawValue>),
    Error(ControlError),
}

impl Mesh {
    /// Asks any controller and waits for its answer. Nothing is asked twice: a request that reached a controller and was
    /// not answered is reported, not repeated.
    ///
    /// # Errors
    /// [`Error::Control`] when the controller refuses; [`Error::NoController`] when none is there.
    pub async fn control<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        verb: &str,
        question: &Q,
    ) -> Result<A, Error> {
        self.control_within(PATIENCE, verb, question).await
    }

    /// As [`Mesh::control`], and looks for a controller for as long as `patience`.
    ///
    /// # Errors
    /// As [`Mesh::control`].
    pub async fn control_within<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        patience: Duration,
        verb: &str,
        question: &Q,
    ) -> Result<A, Error> {
        let subject = self.subjects().control(verb);
        let body = serde_json::to_vec(question).map_err(|error| Error::api("encoding a question", error))?;
        let body = Bytes::from(body);
        let answer = match verb {
            verb::MOVE | verb::PLAN => LONG_ANSWER,
            _ => ANSWER,
        };
        let until = tokio::time::Instant::now() + patience;
        let reply = loop {
            let request = Request::new().payload(body.clone()).timeout(Some(answer));
            match self.client().send_request(subject.clone(), request).await {
                Ok(reply) => break reply,
                Err(error) if error.kind() == RequestErrorKind::NoResponders && tokio::time::Instant::now() < until => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) if error.kind() == RequestErrorKind::NoResponders => return Err(Error::NoController),
                Err(error) => {
                    tracing::debug!(%error, verb, "a controller did not answer");
                    return Err(Error::NoAnswer {
                        what: format!("{verb} (it may have been done or not)"),
                    });
                }
            }
        };
        let unreadable = |error: serde_json::Error| Error::api(format!("reading the answer to {verb}"), error);
        match serde_json::from_slice::<Answer>(&reply.payload).map_err(unreadable)? {
            Answer::Ok(answer) => serde_json::from_str(answer.get()).map_err(unreadable),
            Answer::Error(error) => Err(Error::Control(error)),
        }
    }
}
