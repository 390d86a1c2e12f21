//! Agents that are asked: requests outside of the streams, whose reply is the answer. Nothing of an ask is stored but the
//! intent that it becomes.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Subscriber};
use baton_envelope::control::{ControlError, HEADER_REQUEST_INFO, Reply, Unanswered};
use baton_envelope::{
    HEADER_INTENT, HEADER_STATUS, HEADER_WAIT, IntentId, RawIntent, RawRejection, Record, Status, Timestamp,
    check_answer,
};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{Select, select};

use crate::error::Error;
use crate::ledger::Head;
use crate::server::ControllerMesh;

/// The queue group that controllers share, so that each ask reaches one of them.
const GROUP: &str = "controllers";

/// Incoming asks.
#[derive(Debug)]
pub struct Asks {
    mesh: ControllerMesh,
    messages: Select<Subscriber, Subscriber>,
}

/// One ask.
#[derive(Debug)]
pub struct Ask {
    mesh: ControllerMesh,
    message: Message,
    /// The intake subject that takes the same work.
    intake: String,
    asked_at: Timestamp,
    derived_id: IntentId,
}

impl ControllerMesh {
    /// Joins the controllers that take asks.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn serve_asks(&self) -> Result<Asks, Error> {
        let subscribe = async |subject| {
            let subscribed = self.client().queue_subscribe(subject, GROUP.to_owned()).await;
            subscribed.map_err(|error| Error::api("subscribe", error))
        };
        let [open, of_accounts] = self.subjects().ask_all();
        let messages = select(subscribe(open).await?, subscribe(of_accounts).await?);
        self.round_trip().await?;
        Ok(Asks {
            mesh: self.clone(),
            messages,
        })
    }

    /// Tells `reply_to` how an intent ended, if it is a subject that may be told.
    pub async fn tell(&self, record: &Record, reply_to: &str) {
        self.send_answer(record, reply_to).await;
    }
}

impl Asks {
    /// The next ask; `None` when the connection was closed. One without a subject for its answer, or with one that
    /// belongs to the mesh or to the server, is dropped: nobody could be told.
    pub async fn next(&mut self) -> Option<Ask> {
        loop {
            let message = self.messages.next().await?;
            let subjects = self.mesh.subjects();
            let Some(intake) = subjects.intake_of_ask(&message.subject) else {
                continue;
            };
            let may_answer = |reply: &str| check_answer(reply, subjects.namespace()).is_ok();
            if !message.reply.as_ref().is_some_and(|reply| may_answer(reply)) {
                tracing::warn!(subject = %message.subject, reply = ?message.reply, "an ask that cannot be answered is dropped");
                continue;
            }
            return Some(Ask {
                asked_at: self.mesh.now(),
                derived_id: self.mesh.clock().intent_id(),
                mesh: self.mesh.clone(),
                message,
                intake,
            });
        }
    }
}

impl Ask {
    /// The subject on which it was asked, as whoever asks knows it.
    pub fn subject(&self) -> String {
        let subjects = self.mesh.subjects();
        let (_, rest) = subjects.intake(&self.message.subject);
        format!("{}.{rest}", subjects.namespace())
    }

    /// The ask as the raw intent that the same message would be in the intake. How long to wait is no part of it, nor is
    /// what the server tells of the way: whoever asks again is known by the rest.
    pub fn raw(&self) -> RawIntent<'_> {
        let mut raw = self.whole();
        raw.headers
            .retain(|(name, _)| ![HEADER_WAIT, HEADER_REQUEST_INFO].contains(name));
        raw
    }

    /// How long whoever asks waits.
    ///
    /// # Errors
    /// As [`RawIntent::wait`].
    pub fn wait(&self) -> Result<Duration, RawRejection> {
        self.whole().wait()
    }

    fn whole(&self) -> RawIntent<'_> {
        let headers = self.message.headers.iter().flat_map(HeaderMap::iter);
        RawIntent {
            subject: &self.intake,
            headers: headers
                .flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str())))
                .collect(),
            body: &self.message.payload,
            stored_at: self.asked_at,
            derived_id: self.derived_id.clone(),
        }
    }

    /// Answers with the end of the intent: its result, or its error.
    pub async fn end(self, head: &Head) {
        // A raw message that became no intent: the code stands where it stands in every refusal of a controller.
        if let (Some(_), Some(error)) = (&head.record.raw, &head.record.snapshot.error) {
            let refused = ControlError::of_rejection(&error.code, &error.message);
            return self.refuse(Some(&head.record.intent), refused).await;
        }
        if let Some(reply) = &self.message.reply {
            self.mesh.send_answer(&head.record, reply).await;
        }
    }

    /// Answers that the intent has not ended, and how to fetch its answer.
    pub async fn unanswered(self, head: &Head) {
        let (intent, snapshot) = (&head.record.intent, &head.record.snapshot);
        let told = Unanswered::of(intent, snapshot, head.seq, &self.subject());
        self.reply(Some(intent), Some(snapshot.status.name()), serde_json::to_vec(&told))
            .await;
    }

    /// Answers why there is no intent. `recorded` is the id under which the ledger has the message.
    pub async fn refuse(self, recorded: Option<&IntentId>, refused: ControlError) {
        let status = Status::Rejected {
            code: refused.code.clone(),
        };
        let body = serde_json::to_vec(&Reply::<()>::Error(refused));
        self.reply(recorded, recorded.map(|_| status.name()), body).await;
    }

    async fn reply(self, intent: Option<&IntentId>, status: Option<&str>, body: Result<Vec<u8>, serde_json::Error>) {
        let Some(to) = self.message.reply else { return };
        let mut headers = HeaderMap::new();
        if let Some(intent) = intent {
            headers.insert(HEADER_INTENT, intent.as_str());
        }
        if let Some(status) = status {
            headers.insert(HEADER_STATUS, status);
        }
        let body = Bytes::from(body.unwrap_or_default());
        if let Err(error) = self.mesh.client().publish_with_headers(to, headers, body).await {
            tracing::warn!(%error, "cannot answer an ask");
        }
    }
}
