//! Group commit: where a server syncs each write to disk, many writes that wait share one sync.
//!
//! A write that finds nobody before it is sent at once, by itself: a lone hop never waits for company. While writes are
//! under way and groups pay (see [`pace`]), those that come meanwhile gather, and go out together as one atomic batch
//! when the way is free. Each keeps its own guard. A batch that is refused as a whole, because one guard in it does not
//! hold, is sent again one by one, so that each writer hears its own answer.

mod message;
mod pace;
mod wave;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::link::Link;
use super::publish::Published;
use crate::error::Error;
pub(crate) use message::Message;

use self::message::Waiting;
use self::pace::{BUSY, BatchPolicy, WriteMode};

/// The most messages of one batch: the server's own limit is 1000.
const MOST: usize = 1000;
/// The most bytes of one batch, so that what the server stages stays small.
const MOST_BYTES: usize = 8 << 20;

/// The writes of this process to one stream.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    link: Link,
    /// Whether the stream takes batches, as far as is known.
    takes_batches: AtomicBool,
    pace: Arc<Mutex<BatchPolicy>>,
    /// Whether the writes of this queue are what the pace is measured by.
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

impl WriteQueue {
    /// A queue that measures by its own writes which way they go.
    pub(crate) fn new(link: Link, takes_batches: bool) -> Self {
        Self {
            link,
            takes_batches: AtomicBool::new(takes_batches),
            pace: Arc::new(Mutex::new(BatchPolicy::new())),
            is_measured: true,
            state: Mutex::default(),
        }
    }

    /// A queue to a stream that gets fewer writes, on the same server: it goes the way that was measured here, while it has
    /// enough writes for a group. By its own writes it would take a share of what the process writes for the most that the
    /// server can do.
    pub(crate) fn beside(&self, takes_batches: bool) -> Self {
        Self {
            link: self.link.clone(),
            takes_batches: AtomicBool::new(takes_batches),
            pace: Arc::clone(&self.pace),
            is_measured: false,
            state: Mutex::default(),
        }
    }

    /// Writes one message and waits for the server's acknowledgement.
    pub(crate) async fn write(self: &Arc<Self>, message: Message) -> Result<Published, Error> {
        if !self.takes_batches.load(Ordering::Relaxed) {
            return message.send(&self.link).await;
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
                let _under_way = UnderWay { queue: self };
                message.send(&self.link).await
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
        // The queue that measures notices by itself when it is too calm for groups.
        let is_busy = if self.is_measured {
            state.driven || state.under_way > 0
        } else {
            state.under_way + state.in_wave + state.waiting.len() >= BUSY
        };
        is_busy && self.pace().way() == WriteMode::Grouped
    }

    fn pace(&self) -> MutexGuard<'_, BatchPolicy> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that so many writes were answered, while so many were outstanding.
    fn answered(&self, way: WriteMode, count: usize, outstanding: usize) {
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
            self.answered(WriteMode::Grouped, count, outstanding);
        }
    }
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
    queue: &'a Arc<WriteQueue>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        let outstanding = state.under_way;
        state.under_way = outstanding.saturating_sub(1);
        self.queue.answered(WriteMode::Single, 1, outstanding);
        if state.under_way == 0
            && !state.driven
            && !state.waiting.is_empty()
            // Without a runtime nobody waits for an answer any more.
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            state.driven = true;
            runtime.spawn(Arc::clone(self.queue).drive());
        }
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn behind_a_write_that_waits_all_wait_though_groups_pay_no_more() {
        let server = baton_testkit::TestServer::start().await;
        // A pace that has measured nothing: groups do not pay.
        let queue = WriteQueue::new(Link::alone(server.client().await), true).beside(true);
        let mut state = State {
            under_way: 2 * BUSY,
            ..State::default()
        };
        assert!(!queue.gathers(&state));
        let (answer, _answered) = oneshot::channel();
        state.waiting.push_back(Waiting {
            message: Message {
                subject: "work".into(),
                headers: HeaderMap::new(),
                payload: Bytes::new(),
            },
            answer,
        });
        assert!(queue.gathers(&state));
        // Whoever drives takes what waits, wave after wave.
        state.driven = true;
        assert!(!queue.gathers(&state));
    }
}
