//! The end of a puller: withdrawing its pulls, and the tickets that are on their way.

use std::time::Duration;

use async_nats::Message;
use tokio::time::Instant;

use super::lane::{Kind, Lane, next_reply, pull_id};
use super::{GRACE, Puller};
use crate::work::delivery::Delivery;

/// How long a puller that stops waits for its bulk pulls to end: their time at the server, and a slow way back.
const LAST_BULK: Duration = Duration::from_millis(1500);
/// How long the server may take to say that it has read that pulls are withdrawn.
const WITHDRAWN: Duration = Duration::from_secs(2);
/// Ends a subscription at the server and not in the client. The client forgets a subscription that is unsubscribed, or
/// that drains, as soon as anything else wakes it, and what is on its way then is lost. Told to end one after so many
/// messages it waits for them; the server reads numbers of up to nine digits, and takes a longer one for none (`parseSize`).
const AT_THE_SERVER: u64 = u64::MAX;

impl Puller {
    /// Asks for nothing more, and makes the open pulls void: the server sees that nobody listens any more. Tickets that
    /// were on their way come from [`Puller::leftover`].
    ///
    /// Bulk pulls end by themselves within a moment, so they are waited for. The subscriptions of the others are ended at
    /// the server first, and at this side only when the server has answered: what it sent before came before the answer.
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
                tracing::debug!(%error, "open pulls could not be withdrawn");
            }
        }
        match tokio::time::timeout(WITHDRAWN, self.mesh.round_trip()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "whether the open pulls were withdrawn is not known"),
            Err(_) => tracing::debug!("no server says that the open pulls were withdrawn"),
        }
        for source in self.lanes.iter_mut().flat_map(Lane::sources) {
            // What has come can still be read.
            if let Err(error) = source.replies.unsubscribe().await {
                tracing::debug!(%error, "a subscription could not be ended");
            }
        }
    }

    /// A ticket that was on its way when the puller was stopped; `None` when there is none left. It comes without a
    /// slot: nothing new is run.
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

    /// Takes note of what came after the puller was told to stop.
    fn keep_last(&mut self, index: usize, kind: Kind, message: &Message) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        match message.status.map(|status| status.as_u16()) {
            Some(100) => {}
            Some(_) => lane.close(pull_id(message)),
            None => {
                // Its slot is free at once: nothing new is run.
                drop(lane.take(kind));
                self.last
                    .extend(Delivery::read(&self.mesh, message, self.fresh_after, None));
            }
        }
    }
}
