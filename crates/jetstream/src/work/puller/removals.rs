//! Whether the consumers that deliver are still those whose deliveries were known.
//!
//! A consumer that was removed and created again, or reset, forgets what it has delivered: tickets that run at some
//! worker, or that one could not ack, come as if for the first time. A worker that took such a ticket for fresh would
//! run a hop again without its recorded steps. Three signs tell of it:
//!
//! - the server ends the pulls that wait at a removed consumer (`answers.rs`); a worker with full slots has none;
//! - it publishes an advisory, which the stream sends before anything that the next consumer delivers;
//! - a consumer counts its deliveries, and delivers each ticket for the first time in the order of the stream. Where
//!   either goes back, it is another one. This sign needs no grant, but where several workers share a consumer, each
//!   sees only its own share.

use std::task::{Context, Poll};

use async_nats::{Message, Subscriber};
use baton_envelope::{AgentName, AgentVersion, Bands};
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::{AckPlace, Mesh};

const CONSUMER_DELETED: &str = "$JS.EVENT.ADVISORY.CONSUMER.DELETED";
const STREAM_DELETED: &str = "$JS.EVENT.ADVISORY.STREAM.DELETED";

/// The server's advisories about one version's consumers and their stream.
#[derive(Debug)]
pub(super) struct Removals {
    advisories: Vec<Subscriber>,
}

impl Removals {
    pub(super) async fn follow(
        mesh: &Mesh,
        agent: &AgentName,
        version: &AgentVersion,
        bands: Bands,
    ) -> Result<Self, Error> {
        let stream = mesh.subjects().work_stream(agent);
        let consumers = bands.list().into_iter().map(|band| {
            let consumer = mesh.subjects().work_consumer(version, band);
            format!("{CONSUMER_DELETED}.{stream}.{consumer}")
        });
        let mut advisories = Vec::new();
        for subject in consumers.chain([format!("{STREAM_DELETED}.{stream}")]) {
            let subscribed = mesh.client().subscribe(subject).await;
            advisories.push(subscribed.map_err(|error| Error::api("subscribe to removals of consumers", error))?);
        }
        Ok(Self { advisories })
    }

    /// Waits for an advisory; never ends once the connection is closed.
    pub(super) async fn next(&mut self) {
        std::future::poll_fn(|context| {
            if self.poll(context) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Whether an advisory came since the last call. It does not wait.
    pub(super) fn have_come(&mut self) -> bool {
        self.poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    /// Takes all advisories that came.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let mut any = false;
        for advisories in &mut self.advisories {
            while let Poll::Ready(Some(_)) = advisories.poll_next_unpin(context) {
                any = true;
            }
        }
        any
    }
}

/// What one band's consumer delivered last to this worker.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The consumer's count of its deliveries.
    count: u64,
    /// The stream sequence of the last ticket that came for the first time.
    first: u64,
}

impl Order {
    /// Whether a delivery can come from the consumer that made the last one.
    pub(super) fn goes_on_with(&mut self, message: &Message) -> bool {
        let place = message.reply.as_ref().and_then(|reply| AckPlace::parse(reply));
        place.is_none_or(|place| self.goes_on_at(&place))
    }

    fn goes_on_at(&mut self, place: &AckPlace) -> bool {
        let is_first = place.delivered == 1;
        let goes_on = place.consumer_seq > self.count && !(is_first && place.stream_seq <= self.first);
        self.count = place.consumer_seq;
        if is_first {
            self.first = place.stream_seq;
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(consumer_seq: u64, stream_seq: u64, delivered: u64) -> AckPlace {
        AckPlace {
            delivered,
            stream_seq,
            consumer_seq,
            stored: 0,
        }
    }

    #[test]
    fn a_consumer_that_counts_on_is_the_same() {
        let mut order = Order::default();
        assert!(order.goes_on_at(&at(1, 10, 1)));
        assert!(order.goes_on_at(&at(4, 15, 1)), "others took some between");
        assert!(order.goes_on_at(&at(5, 10, 2)), "a redelivery");
        assert!(order.goes_on_at(&at(6, 16, 1)));
    }

    #[test]
    fn a_consumer_that_counts_from_one_is_another() {
        let mut order = Order::default();
        assert!(order.goes_on_at(&at(7, 10, 1)));
        assert!(!order.goes_on_at(&at(1, 11, 1)));
        assert!(order.goes_on_at(&at(2, 12, 1)), "the new one counts on");
    }

    #[test]
    fn a_first_delivery_of_an_earlier_ticket_comes_from_another() {
        let mut order = Order::default();
        assert!(order.goes_on_at(&at(2, 10, 1)));
        assert!(
            !order.goes_on_at(&at(5, 10, 1)),
            "it was delivered for the first time before"
        );
    }
}
