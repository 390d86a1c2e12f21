//! The answer to whoever waits for an intent.

use async_nats::HeaderMap;
use baton_envelope::{HEADER_INTENT, HEADER_STATUS, Record, check_answer};

use crate::server::Mesh;

impl Mesh {
    /// Whether an answer may be published there. Whoever submits names the subject, and a worker or a controller with
    /// its own permissions publishes on it: it must not reach a stream of the mesh, nor the server's own subjects.
    pub fn may_answer(&self, reply_to: &str) -> bool {
        check_answer(reply_to, self.subjects().namespace()).is_ok()
    }

    /// Tells `reply_to` how the intent ended. Core NATS: whoever must not miss it reads the ledger.
    pub(super) async fn answer(&self, record: &Record, reply_to: &str) {
        if !self.may_answer(reply_to) {
            tracing::warn!(%reply_to, intent = %record.intent, "an answer may not be published there");
            return;
        }
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_INTENT, record.intent.as_str());
        headers.insert(HEADER_STATUS, record.snapshot.status.name());
        let body = match (&record.snapshot.result, &record.snapshot.error) {
            (Some(result), _) => result.get().to_owned(),
            (None, Some(error)) => serde_json::to_string(error).unwrap_or_default(),
            (None, None) => String::new(),
        };
        if let Err(error) = self
            .client()
            .publish_with_headers(reply_to.to_owned(), headers, body.into())
            .await
        {
            tracing::warn!(%error, %reply_to, intent = %record.intent, "the answer could not be sent");
        }
    }
}
