//! Transitions as they happen: the ledger's records, republished on plain subjects.

use async_nats::Subscriber;
use baton_envelope::{Entry, IntentId, Record};
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::Mesh;
use crate::server::{guard, header_u64, signature};

/// Records as they are stored. At most once: read the ledger if you must not miss one.
#[derive(Debug)]
pub struct Events {
    mesh: Mesh,
    messages: Subscriber,
}

/// A record as it was republished.
#[derive(Debug, Clone)]
pub struct LiveRecord {
    /// The record.
    pub record: Record,
    /// Its sequence in the ledger stream.
    pub seq: u64,
}

impl Events {
    /// The next readable record; `None` when the connection was closed.
    pub async fn next(&mut self) -> Option<LiveRecord> {
        loop {
            let message = self.messages.next().await?;
            match Record::decode(&message.payload).map_err(|error| error.to_string()) {
                Ok(record) => {
                    if let Err(problem) = self.mesh.verify_event(&record, &message) {
                        tracing::warn!(intent = %record.intent, problem, "an event is void");
                        continue;
                    }
                    let seq = header_u64(message.headers.as_ref(), "Nats-Sequence").unwrap_or(0);
                    return Some(LiveRecord { record, seq });
                }
                Err(error) => tracing::warn!(%error, subject = %message.subject, "an event cannot be read"),
            }
        }
    }
}

impl Mesh {
    /// The records of one intent, or of all, from now on.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn events(&self, intent: Option<&IntentId>) -> Result<Events, Error> {
        let events = self.listen(intent).await?;
        // The server must know the subscription before the caller causes the event that it waits for.
        self.round_trip().await?;
        Ok(events)
    }

    /// As [`Mesh::events`], but starting only with the next request on this connection.
    pub(crate) async fn listen(&self, intent: Option<&IntentId>) -> Result<Events, Error> {
        let subject = intent.map_or_else(|| self.subjects().event_all(), |intent| self.subjects().event(intent));
        let events = self
            .client()
            .subscribe(subject)
            .await
            .map_err(|error| Error::api("subscribe", error))?;
        Ok(Events {
            mesh: self.clone(),
            messages: events,
        })
    }

    /// Verifies a record as it was republished, where the mesh signs.
    fn verify_event(&self, record: &Record, message: &async_nats::Message) -> Result<(), String> {
        let Some(rules) = self.rules() else { return Ok(()) };
        let headers = message.headers.as_ref();
        let entry = Entry {
            subject: &self.subjects().ledger(&record.intent),
            seq: header_u64(headers, "Nats-Sequence").unwrap_or(0),
            stored_at: None,
            guard: guard(headers),
            signature: signature(headers),
            body: &message.payload,
        };
        rules.check(&entry, record).map(drop)
    }
}
