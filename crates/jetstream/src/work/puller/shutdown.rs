//! Stopping a puller: withdrawing its pulls, and collecting the tickets in flight.

use std::time::Duration;

use async_nats::Message;
use tokio::time::Instant;

use super::lane::{Kind, Lane, next_reply, pull_id};
use super::{GRACE, Puller};
use crate::work::delivery::Delivery;

/// How long a stopping puller waits for its bulk pulls to end: their time at the server, and a slow way back.
const LAST_BULK: Duration = Duration::from_millis(1500);
/// How long the server may take to confirm that it has processed the withdrawal of pulls.
const WITHDRAWN: Duration = Duration::from_secs(2);
/// Ends a subscription at the server and not in the client. The client forgets a subscription that is unsubscribed or
/// drained as soon as anything else wakes it, and loses what is in flight. Told to end one after this many messages, it
/// waits for them; the server reads numbers of up to nine digits and takes a longer one for none (`parseSize`).
const AT_THE_SERVER: u64 = u64::MAX;

impl Puller {
    /// Requests nothing more, and voids the open pulls: the server sees that nobody listens. Tickets in flight come
    /// from [`Puller::leftover`].
    ///
    /// Bulk pulls end by themselves within a moment, so this waits for them. It ends the other subscriptions at the
    /// server first, and on this side only when the server has answered: what the server sent before comes before the
    /// answer.
    pub async fn stop(&mut self) {
        self.stopped = true;
        let until = Instant::now() + LAST_BULK;
        while self.lanes.iter().any(|lane| lane.bulk.pull.is_some()) {
            match tokio::time::timeout_at(until, next_reply(&mut self.lanes)).await {
                Ok(Some((index, kind, message))) => self.keep_last(index, kind, &message),
                Ok(None) | Err(_) => break,
            }
        }
        for source in self.lanes.iter_mut().flat_map(Lane::sources) {
            if let Err(error) = source.replies.unsubscribe_after(AT_THE_SERVER).await {
                tracing::debug!(%error, "cannot withdraw open pulls");
            }
        }
        match tokio::time::timeout(WITHDRAWN, self.mesh.round_trip()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cannot tell whether the open pulls were withdrawn"),
            Err(_) => tracing::debug!("the server did not confirm that the open pulls were withdrawn"),
        }
        for source in self.lanes.iter_mut().flat_map(Lane::sources) {
            // What has arrived can still be read.
            if let Err(error) = source.replies.unsubscribe().await {
                tracing::debug!(%error, "cannot end a subscription");
            }
        }
    }

    /// A ticket that was in flight when the puller was stopped; `None` when there are no more. It comes without a slot,
    /// because nothing new may run.
    pub async fn leftover(&mut self) -> Option<Delivery> {
        if let Some(delivery) = self.last.pop() {
            return Some(delivery);
        }
        loop {
            let (_, _, message) = tokio::time::timeout(GRACE, next_reply(&mut self.lanes)).await.ok()??;
            if message.status.is_none()
                && let Some(delivery) = Delivery::read(&self.mesh, &message, self.fresh_after, None)
            {
                return Some(delivery);
            }
        }
    }

    /// Keeps a ticket that came after the puller was stopped, and closes pulls that ended.
    fn keep_last(&mut self, index: usize, kind: Kind, message: &Message) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        match message.status.map(|status| status.as_u16()) {
            Some(100) => {}
            Some(_) => lane.close(pull_id(message)),
            None => {
                // Its slot is free at once: nothing new may run.
                drop(lane.take(kind));
                self.last
                    .extend(Delivery::read(&self.mesh, message, self.fresh_after, None));
            }
        }
    }
}
