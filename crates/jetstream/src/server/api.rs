//! Requests to the JetStream API.

use std::time::Duration;

use async_nats::Request;
use bytes::Bytes;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;

use tokio::time::Instant;

use super::mesh::Mesh;
use super::publish::{ApiError, REQUEST_TIMEOUT};
use crate::error::{Error, Refusal};

/// After how long without an answer a cluster is asked again: what reaches a stream while it elects its leader is dropped, and
/// the leader that comes knows nothing of it. Elections take 4 s and more, answers of a busy server rarely a second.
const ASK_AGAIN: Duration = Duration::from_millis(1_500);
/// The shortest pause between two questions.
const PAUSE: Duration = Duration::from_millis(50);

impl Mesh {
    /// Asks the JetStream API and reads its JSON answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        payload: &serde_json::Value,
    ) -> Result<Result<T, Refusal>, Error> {
        self.ask_within(what, payload, REQUEST_TIMEOUT).await
    }

    /// As [`Mesh::ask`], with a bound of the caller's.
    pub(crate) async fn ask_within<T: DeserializeOwned>(
        &self,
        what: &str,
        payload: &serde_json::Value,
        patience: Duration,
    ) -> Result<Result<T, Refusal>, Error> {
        let request = Request::new()
            .payload(Bytes::from(payload.to_string()))
            .timeout(Some(patience));
        let asked = self.clock().now();
        let subject = format!("{}.{what}", self.api_prefix());
        let reply = match self.link().request(subject.into(), request).await {
            Ok(reply) => reply,
            Err(error) if error.is_unheard() => return Err(Box::pin(self.why_unheard(what)).await),
            Err(error) => return Err(error.into_error(what)),
        };
        let answer: serde_json::Value =
            serde_json::from_slice(&reply.payload).map_err(|error| Error::api(what, error))?;
        if let Some(told) = answer.get("ts").and_then(serde_json::Value::as_str)
            && let Ok(told) = told.parse()
        {
            self.learn_time(told, asked, self.clock().now());
        }
        if let Some(error) = answer.get("error") {
            let error = ApiError::deserialize(error).map_err(|error| Error::api(what, error))?;
            return Ok(Err(Refusal {
                code: error.err_code,
                description: error.description,
            }));
        }
        serde_json::from_value(answer)
            .map(Ok)
            .map_err(|error| Error::api(what, error))
    }

    /// As [`Mesh::ask_within`], for a question that changes nothing: where a stream has more than one copy, it is asked again.
    pub(crate) async fn read_within<T: DeserializeOwned>(
        &self,
        what: &str,
        payload: &serde_json::Value,
        patience: Duration,
    ) -> Result<Result<T, Refusal>, Error> {
        if self.replicas() == 1 {
            return self.ask_within(what, payload, patience).await;
        }
        let until = Instant::now() + patience;
        loop {
            let asked = Instant::now();
            let left = until.saturating_duration_since(asked);
            match self.ask_within(what, payload, left.min(ASK_AGAIN)).await {
                Err(Error::NoAnswer { .. }) if asked + ASK_AGAIN < until => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }
}
