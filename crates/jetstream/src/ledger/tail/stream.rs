//! Following any stream: opening a consumer, taking in messages, and noticing silence.

use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::consumer::IntoConsumerConfig as _;
use futures::FutureExt as _;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::audit::{AUDIT, Audit, SETTLE, audit, patience};
use super::mark::{Followable, LedgerMark};
use super::source::{Source, WHAT};
use crate::error::Error;
use crate::server::{AckPlace, Mesh, tail_config};

/// How long a consumer may be silent before it counts as lost. It lives on one server only, which may have died while
/// the server of this client lives on.
const SILENCE: Duration = Duration::from_millis(2500);
/// How long the delivery of a record that the ledger is known to have may take.
const OVERDUE: Duration = Duration::from_secs(3);
/// How many times, and how far apart, to ask a ledger again that seems to have lost records: a replica that has just
/// become the leader may still be catching up.
const SHORT_TRIES: usize = 4;
const SHORT_PAUSE: Duration = Duration::from_millis(500);

/// A message delivered by a [`Tail`].
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) seq: u64,
    /// When it was stored, in nanoseconds since the Unix epoch.
    pub(crate) stored: u64,
    pub(crate) message: Message,
}

/// The next messages of a stream.
#[derive(Debug)]
pub(crate) struct TailBatch {
    pub(crate) followed: Vec<Followed>,
    pub(crate) through: LedgerMark,
}

/// Follows a stream.
#[derive(Debug)]
pub(crate) struct Tail {
    mesh: Mesh,
    of: Followable,
    /// When the stream was created.
    ledger: String,
    pub(super) mark: LedgerMark,
    /// The last sequence of the ledger at the last check.
    pub(super) end: u64,
    ready: Vec<Followed>,
    replaced: bool,
    connections: watch::Receiver<u64>,
    source: Option<Source>,
}

impl Mesh {
    /// Follows the stream that was created at `ledger` from the message after `after` on.
    pub(crate) fn tail(&self, of: Followable, ledger: &str, after: LedgerMark) -> Tail {
        Tail {
            mesh: self.clone(),
            of,
            ledger: ledger.to_owned(),
            mark: after,
            end: 0,
            ready: Vec::new(),
            replaced: false,
            connections: self.connections(),
            source: None,
        }
    }
}

