//! Group commit: where a server syncs each write to disk, many writes that wait share one sync.
//!
//! A write that finds nobody before it is sent at once, by itself: a lone hop never waits for company. While writes are
//! under way and groups pay (see [`pace`]), those that come meanwhile gather, and go out together as one atomic batch
//! when the way is free. Each keeps its own guard. A batch that is refused as a whole, because one guard in it does not
//! hold, is sent again one by one, so that each writer hears its own answer.

mod pace;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Client, HeaderMap, Subject};
use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::api::{Published, publish_acked};
use crate::error::Error;
use pace::{BUSY, Pace, Way};

/// The most messages of one batch: the server's own limit is 1000.
const MOST: usize = 1000;
/// The most bytes of one batch, so that what the server stages stays small.
const MOST_BYTES: usize = 8 << 20;

/// The server's word that the stream takes no batches.
const NOT_ENABLED: u64 = 10174;

/// The writes of this process to one stream.
#[derive(Debug)]
pub(crate) struct Lane {
    client: Client,
    /// Whether the stream takes batches, as far as is known.
    takes_batches: AtomicBool,
    pace: Arc<Mutex<Pace>>,
    /// Whether the writes of this lane are what the pace is measured by.
    is_measured: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Writes that were sent by themselves and are not answered.
    under_way: usize,
    /// Writes of the wave that is not answered.
    in_wave: usize,
    waiting: VecDeque<Waiting>,
    /// Whether a task sends what waits.
    driven: bool,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    answer: oneshot::Sender<Result<Published, Error>>,
}

/// One write.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) subject: Subject,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Message {
    async fn send(self, client: &Client) -> Result<Published, Error> {
        publish_acked(client, self.subject, self.headers, self.payload).await
    }
}

impl Lane {
    /// A lane that measures by its own writes which way they go.
    pub(crate) fn new(client: Client, takes_batches: bool) -> Self {
        Self {
            client,
            takes_batches: AtomicBool::new(takes_batches),
            pace: Arc::new(Mutex::new(Pace::new())),
            is_measured: true,
            state: Mutex::default(),
        }
    }

    /// A lane to a stream that gets fewer writes, on the same server: it goes the way that was measured here, while it has
    /// enough writes for a group. By its own writes it would take a share of what the process writes for the most that the
    /// server can do.
    pub(crate) fn beside(&self, takes_batches: bool) -> Self {
        Self {
            client: self.client.clone(),
            takes_batches: AtomicBool::new(takes_batches),
            pace: Arc::clone(&self.pace),
            is_measured: false,
            state: Mutex::default(),
        }
    }

    /// Writes one message and waits for the server's acknowledgement.
    pub(crate) async fn write(self: &Arc<Self>, message: Message) -> Result<Published, Error> {
        if !self.takes_batches.load(Ordering::Relaxed) {
            return message.send(&self.client).await;
        }
        let answered = {
            let mut state = self.state();
            if self.gathers(&state) {
                let (answer, answered) = oneshot::channel();
                state.waiting.push_back(Waiting { message, answer });
                Ok(answered)
            } else {
                state.under_way += 1;
                Err(message)
            }
        };
        match answered {
            Err(message) => {
                let _under_way = UnderWay { lane: self };
                message.send(&self.client).await
            }
            // The driver answers each; it can only be gone together with its runtime.
            Ok(answered) => answered.await.unwrap_or(Ok(Published::Unknown)),
        }
    }

