//! One band: its two subscriptions, and their open pulls.

use std::task::Poll;

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::removals::Order;
use crate::error::Error;
use crate::server::Mesh;

/// One band and its pulls.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) next_subject: String,
    pub(super) standing: Source,
    pub(super) bulk: Source,
    /// Its standing pull is used up, or its last bulk pull was filled: there may be more.
    pub(super) hot: bool,
}

/// One kind of pull of one band, with its own subscription: a delivered ticket keeps its own subject, so only the
/// subscription tells which pull it answers.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) inbox: String,
    pub(super) replies: Subscriber,
    /// What came last. By subscription: only within one do messages keep their order.
    pub(super) order: Order,
    pub(super) pull: Option<Pull>,
}

/// A request for tickets that is open at the server.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) id: u64,
    pub(super) remaining: u32,
    pub(super) slots: Option<OwnedSemaphorePermit>,
    pub(super) over_at: Instant,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Standing,
    Unreserved,
    Bulk,
}

impl Lane {
    pub(super) fn pulls(&self) -> impl Iterator<Item = &Pull> {
        self.standing.pull.iter().chain(self.bulk.pull.iter())
    }

    pub(super) fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        [&mut self.standing, &mut self.bulk].into_iter()
    }

    pub(super) fn source(&mut self, kind: Kind) -> &mut Source {
        match kind {
            Kind::Bulk => &mut self.bulk,
            Kind::Standing | Kind::Unreserved => &mut self.standing,
        }
    }

    /// Counts a delivered ticket against its pull, and takes its slot.
    pub(super) fn take(&mut self, kind: Kind) -> Option<OwnedSemaphorePermit> {
        let source = self.source(kind);
        let pull = source.pull.as_mut()?;
        let slot = pull.take();
        if pull.remaining == 0 {
            (source.pull, self.hot) = (None, true);
        }
        slot
    }

    /// Closes a pull that the server reports as over; its unused slots are free again.
    pub(super) fn close(&mut self, id: u64) {
        let is_it = |pull: &Option<Pull>| pull.as_ref().is_some_and(|pull| pull.id == id);
        if is_it(&self.bulk.pull) {
            (self.bulk.pull, self.hot) = (None, false);
        }
        if is_it(&self.standing.pull) {
            self.standing.pull = None;
        }
    }
}

impl Source {
    pub(super) async fn open(mesh: &Mesh) -> Result<Self, Error> {
        let inbox = mesh.client().new_inbox();
        let replies = mesh.client().subscribe(format!("{inbox}.*")).await;
        let replies = replies.map_err(|error| Error::api("subscribe to deliveries", error))?;
        Ok(Self {
            inbox,
            replies,
            order: Order::default(),
            pull: None,
        })
    }
}

/// The pull that a status is about.
pub(super) fn pull_id(message: &Message) -> u64 {
    let token = message.subject.rsplit('.').next();
    token.and_then(|token| token.parse().ok()).unwrap_or(0)
}

/// The next message of any band, most urgent band first; `None` when all subscriptions have ended.
pub(super) async fn next_reply(lanes: &mut [Lane]) -> Option<(usize, Kind, Message)> {
    std::future::poll_fn(|context| {
        let mut open = false;
        for (index, lane) in lanes.iter_mut().enumerate() {
            let sources = [(Kind::Standing, &mut lane.standing), (Kind::Bulk, &mut lane.bulk)];
            for (kind, source) in sources {
                match source.replies.poll_next_unpin(context) {
                    Poll::Ready(Some(message)) => return Poll::Ready(Some((index, kind, message))),
                    Poll::Ready(None) => {}
                    Poll::Pending => open = true,
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(None) }
    })
    .await
}

impl Pull {
    fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        self.remaining = self.remaining.saturating_sub(1);
        self.slots.as_mut().and_then(|slots| slots.split(1))
    }
}
