//! Writing a ticket, the first time or again, until the server has it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{HeaderMap, HeaderName, Subject};
use baton_envelope::{AgentName, HEADER_INTENT, HEADER_LEDGER_SEQUENCE, HEADER_REISSUED, HEADER_SIGNATURE, Record};
use bytes::Bytes;

use crate::error::{Error, Source};
use crate::server::{Mesh, Message, Published, UNCONFIRMED, Unheard, WriteQueue};

/// How long one settling pursues a ticket whose outcome is unknown. After that the delivery stays unacked, and its
/// redelivery settles again.
const PURSUIT: Duration = Duration::from_secs(30);

/// Which copy of a ticket is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum TicketCopy {
    /// The one that the record owes.
    First,
    /// Another one, for one that is lost.
    Again {
        /// The sequence of the present head.
        head_seq: u64,
    },
    /// One that was withheld.
    LetThrough {
        /// The sequence of the present head.
        head_seq: u64,
        /// The revision of the breaker that lets it through.
        breaker: u64,
    },
}

impl Mesh {
    pub(super) async fn write_ticket(
        &self,
        record: &Record,
        (body, signature): (Bytes, Option<&str>),
        seq: u64,
        copy: TicketCopy,
    ) -> Result<(), Error> {
        let (Some(envelope), Some(version)) = (&record.envelope, &record.snapshot.version) else {
            return Err(Error::api(
                "writing a ticket",
                "the record names no envelope or no version",
            ));
        };
        // Whoever owes it, nobody writes it: the leader does when the breaker is closed.
        if !matches!(copy, TicketCopy::LetThrough { .. }) && self.routes().withholds(&envelope.to, version) {
            tracing::debug!(intent = %record.intent, to = %envelope.to, %version, "its ticket is withheld: the breaker is open");
            return Ok(());
        }
        let subject = Subject::from(self.subjects().work(&envelope.to, version, envelope.priority));
        let message = || {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(HEADER_INTENT), record.intent.as_str());
            headers.insert(HeaderName::from_static(HEADER_LEDGER_SEQUENCE), seq.to_string());
            if let Some(signature) = signature {
                headers.insert(HeaderName::from_static(HEADER_SIGNATURE), signature);
            }
            let id = match copy {
                TicketCopy::First => envelope.id.to_string(),
                // The id contains the head's sequence, so that two sweepers write one ticket and a later sweep another.
                TicketCopy::Again { head_seq } => format!("{}:{head_seq}", envelope.id),
                // The server may know the id of a copy that was withdrawn when the breaker opened.
                TicketCopy::LetThrough { head_seq, breaker } => format!("{}:{head_seq}:b{breaker}", envelope.id),
            };
            headers.insert(NATS_MESSAGE_ID, id);
            if !matches!(copy, TicketCopy::First) {
                headers.insert(HEADER_REISSUED, "1");
            }
            Message {
                subject: subject.clone(),
                headers,
                payload: body.clone(),
            }
        };
        let queue = self.work_queue(&envelope.to);
        match queue.write(message()).await? {
            Published::Stored { .. } => Ok(()),
            // Boxed, so that the common case stays small.
            published
            @ (Published::WrongSequence | Published::Refused(_) | Published::Unheard | Published::Unknown) => {
                let stream = self.subjects().work_stream(&envelope.to);
                let pursued = Box::pin(self.pursue_ticket(&queue, &stream, message(), published)).await;
                match pursued {
                    Err(Error::NoAnswer { what, source }) => Err(self.why_unstored(&envelope.to, what, source).await),
                    pursued => pursued,
                }
            }
        }
    }
}

impl Mesh {
    /// Why a ticket was not confirmed: whether the server tells of the stream at all.
    async fn why_unstored(&self, agent: &AgentName, what: String, source: Source) -> Error {
        let stream = self.subjects().work_stream(agent);
        let asked = self
            .ask::<serde::de::IgnoredAny>(&format!("STREAM.INFO.{stream}"), &serde_json::json!({}))
            .await;
        match asked {
            Ok(Ok(_)) => Error::NotStored { what },
            Ok(Err(_)) | Err(_) => Error::NoAnswer { what, source },
        }
    }

    /// Writes a ticket again until the server has it.
    async fn pursue_ticket(
        &self,
        queue: &Arc<WriteQueue>,
        stream: &str,
        message: Message,
        mut published: Published,
    ) -> Result<(), Error> {
        let subject = message.subject.clone();
        let started = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(20);
        let mut full = None;
        let mut unheard = Unheard::default();
        loop {
            match published {
                Published::Stored { .. } => return Ok(()),
                Published::Unheard => {
                    if let Some(denied) = unheard.on(self, &subject, stream).await {
                        return Err(denied);
                    }
                }
                // Impossible for an unguarded write; treat it as unknown rather than lose the ticket.
                Published::WrongSequence | Published::Unknown => {}
                Published::Refused(refusal) if refusal.is_full() => {
                    tracing::warn!(%subject, %refusal, "the work stream is full; the ticket waits");
                    full = Some(refusal);
                }
                Published::Refused(refusal) => return Err(refusal.into()),
            }
            if started.elapsed() > PURSUIT {
                let what = format!("writing a ticket to {subject}");
                return Err(full.map_or_else(|| Error::no_answer(what, UNCONFIRMED), Error::Refused));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
            published = queue.write(message.clone()).await?;
        }
    }
}
