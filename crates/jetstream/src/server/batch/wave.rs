//! Sending what waits: as one atomic batch where that pays, else one by one.

use std::sync::atomic::Ordering;

use futures::future::join_all;

use super::WriteQueue;
use super::message::{Message, Waiting};
use super::pace::{BUSY, BatchPolicy};
use crate::server::publish::{Published, publish_acked};

/// The server's word that the stream takes no batches.
const NOT_ENABLED: u64 = 10174;

enum Batch {
    Stored { last: u64 },
    Unheard,
    Unknown,
    Refused,
}

impl WriteQueue {
    pub(super) async fn send_wave(&self, wave: Vec<Waiting>) {
        if wave.len() >= BUSY && self.takes_batches.load(Ordering::Relaxed) {
            match self.send_batch(&wave).await {
                Batch::Stored { last } => {
                    let first = last.saturating_add(1).saturating_sub(wave.len() as u64);
                    for (seq, waiting) in (first..).zip(wave) {
                        waiting.answer.send(Ok(Published::Stored { seq })).ok();
                    }
                    return;
                }
                Batch::Unheard => {
                    for waiting in wave {
                        waiting.answer.send(Ok(Published::Unheard)).ok();
                    }
                    return;
                }
                Batch::Unknown => {
                    for waiting in wave {
                        waiting.answer.send(Ok(Published::Unknown)).ok();
                    }
                    return;
                }
                Batch::Refused => {}
            }
        }
        join_all(wave.into_iter().map(|Waiting { message, answer }| async {
            // Whoever wrote may be gone; what was written counts all the same.
            answer.send(message.send(&self.link).await).ok();
        }))
        .await;
    }

    async fn send_batch(&self, wave: &[Waiting]) -> Batch {
        // Unique, as a batch id must be; the last token is short enough for one.
        let inbox = self.link.client().new_inbox();
        let id = inbox.rsplit('.').next().unwrap_or(&inbox);
        let Some((last, others)) = wave.split_last() else {
            return Batch::Refused;
        };
        for (at, waiting) in (1_u64..).zip(others) {
            let message = waiting.message.clone();
            let mut headers = message.headers;
            headers.insert("Nats-Batch-Id", id);
            headers.insert("Nats-Batch-Sequence", at.to_string());
            let sent = self
                .link
                .client()
                .publish_with_headers(message.subject, headers, message.payload);
            if let Err(error) = sent.await {
                // Nothing was committed, and without the last message nothing will be.
                tracing::debug!(%error, "a message of a batch could not be sent");
                return Batch::Refused;
            }
        }
        let Message {
            subject,
            mut headers,
            payload,
        } = last.message.clone();
        headers.insert("Nats-Batch-Id", id);
        headers.insert("Nats-Batch-Sequence", wave.len().to_string());
        headers.insert("Nats-Batch-Commit", "1");
        match publish_acked(&self.link, subject, headers, payload).await {
            Ok(Published::Stored { seq }) => Batch::Stored { last: seq },
            Ok(Published::Unheard) => Batch::Unheard,
            Ok(Published::Unknown) => Batch::Unknown,
            // One guard does not hold, or one message id is known: which one is told when each goes by itself.
            Ok(Published::WrongSequence) => Batch::Refused,
            Ok(Published::Refused(refusal)) => {
                if refusal.code == NOT_ENABLED {
                    tracing::debug!(%refusal, "the stream takes no batches");
                    self.takes_batches.store(false, Ordering::Relaxed);
                    if self.is_measured {
                        // Nothing is measured any more, and those beside must not go on with what was chosen last.
                        *self.pace() = BatchPolicy::new();
                    }
                }
                Batch::Refused
            }
            Err(error) => {
                tracing::debug!(%error, "a batch could not be sent");
                Batch::Refused
            }
        }
    }
}