impl Tail {
    pub(super) const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// As [`LedgerTail::next_batch`], for any stream.
    pub(crate) async fn next_batch(&mut self) -> Result<Option<TailBatch>, Error> {
        loop {
            if !self.ready.is_empty() {
                return Ok(Some(self.take_batch()));
            }
            if self.replaced {
                return Ok(None);
            }
            let Some(source) = &mut self.source else {
                self.open().await?;
                continue;
            };
            if source.remaining == 0
                && let Err(error) = source.pull(&self.mesh).await
            {
                self.source = None;
                return Err(error);
            }
            let wake_at = source.audit_at.min(source.heard + SILENCE);
            tokio::select! {
                biased;
                messages = source.next_messages() => {
                    if let Err(error) = self.take_in(messages).await {
                        self.source = None;
                        if self.ready.is_empty() {
                            return Err(error);
                        }
                        tracing::debug!(%error, "following the ledger again");
                    }
                }
                changed = self.connections.changed() => {
                    changed.map_err(|_| Error::api(WHAT, "the connection was closed"))?;
                    self.source = None;
                }
                () = tokio::time::sleep_until(wake_at) => {
                    if let Some(batch) = self.look().await? {
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }

    fn take_batch(&mut self) -> TailBatch {
        TailBatch {
            followed: std::mem::take(&mut self.ready),
            through: self.mark,
        }
    }

    /// Creates a consumer. Stops if the connection is replaced: a request on the old one gets no answer.
    async fn open(&mut self) -> Result<(), Error> {
        self.connections.borrow_and_update();
        let mut connections = self.connections.clone();
        tokio::select! {
            biased;
            opened = self.try_open() => opened,
            Ok(()) = connections.changed() => Ok(()),
        }
    }

    async fn try_open(&mut self) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Made {
            name: String,
        }
        let mut tries = 0;
        self.end = loop {
            let end = self.mesh.stream_end(&self.of.stream).await?;
            self.replaced = end.created != self.ledger || (end.last_seq < self.mark.seq && tries >= SHORT_TRIES);
            if self.replaced {
                return Ok(());
            }
            if end.last_seq >= self.mark.seq {
                break end.last_seq;
            }
            tries += 1;
            tokio::time::sleep(SHORT_PAUSE).await;
        };
        let stream = self.of.stream.clone();
        let comparing = self.mark.stored > 0;
        let start = if comparing { self.mark.seq } else { self.mark.seq + 1 };
        let config = tail_config(self.of.headers_only, start).into_consumer_config();
        let request = serde_json::json!({ "stream_name": stream, "config": config });
        let made: Made = self.mesh.ask(&format!("CONSUMER.CREATE.{stream}"), &request).await??;
        let client = self.mesh.client().clone();
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await;
        let now = Instant::now();
        let api = self.mesh.api_prefix();
        self.source = Some(Source {
            client,
            replies: replies.map_err(|error| Error::api(WHAT, error))?,
            inbox,
            next_subject: format!("{api}.CONSUMER.MSG.NEXT.{stream}.{}", made.name),
            delete_subject: format!("{api}.CONSUMER.DELETE.{stream}.{}", made.name),
            delivered: 0,
            comparing,
            pulls: 0,
            remaining: 0,
            got: 0,
            heard: now,
            audit_at: now + patience(self.mark.seq, self.end),
            suspect: false,
        });
        Ok(())
    }

    /// Moves messages to where the caller gets them, and requests more before the caller processes these.
    async fn take_in(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        for message in messages {
            self.take_one(message)?;
        }
        match &mut self.source {
            Some(source) if source.remaining == 0 => source.pull(&self.mesh).await,
            Some(_) | None => Ok(()),
        }
    }

    fn take_one(&mut self, message: Message) -> Result<(), Error> {
        // None: an earlier message made this consumer doubtful.
        let Some(source) = &mut self.source else { return Ok(()) };
        source.heard = Instant::now();
        if let Some(status) = message.status.map(|status| status.as_u16()) {
            return source.hear(status, &message);
        }
        let place = message.reply.as_deref().and_then(AckPlace::parse);
        let place = place.ok_or_else(|| Error::api(WHAT, "a message that is no delivery"))?;
        if place.consumer_seq != source.delivered + 1 {
            return Err(Error::api(WHAT, "deliveries are missing"));
        }
        source.delivered = place.consumer_seq;
        source.remaining = source.remaining.saturating_sub(1);
        source.got += 1;
        source.suspect = false;
        source.audit_at = source.heard + patience(place.stream_seq, self.end);
        let compared = std::mem::take(&mut source.comparing) && place.stream_seq == self.mark.seq;
        if compared && place.stored == self.mark.stored {
            return Ok(());
        }
        // There is another record at the mark, or the sequence went backwards.
        if compared || place.stream_seq <= self.mark.seq {
            self.replaced = true;
            self.source = None;
            return Ok(());
        }
        self.mark = LedgerMark {
            seq: place.stream_seq,
            stored: place.stored,
        };
        self.ready.push(Followed {
            seq: place.stream_seq,
            stored: place.stored,
            message,
        });
        Ok(())
    }

    /// Checks whether silence is justified. Purged records are never delivered, so waiting for their sequence would
    /// never end.
    async fn look(&mut self) -> Result<Option<TailBatch>, Error> {
        let Some(source) = &mut self.source else {
            return Ok(None);
        };
        if source.heard + SILENCE <= Instant::now() {
            tracing::debug!("the consumer that follows the ledger is silent, creating another");
            self.source = None;
            return Ok(None);
        }
        let (mesh, mark, mut connections) = (self.mesh.clone(), self.mark, self.connections.clone());
        let audit = tokio::select! {
            biased;
            audit = audit(&mesh, &self.of, &self.ledger, mark) => audit,
            Ok(()) = connections.changed() => Ok(Audit::Doubtful),
        };
        source.audit_at = Instant::now() + AUDIT;
        match audit {
            Ok(Audit::AtEnd) => {}
            // A record could have been in flight and purged since; then it has arrived by now.
            Ok(Audit::Gone(end)) => match tokio::task::unconstrained(source.next_messages()).now_or_never() {
                Some(messages) => {
                    source.audit_at = Instant::now() + SETTLE;
                    self.take_in(messages).await?;
                }
                None => {
                    self.mark = LedgerMark { seq: end, stored: 0 };
                    return Ok(Some(self.take_batch()));
                }
            },
            Ok(Audit::More(end)) if !source.suspect => {
                self.end = end;
                source.suspect = true;
                source.audit_at = Instant::now() + OVERDUE;
            }
            Ok(Audit::More(_) | Audit::Doubtful) => self.source = None,
            Err(error) => {
                self.source = None;
                return Err(error);
            }
        }
        Ok(None)
    }
}
