//! Following the ledger: every record, in order, from a place on, for as long as anyone cares to.
//!
//! The client's own ordered consumer is silent for a quarter of a minute after a restart of the server, so this one is
//! our own: an ephemeral consumer that keeps nothing, thrown away and made anew after the last record that came,
//! whenever anything about it is doubtful. What was delivered is known by the stream's sequence alone, so that nothing
//! is skipped and nothing comes twice.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ack_place::AckPlace;
use crate::error::Error;
use crate::mesh::Mesh;

/// How many records are asked for at a time, and given at a time at most.
const BATCH: usize = 1000;
/// How many bytes are asked for at a time, so that large records do not fill the memory.
const PULL_BYTES: usize = 16 * 1024 * 1024;
/// How long a pull waits at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that a waiting pull is still known to it.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After how long without a word the consumer is taken for lost: it lives on one server only, which may have died
/// while the one that this client is connected to lives on.
const SILENCE: Duration = Duration::from_millis(2500);
/// How long the server keeps a consumer that nobody pulls from.
const INACTIVE: Duration = Duration::from_secs(10);
/// How long nothing may come while the ledger seems to have more, until it is looked what is there.
const SETTLE: Duration = Duration::from_millis(100);
/// How often an idle tail looks whether it is at the end indeed.
const AUDIT: Duration = Duration::from_secs(5);
/// How long a record that is known to stand in the ledger may take to be delivered.
const OVERDUE: Duration = Duration::from_secs(3);
/// How often, and how far apart, a ledger that seems to have lost records is asked again: a replica that has just
/// become the leader may not have caught up with itself.
const SHORT_TRIES: usize = 4;
const SHORT_PAUSE: Duration = Duration::from_millis(500);

const WHAT: &str = "following the ledger";

/// The end of the ledger, and which ledger it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEnd {
    /// The sequence of the last record that was ever stored.
    pub last_seq: u64,
    /// The sequence of the first record that is still there.
    pub first_seq: u64,
    /// When the stream was created, as the server writes it. A stream that was deleted and made again counts from 1
    /// again: only this tells it from the one before.
    pub created: String,
}

/// A place in the ledger up to which everything is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerMark {
    /// The sequence; 0 is the beginning.
    pub seq: u64,
    /// When the record there was stored, in nanoseconds since the Unix epoch; 0 where that is not known. By it a ledger
    /// that lost its last records in a power cut, and has others at their place now, is noticed.
    pub stored: u64,
}

/// The next records of the ledger.
#[derive(Debug)]
pub struct LedgerBatch {
    /// Sequence and body of each, in order. May be empty: then what stood between was purged.
    pub records: Vec<(u64, Bytes)>,
    /// Everything up to here is known now.
    pub through: LedgerMark,
}

/// Follows the ledger.
#[derive(Debug)]
pub struct LedgerTail(Tail);

/// A message that was delivered by a [`Tail`].
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

/// Which stream is followed.
#[derive(Debug, Clone)]
pub(crate) struct Followable {
    pub(crate) stream: String,
    /// All of its subjects.
    pub(crate) subjects: String,
    /// Whether the bodies are left out.
    pub(crate) headers_only: bool,
}

/// Follows a stream.
#[derive(Debug)]
pub(crate) struct Tail {
    mesh: Mesh,
    of: Followable,
    /// When the stream was created.
    ledger: String,
    mark: LedgerMark,
    /// The last sequence of the ledger when that was last looked at.
    end: u64,
    ready: Vec<Followed>,
    replaced: bool,
    connections: watch::Receiver<u64>,
    source: Option<Source>,
}

/// A consumer, and the pull that waits there.
#[derive(Debug)]
struct Source {
    client: Client,
    replies: Subscriber,
    inbox: String,
    next_subject: String,
    delete_subject: String,
    /// The consumer's own count of what it delivered: has no gaps, while the sequence in the stream may.
    delivered: u64,
    /// The record at the mark is to come first, to be compared.
    comparing: bool,
    pulls: u64,
    remaining: usize,
    got: usize,
    heard: Instant,
    audit_at: Instant,
    /// A record that was not delivered is known to stand in the ledger.
    suspect: bool,
}

