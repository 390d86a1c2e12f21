//! The answer to the submitter of an intent.

use async_nats::HeaderMap;
use baton_envelope::{Body, HEADER_INTENT, HEADER_STATUS, Record, check_answer};

use crate::server::Mesh;

impl Mesh {
    /// Whether an answer may be published on `reply_to`. The submitter names the subject, and a worker or a controller
    /// publishes on it with its own permissions: it must not reach a stream of the mesh or the server's own subjects.
    pub fn may_answer(&self, reply_to: &str) -> bool {
        check_answer(reply_to, self.subjects().namespace()).is_ok()
    }

    /// Tells `reply_to` how the intent ended, over core NATS. A caller that must not miss it reads the ledger.
    pub(super) async fn answer(&self, record: &Record, reply_to: &str) {
        if !self.may_answer(reply_to) {
            tracing::warn!(%reply_to, intent = %record.intent, "refusing to publish an answer on this subject");
            return;
        }
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_INTENT, record.intent.as_str());
        headers.insert(HEADER_STATUS, record.snapshot.status.name());
        let snapshot = &record.snapshot;
        let body = match (&snapshot.result, &snapshot.error) {
            (Some(result), _) => Body::bytes(result, snapshot.result_encoding.as_deref())
                .unwrap_or_else(|| result.get().as_bytes().to_vec()),
            (None, Some(error)) => serde_json::to_vec(error).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        if let Err(error) = self
            .client()
            .publish_with_headers(reply_to.to_owned(), headers, body.into())
            .await
        {
            tracing::warn!(%error, %reply_to, intent = %record.intent, "cannot send the answer");
        }
    }
}
