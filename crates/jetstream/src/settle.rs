//! Writing what a committed record implies: tickets, and the answer to whoever waits. Everything here may be repeated.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, HeaderName, Subject};
use baton_envelope::{HEADER_INTENT, HEADER_LEDGER_SEQUENCE, HEADER_REISSUED, HEADER_STATUS, Record};
use bytes::Bytes;

use crate::api::Published;
use crate::error::Error;
use crate::group::{Lane, Message};
use crate::ledger::{Head, Sealed};
use crate::mesh::Mesh;
use crate::topology::DUPLICATE_WINDOW;

/// How long one settling pursues a ticket whose outcome is unknown; after that the delivery is left unacked, and its
/// redelivery settles again.
const PURSUIT: Duration = Duration::from_secs(30);

/// How long before the end of the server's duplicate window a repeated ticket counts as late already: the clocks of a
/// writer and of the server differ, and a publish may be pursued for a while.
const WINDOW_MARGIN: Duration = Duration::from_secs(45);

/// What settling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// A ticket stands in a work stream.
    Ticket,
    /// Nothing was left to write.
    Nothing,
}

impl Mesh {
    /// Writes the tickets and answers that the record at `seq` implies.
    ///
    /// # Errors
    /// When a ticket could not be written; the caller must not ack then.
    pub async fn settle(&self, record: &Record, seq: u64) -> Result<Settled, Error> {
        if record.envelope.is_some() {
            return self.settle_encoded(record, Self::encode(record)?, seq).await;
        }
        self.answer(record).await;
        Ok(Settled::Nothing)
    }

    /// As [`Mesh::settle`], with a record that is encoded already.
    ///
    /// # Errors
    /// As [`Mesh::settle`].
    pub async fn settle_sealed(&self, sealed: &Sealed, seq: u64) -> Result<Settled, Error> {
        self.settle_encoded(sealed, sealed.body(), seq).await
    }

    pub(crate) async fn settle_encoded(&self, record: &Record, body: Bytes, seq: u64) -> Result<Settled, Error> {
        if !record.implies_ticket() {
            self.answer(record).await;
            return Ok(Settled::Nothing);
        }
        // Past the window the server no longer knows the message id: a repeat would stand beside the first ticket, so it
        // is marked, and whoever takes it reads the ledger.
        let is_late = record.is_past_window(self.now(), DUPLICATE_WINDOW.saturating_sub(WINDOW_MARGIN));
        self.write_ticket(record, body, seq, is_late.then_some(seq)).await?;
        Ok(Settled::Ticket)
    }

    /// Writes the ticket of an open intent again from the ledger; whoever takes it reads the ledger before running it.
    ///
    /// # Errors
    /// When the envelope cannot be read or the ticket cannot be written.
    pub async fn reissue(&self, head: &Head) -> Result<(), Error> {
        let source = match head.record.snapshot.envelope_seq {
            Some(seq) if head.record.envelope.is_none() => self.record_at(&head.record.intent, seq).await?,
            Some(_) | None => head.clone(),
        };
        let body = Self::encode(&source.record)?;
        self.write_ticket(&source.record, body, source.seq, Some(head.seq))
            .await
    }

    async fn write_ticket(&self, record: &Record, body: Bytes, seq: u64, reissued: Option<u64>) -> Result<(), Error> {
        let (Some(envelope), Some(version)) = (&record.envelope, &record.snapshot.version) else {
            return Err(Error::api(
                "writing a ticket",
                "the record names no envelope or no version",
            ));
        };
        let subject = Subject::from(self.subjects().work(&envelope.to, version, envelope.priority));
        let message = || {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(HEADER_INTENT), record.intent.as_str());
            headers.insert(HeaderName::from_static(HEADER_LEDGER_SEQUENCE), seq.to_string());
            match reissued {
                // The id holds the head's sequence, so that two sweepers write one ticket, and a later sweep another.
                Some(head_seq) => {
                    headers.insert(NATS_MESSAGE_ID, format!("{}:{head_seq}", envelope.id));
                    headers.insert(HEADER_REISSUED, "1");
                }
                None => headers.insert(NATS_MESSAGE_ID, envelope.id.to_string()),
            }
            Message {
                subject: subject.clone(),
                headers,
                payload: body.clone(),
            }
        };
        let lane = self.work_lane(&envelope.to);
        match lane.write(message()).await? {
            Published::Stored { .. } => Ok(()),
            // Apart, so that the common case stays small.
            published @ (Published::WrongSequence | Published::Refused(_) | Published::Unknown) => {
                Box::pin(pursue(&lane, message(), published)).await
            }
        }
    }

    /// Whether an answer may be published there. Whoever submits names the subject, and a worker or a controller with
    /// its own permissions publishes on it: it must not reach a stream of the mesh, nor the server's own subjects.
    pub fn may_answer(&self, reply_to: &str) -> bool {
        let own = reply_to
            .strip_prefix(self.subjects().namespace().as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        !own && !reply_to.starts_with('$')
            && reply_to.split('.').all(|token| {
                !token.is_empty() && !token.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
            })
    }

    /// Tells `reply_to` how the intent ended. Core NATS: whoever must not miss it reads the ledger.
    async fn answer(&self, record: &Record) {
        let (true, Some(reply_to)) = (record.snapshot.status.is_terminal(), &record.snapshot.reply_to) else {
            return;
        };
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
            .publish_with_headers(reply_to.clone(), headers, body.into())
            .await
        {
            tracing::warn!(%error, %reply_to, intent = %record.intent, "the answer could not be sent");
        }
    }
}

/// Writes a ticket again until the server has it.
async fn pursue(lane: &Arc<Lane>, message: Message, mut published: Published) -> Result<(), Error> {
    let subject = message.subject.clone();
    let started = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(20);
    let mut full = None;
    loop {
        match published {
            Published::Stored { .. } => return Ok(()),
            // Unguarded, so this cannot be; treat it as unknown rather than lose the ticket.
            Published::WrongSequence | Published::Unknown => {}
            Published::Refused(refusal) if refusal.is_full() => {
                tracing::warn!(%subject, %refusal, "the work stream is full; the ticket waits");
                full = Some(refusal);
            }
            Published::Refused(refusal) => return Err(refusal.into()),
        }
        if started.elapsed() > PURSUIT {
            let what = format!("writing a ticket to {subject}");
            return Err(full.map_or(Error::NoAnswer { what }, Error::Refused));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
        published = lane.write(message.clone()).await?;
    }
}