/// What an idle tail found out.
enum Audit {
    /// It is at the end.
    AtEnd,
    /// Nothing stands between the mark and this sequence.
    Gone(u64),
    /// There are records that did not come yet.
    More(u64),
    /// The ledger is another one, or shorter than it was.
    Doubtful,
}

impl Mesh {
    /// The end of the ledger, as its leader knows it.
    ///
    /// # Errors
    /// When there is no ledger, or the server does not answer.
    pub async fn ledger_end(&self) -> Result<LedgerEnd, Error> {
        self.stream_end(&self.subjects().ledger_stream()).await
    }

    /// The end of a stream, as its leader knows it.
    pub(crate) async fn stream_end(&self, stream: &str) -> Result<LedgerEnd, Error> {
        #[derive(Deserialize)]
        struct Info {
            created: String,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
            first_seq: u64,
        }
        let what = format!("STREAM.INFO.{stream}");
        let info: Info = self.ask(&what, &serde_json::json!({})).await??;
        Ok(LedgerEnd {
            last_seq: info.state.last_seq,
            first_seq: info.state.first_seq,
            created: info.created,
        })
    }

    /// Follows the ledger that was created at `ledger` from the record after `after` on.
    pub fn tail_ledger(&self, ledger: &str, after: LedgerMark) -> LedgerTail {
        let of = Followable {
            stream: self.subjects().ledger_stream(),
            subjects: self.subjects().ledger_all(),
            headers_only: false,
        };
        LedgerTail(self.tail(of, ledger, after))
    }

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

