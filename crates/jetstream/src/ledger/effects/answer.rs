//! The answer to the submitter of an intent.
//!
//! In an open mesh whoever writes the last record answers. In a secured one only controllers do, as the records come by:
//! accounts let a submitter hear the account of the mesh, and an agent has no business to answer in another's name.

use async_nats::HeaderMap;
use baton_envelope::{
    Body, Effect, HEADER_INTENT, HEADER_REF, HEADER_STATUS, ObjectRef, PIECE_BYTES, Record, Status, check_answer,
    effects,
};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::{ControllerMesh, Mesh};

/// The queue group of the controllers that answer.
const ANSWERING: &str = "answers";

impl Mesh {
    /// Whether an answer may be published on `reply_to`. The submitter names the subject, and a worker or a controller
    /// publishes on it with its own permissions: it must not reach a stream of the mesh or the server's own subjects.
    pub fn may_answer(&self, reply_to: &str) -> bool {
        check_answer(reply_to, self.subjects().namespace()).is_ok()
    }

    /// Tells `reply_to` how the intent ended, unless that is for the controllers.
    pub(super) async fn answer(&self, record: &Record, reply_to: &str) {
        if !self.is_secured() {
            self.send_answer(record, reply_to).await;
        }
    }

    /// Tells `reply_to` how the intent ended, over core NATS: for whoever repeats a submit under a new subject, and for
    /// whoever asks. A caller that must not miss it reads the ledger.
    pub(crate) async fn send_answer(&self, record: &Record, reply_to: &str) {
        if !self.may_answer(reply_to) {
            tracing::warn!(%reply_to, intent = %record.intent, "refusing to publish an answer on this subject");
            return;
        }
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_INTENT, record.intent.as_str());
        headers.insert(HEADER_STATUS, record.snapshot.status.name());
        let snapshot = &record.snapshot;
        let body = match (&snapshot.result, &snapshot.result_ref, &snapshot.error) {
            (_, Some(object), _) => match Box::pin(self.object_to_answer(record, object)).await {
                Some(content) => content,
                None => {
                    headers.insert(HEADER_REF, "1");
                    serde_json::to_vec(object).unwrap_or_default().into()
                }
            },
            (Some(result), None, _) => Body::bytes(result, snapshot.result_encoding.as_deref())
                .unwrap_or_else(|| result.get().as_bytes().to_vec())
                .into(),
            (None, None, Some(error)) => serde_json::to_vec(error).unwrap_or_default().into(),
            (None, None, None) => Bytes::new(),
        };
        if let Err(error) = self
            .client()
            .publish_with_headers(reply_to.to_owned(), headers, body)
            .await
        {
            tracing::warn!(%error, %reply_to, intent = %record.intent, "cannot send the answer");
        }
    }
}

impl Mesh {
    /// The bytes that an object stands for as an answer; `None` where they are too many for one, or cannot be had now: then
    /// whoever asked gets the reference.
    async fn object_to_answer(&self, record: &Record, object: &ObjectRef) -> Option<Bytes> {
        if object.bytes > PIECE_BYTES as u64 {
            return None;
        }
        let tree = record.snapshot.root.as_ref().unwrap_or(&record.intent);
        match self.body_of(tree, object).await {
            Ok(Body { json, encoding }) => Some(
                Body::bytes(&json, encoding.as_deref())
                    .unwrap_or_else(|| json.get().as_bytes().to_vec())
                    .into(),
            ),
            Err(error) => {
                tracing::warn!(%error, intent = %record.intent, "the answer is the reference to the result");
                None
            }
        }
    }
}

impl ControllerMesh {
    /// Answers for whoever writes the last record of an intent, in a secured mesh. The controllers share this: one of them
    /// hears each record as it is stored. Ends when the connection was closed.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn answer_all(&self) -> Result<(), Error> {
        let subject = self.subjects().event_all();
        let heard = self.client().queue_subscribe(subject, ANSWERING.to_owned()).await;
        let mut records = heard.map_err(|error| Error::api("subscribe", error))?;
        while let Some(message) = records.next().await {
            // Most records end nothing, and their heads say so.
            let headers = message.headers.as_ref();
            let status = headers
                .and_then(|headers| headers.get(HEADER_STATUS))
                .map(|status| status.as_str());
            if status.is_some_and(|status| Status::OPEN.contains(&status)) {
                continue;
            }
            match Record::decode(&message.payload) {
                Ok(record) => {
                    for (effect, _) in effects(&record) {
                        if let Effect::Answer(to) = effect {
                            self.send_answer(&record, to).await;
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, subject = %message.subject, "a record that cannot be read is not answered");
                }
            }
        }
        Ok(())
    }
}
