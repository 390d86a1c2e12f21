//! The audit of all intents.

use std::collections::HashMap;
use std::time::Duration;

use baton_envelope::{Audit, AuditReport, HEADER_INTENT, HEADER_PART, HEADER_PREVIOUS_PART, Link, Message};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::message;
use crate::error::Error;
use crate::server::{Mesh, Stored, header_u64};

/// How many threads verify. Each takes a share of the intents.
const THREADS: usize = 2;
/// How many messages may wait for a thread.
const WAITING: usize = 4_000;

/// What is read, for the thread that verifies it.
enum Item {
    Record(Message),
    /// A message of the archive, and all of a bundle where it is the last part of one.
    Archived(Message, Option<Vec<u8>>),
}

impl Mesh {
    /// Audits the ledger, the archive and the checkpoints. `tell` hears from time to time how many messages were read.
    ///
    /// The checkpoints are read first, then the ledger, then the archive: what moves meanwhile is found in one of them.
    ///
    /// # Errors
    /// When this process has no trusted keys, or the server does not answer.
    pub async fn audit(&self, tell: impl Fn(u64) + Send) -> Result<AuditReport, Error> {
        let audit = self.auditor().await?;
        let s = self.subjects();
        let mut checkpoints = Vec::new();
        match self
            .read_all(&s.audit_stream(), &s.checkpoint(), async |stored: Stored| {
                checkpoints.push(message(&stored));
                Ok(())
            })
            .await
        {
            // No controller has signed yet.
            Ok(()) | Err(Error::NoStream(_)) => {}
            Err(error) => return Err(error),
        }
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel(WAITING / THREADS)).unzip();
        let verifying = tokio::task::spawn_blocking(move || verify(&audit, receivers, &checkpoints));
        let read = self.feed(&senders, tell).await;
        drop(senders);
        let report = verifying.await.map_err(|error| Error::api("the audit", error))?;
        read.map(|()| report)
    }

    async fn feed(&self, to: &[mpsc::Sender<Item>], tell: impl Fn(u64) + Send) -> Result<(), Error> {
        let s = self.subjects();
        let gone = || Error::api("the audit", "a thread that verifies has ended");
        let mut count = 0;
        let told = &mut count;
        self.read_all(&s.ledger_stream(), &s.ledger_all(), async |stored: Stored| {
            *told += 1;
            if *told % 100_000 == 0 {
                tell(*told);
            }
            let sender = share(to, &stored.subject).ok_or_else(gone)?;
            sender.send(Item::Record(message(&stored))).await.map_err(|_| gone())
        })
        .await?;
        let mut parts: HashMap<u64, Vec<u8>> = HashMap::new();
        let (all, stream) = (s.archive_all(), s.archive_stream());
        let read = self.read_all(&stream, &all, async |stored: Stored| {
            *told += 1;
            let text = |name: &str| stored.headers.as_ref().and_then(|headers| headers.get(name));
            let part = text(HEADER_PART).map(|part| part.as_str().to_owned());
            let previous = header_u64(stored.headers.as_ref(), HEADER_PREVIOUS_PART);
            let mut bytes = previous
                .and_then(|previous| parts.remove(&previous))
                .unwrap_or_default();
            bytes.extend_from_slice(&stored.body);
            let is_last = part.is_none_or(|part| part.split_once('/').is_some_and(|(part, parts)| part == parts));
            let intent = text(HEADER_INTENT)
                .map(|intent| intent.as_str().to_owned())
                .unwrap_or_default();
            let subject = intent.parse().map(|intent| s.ledger(&intent)).unwrap_or_default();
            let whole = if is_last {
                Some(bytes)
            } else {
                parts.insert(stored.seq, bytes);
                None
            };
            let sender = share(to, &subject).ok_or_else(gone)?;
            sender
                .send(Item::Archived(message(&stored), whole))
                .await
                .map_err(|_| gone())
        });
        match read.await {
            // The mesh is older than the archive.
            Err(Error::NoStream(_)) => Ok(()),
            read => read,
        }
    }

    /// Reads a stream from its first message to the one that is the last at the beginning.
    async fn read_all(
        &self,
        stream: &str,
        subjects: &str,
        mut each: impl AsyncFnMut(Stored) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let end = match self.stream_end(stream).await {
            Ok(end) => end,
            Err(Error::Refused(_)) => return Err(Error::NoStream(stream.to_owned())),
            Err(error) => return Err(error),
        };
        let mut next = end.first_seq.max(1);
        while next <= end.last_seq {
            let page = self.whole_page(stream, subjects, next).await?;
            let Some(last) = page.last() else { break };
            next = last.seq + 1;
            for stored in page {
                each(stored).await?;
            }
        }
        Ok(())
    }

    /// How long the archive keeps a bundle; zero for ever.
    pub(super) async fn archive_max_age(&self) -> Result<Duration, Error> {
        #[derive(Deserialize)]
        struct Info {
            config: Config,
        }
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            max_age: u64,
        }
        let what = format!("STREAM.INFO.{}", self.subjects().archive_stream());
        let info = self.ask::<Info>(&what, &serde_json::json!({})).await?;
        Ok(info.map_or(Duration::ZERO, |info| Duration::from_nanos(info.config.max_age)))
    }
}

/// The thread that verifies all that is on a subject.
fn share<'s>(to: &'s [mpsc::Sender<Item>], subject: &str) -> Option<&'s mpsc::Sender<Item>> {
    let [first, ..] = *Link::of_bytes(subject.as_bytes()).bytes();
    to.get(usize::from(first) % to.len().max(1))
}

fn verify(audit: &Audit, receivers: Vec<mpsc::Receiver<Item>>, checkpoints: &[Message]) -> AuditReport {
    let run = |mut receiver: mpsc::Receiver<Item>| {
        let mut part = audit.part();
        while let Some(item) = receiver.blocking_recv() {
            match item {
                Item::Record(message) => part.ledger(&message),
                Item::Archived(message, bytes) => {
                    part.archived(&message);
                    if let Some(bytes) = bytes {
                        part.bundle(&message, &bytes);
                    }
                }
            }
        }
        part
    };
    let parts = std::thread::scope(|scope| {
        let running: Vec<_> = receivers
            .into_iter()
            .map(|receiver| scope.spawn(move || run(receiver)))
            .collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    audit.conclude(parts, checkpoints)
}