    /// Whether a write that comes now is to wait for others.
    fn gathers(&self, state: &State) -> bool {
        // Behind one that waits for the way to get free all wait, also when groups pay no more: it would never get free.
        if !state.driven && !state.waiting.is_empty() {
            return true;
        }
        // The lane that measures notices by itself when it is too calm for groups.
        let is_busy = if self.is_measured {
            state.driven || state.under_way > 0
        } else {
            state.under_way + state.in_wave + state.waiting.len() >= BUSY
        };
        is_busy && self.pace().way() == Way::Grouped
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that so many writes were answered, while so many were outstanding.
    fn answered(&self, way: Way, count: usize, outstanding: usize) {
        if self.is_measured {
            self.pace().answered(way, count, outstanding, Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what waits, wave after wave, until nothing waits.
    async fn drive(self: Arc<Self>) {
        loop {
            let wave = {
                let mut state = self.state();
                let wave = state.next_wave();
                state.in_wave = wave.len();
                if wave.is_empty() {
                    state.driven = false;
                    return;
                }
                wave
            };
            let count = wave.len();
            self.send_wave(wave).await;
            let outstanding = count + self.state().waiting.len();
            self.answered(Way::Grouped, count, outstanding);
        }
    }

    async fn send_wave(&self, wave: Vec<Waiting>) {
        if wave.len() >= BUSY && self.takes_batches.load(Ordering::Relaxed) {
            match self.send_batch(&wave).await {
                Batch::Stored { last } => {
                    let first = last.saturating_add(1).saturating_sub(wave.len() as u64);
                    for (seq, waiting) in (first..).zip(wave) {
                        waiting.answer.send(Ok(Published::Stored { seq })).ok();
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
            answer.send(message.send(&self.client).await).ok();
        }))
        .await;
    }

    async fn send_batch(&self, wave: &[Waiting]) -> Batch {
        // Unique, as a batch id must be; the last token is short enough for one.
        let inbox = self.client.new_inbox();
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
                .client
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
        match publish_acked(&self.client, subject, headers, payload).await {
            Ok(Published::Stored { seq }) => Batch::Stored { last: seq },
            Ok(Published::Unknown) => Batch::Unknown,
            // One guard does not hold, or one message id is known: which one is told when each goes by itself.
            Ok(Published::WrongSequence) => Batch::Refused,
            Ok(Published::Refused(refusal)) => {
                if refusal.code == NOT_ENABLED {
                    tracing::debug!(%refusal, "the stream takes no batches");
                    self.takes_batches.store(false, Ordering::Relaxed);
                    if self.is_measured {
                        // Nothing is measured any more, and those beside must not go on with what was chosen last.
                        *self.pace() = Pace::new();
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

enum Batch {
    Stored { last: u64 },
    Unknown,
    Refused,
}

impl State {
    fn next_wave(&mut self) -> Vec<Waiting> {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.message.payload.len();
            bytes <= MOST_BYTES
        };
        let count = self.waiting.iter().take(MOST).take_while(fits).count();
        // A single message above the limit goes by itself.
        let count = count.max(1).min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }
}

/// A write that was sent by itself, until it is answered or its writer is gone.
struct UnderWay<'a> {
    lane: &'a Arc<Lane>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.lane.state();
        let outstanding = state.under_way;
        state.under_way = outstanding.saturating_sub(1);
        self.lane.answered(Way::Single, 1, outstanding);
        if state.under_way == 0
            && !state.driven
            && !state.waiting.is_empty()
            // Without a runtime nobody waits for an answer any more.
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            state.driven = true;
            runtime.spawn(Arc::clone(self.lane).drive());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn behind_a_write_that_waits_all_wait_though_groups_pay_no_more() {
        let server = baton_testkit::TestServer::start().await;
        // A pace that has measured nothing: groups do not pay.
        let lane = Lane::new(server.client().await, true).beside(true);
        let mut state = State {
            under_way: 2 * BUSY,
            ..State::default()
        };
        assert!(!lane.gathers(&state));
        let (answer, _answered) = oneshot::channel();
        state.waiting.push_back(Waiting {
            message: Message {
                subject: "work".into(),
                headers: HeaderMap::new(),
                payload: Bytes::new(),
            },
            answer,
        });
        assert!(lane.gathers(&state));
        // Whoever drives takes what waits, wave after wave.
        state.driven = true;
        assert!(!lane.gathers(&state));
    }
}