    /// Whether any message stands in a stream from a sequence on, as its leader knows it.
    async fn has_message_from(&self, of: &Followable, seq: u64) -> Result<bool, Error> {
        let what = format!("STREAM.MSG.GET.{}", of.stream);
        let request = serde_json::json!({ "seq": seq, "next_by_subj": of.subjects });
        match self.ask::<serde::de::IgnoredAny>(&what, &request).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.code == 10037 => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl LedgerTail {
    /// Whether there are records up to which it has not come, as far as it knows.
    pub fn is_behind(&self) -> bool {
        self.0.mark.seq < self.0.end
    }

    /// The next records, as soon as there is one. `None` when the ledger is not the one that was begun with any more:
    /// it was deleted and made again, or it lost records in a crash. Then everything that was learnt from it is void.
    ///
    /// May be dropped while it waits, and called again after an error: nothing is skipped.
    ///
    /// # Errors
    /// When the server does not answer, or refuses. Wait a little before the next call.
    pub async fn next_batch(&mut self) -> Result<Option<LedgerBatch>, Error> {
        let batch = self.0.next_batch().await?;
        Ok(batch.map(|batch| LedgerBatch {
            records: batch
                .followed
                .into_iter()
                .map(|one| (one.seq, one.message.payload))
                .collect(),
            through: batch.through,
        }))
    }
}

impl Tail {
    /// As [`LedgerTail::next_batch`], of any stream.
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
                        tracing::debug!(%error, "following the ledger anew");
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

    /// Makes a consumer, unless the connection is made anew meanwhile: what was asked on the old one has no answer.
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
        let request = serde_json::json!({
            "stream_name": stream,
            "config": {
                "description": "Baton: a controller follows the ledger",
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": start,
                "ack_policy": "none",
                "headers_only": self.of.headers_only,
                "replay_policy": "instant",
                "inactive_threshold": nanos(INACTIVE),
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
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

    /// Puts what came where the caller gets it, and asks for more before the caller works on that.
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
        // Another record at the place of the last one that is known, or the count runs lower than it did.
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

    /// Nothing came for a while: looks whether that is right. What is purged is never delivered, and who waits for its
    /// sequence would wait for ever.
    async fn look(&mut self) -> Result<Option<TailBatch>, Error> {
        let Some(source) = &mut self.source else {
            return Ok(None);
        };
        if source.heard + SILENCE <= Instant::now() {
            tracing::debug!("the consumer that follows the ledger is silent, making another");
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
            // A record could have been on its way, and purged since; then it is here by now.
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

async fn audit(mesh: &Mesh, of: &Followable, ledger: &str, mark: LedgerMark) -> Result<Audit, Error> {
    let end = mesh.stream_end(&of.stream).await?;
    Ok(if end.created != ledger || end.last_seq < mark.seq {
        Audit::Doubtful
    } else if end.last_seq == mark.seq {
        Audit::AtEnd
    } else if mesh.has_message_from(of, mark.seq + 1).await? {
        Audit::More(end.last_seq)
    } else {
        Audit::Gone(end.last_seq)
    })
}

impl Source {
    async fn pull(&mut self, mesh: &Mesh) -> Result<(), Error> {
        let id = self.pulls + 1;
        let request = serde_json::json!({
            "batch": BATCH,
            // Never less than one message can have: a record that does not fit would never come.
            "max_bytes": PULL_BYTES.max(mesh.client().max_payload() * 2),
            "expires": nanos(EXPIRES),
            "idle_heartbeat": nanos(HEARTBEAT),
        });
        mesh.client()
            .publish_with_reply(
                self.next_subject.clone(),
                format!("{}.{id}", self.inbox),
                request.to_string().into(),
            )
            .await
            .map_err(|error| Error::api(WHAT, error))?;
        (self.pulls, self.remaining, self.got) = (id, BATCH, 0);
        Ok(())
    }

    /// What the server says of a pull.
    fn hear(&mut self, status: u16, message: &Message) -> Result<(), Error> {
        let text = message.description.as_deref().unwrap_or_default();
        let id = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        match status {
            100 => Ok(()),
            // The pull before this one.
            _ if id != Some(self.pulls) => Ok(()),
            404 | 408 => {
                self.remaining = 0;
                Ok(())
            }
            // It has its bytes. One that ends so without any would end so again at once.
            409 if self.got > 0 && text.contains("MaxBytes") => {
                self.remaining = 0;
                Ok(())
            }
            // Deleted, its leader changed, the server stops, nobody there.
            _ => Err(Error::api(WHAT, format!("status {status} {text}"))),
        }
    }

    /// Waits for a message, and takes all that are here already. Pending for ever once the subscription is over; then
    /// the connection is, too.
    fn next_messages(&mut self) -> impl Future<Output = Vec<Message>> {
        // Unconstrained: the runtime would end a batch after 128 messages to let others run, and it is not long.
        tokio::task::unconstrained(std::future::poll_fn(|context| {
            let mut found = Vec::new();
            while found.len() < BATCH
                && let std::task::Poll::Ready(Some(message)) = self.replies.poll_next_unpin(context)
            {
                found.push(message);
            }
            if found.is_empty() {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(found)
            }
        }))
    }
}

impl Drop for Source {
    /// The server would keep the consumer for [`INACTIVE`] more, and count for it with each purge what it has not seen:
    /// with ten of them, made one after the other by a tail that was slow, purges took the whole server.
    fn drop(&mut self) {
        // Without a runtime the connection is gone, too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (client, subject) = (self.client.clone(), std::mem::take(&mut self.delete_subject));
        runtime.spawn(async move {
            let answer_to = client.new_inbox();
            // Nobody waits for the answer: if it fails, the consumer goes by itself.
            client.publish_with_reply(subject, answer_to, Bytes::new()).await.ok();
        });
    }
}

/// How long to wait for a record before it is looked whether there is one.
const fn patience(seq: u64, end: u64) -> Duration {
    if seq < end { SETTLE } else { AUDIT }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
