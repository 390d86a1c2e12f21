//! What the server answers: tickets, the end of a pull, and which pulls a reconnect voids.

use std::time::Duration;

use async_nats::Message;
use tokio::time::Instant;

use super::lane::{Kind, pull_id};
use super::{Puller, is_retired};
use crate::error::{Error, Status};
use crate::server::AckPlace;
use crate::work::delivery::Delivery;

/// How long to wait before reading the work stream again after a failure.
const LEARN_PAUSE: Duration = Duration::from_secs(1);
/// How long the worker of a retired version waits before it looks whether the version takes work again.
const RETIRED_PAUSE: Duration = Duration::from_secs(5);

impl Puller {
    pub(super) async fn receive(
        &mut self,
        index: usize,
        kind: Kind,
        message: &Message,
    ) -> Result<Option<Delivery>, Error> {
        // A ticket has no status: one that a foreign writer gave it does not end the pull.
        let is_ticket = message
            .reply
            .as_ref()
            .is_some_and(|reply| AckPlace::parse(reply).is_some());
        if let Some(status) = message.status.map(|status| status.as_u16()).filter(|_| !is_ticket) {
            self.pull_is_over(
                index,
                pull_id(message),
                status,
                message.description.as_deref().unwrap_or_default(),
            )
            .await?;
            return Ok(None);
        }
        let lane = self.lanes.get_mut(index);
        let goes_on = lane.is_none_or(|lane| lane.source(kind).order.goes_on_with(message));
        if !goes_on || self.removals.have_come() {
            self.forget_deliveries();
        }
        let slot = self.lanes.get_mut(index).and_then(|lane| lane.take(kind));
        if !self.is_roomy() {
            // Nothing waits at the server for the more urgent bands: ask them again before this one.
            self.lanes.iter_mut().take(index).for_each(|lane| lane.hot = true);
        }
        // Unreserved, or a ticket of an abandoned pull: it runs if there is room.
        let slot = slot.or_else(|| self.allowance.take(1));
        let delivery = Delivery::read(&self.mesh, message, self.fresh_after, slot);
        if delivery.is_none() && is_ticket {
            self.drop_foreign(message).await;
        }
        Ok(delivery)
    }

    /// Takes a message out of the work stream that names no intent: it would come again for ever, and no record owes it.
    async fn drop_foreign(&self, message: &Message) {
        tracing::error!(subject = %message.subject, bytes = message.payload.len(), "this is not a ticket; it is dropped");
        let Some(reply) = message.reply.clone() else { return };
        if let Err(error) = self.mesh.client().publish(reply, "+TERM".into()).await {
            tracing::debug!(%error, "a message that is not a ticket could not be dropped");
        }
    }

    pub(super) async fn pull_is_over(&mut self, index: usize, id: u64, status: u16, text: &str) -> Result<(), Error> {
        if status == 100 {
            return Ok(());
        }
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.close(id);
        }
        if Status::new(status, text).is_consumer_gone() {
            if is_retired(&self.mesh, &self.agent, &self.version).await {
                if !std::mem::replace(&mut self.is_retired, true) {
                    tracing::warn!(agent = %self.agent, version = %self.version, "this version was retired: it gets no work");
                }
                self.trouble = Some(Instant::now() + RETIRED_PAUSE);
                return Ok(());
            }
            self.is_retired = false;
            tracing::warn!(agent = %self.agent, version = %self.version, status, text, "no consumer answers, checking");
            self.forget_deliveries();
            self.trouble = Some(Instant::now() + Duration::from_millis(500));
            if let Err(error) = self.mesh.ensure_agent(&self.agent, &self.version, self.bands).await {
                tracing::warn!(%error, "the consumers cannot be created yet");
            }
        } else if status != 404 && status != 408 {
            tracing::debug!(status, text, "a pull ended early");
            self.trouble = Some(Instant::now() + Duration::from_millis(100));
        }
        Ok(())
    }

    /// The consumer may deliver for the first time what was delivered before: every ticket is checked against the ledger
    /// until the work stream was read.
    pub(super) fn forget_deliveries(&mut self) {
        tracing::info!(agent = %self.agent, version = %self.version, "a consumer was removed or reset: tickets are checked against the ledger");
        self.fresh_after = u64::MAX;
        self.learn_at = Some(Instant::now() + self.mesh.spread(LEARN_PAUSE));
    }

    /// After a reconnect every open pull is void, and the broker may have forgotten deliveries that it made before.
    pub(super) fn after_reconnect(&mut self) {
        self.fresh_after = u64::MAX;
        for lane in &mut self.lanes {
            (lane.standing.pull, lane.bulk.pull, lane.hot) = (None, None, true);
        }
        // Not all workers at once: a server that comes back has room for 10,000 questions of this kind, and drops the rest.
        self.learn_at = Some(Instant::now() + self.mesh.spread(LEARN_PAUSE));
    }

    /// Reads the work stream's last sequence. Until that works, every ticket is checked against the ledger.
    pub(super) async fn learn_again(&mut self) {
        // Schedule the next try before this one, which may be dropped while it waits.
        self.learn_at = Some(Instant::now() + LEARN_PAUSE);
        match self.learn_watermark().await {
            Ok(()) => self.learn_at = None,
            Err(error) => tracing::warn!(%error, "the work stream cannot be read yet, trying again"),
        }
    }

    pub(super) fn give_up_overdue(&mut self) {
        let now = Instant::now();
        for lane in &mut self.lanes {
            lane.standing.pull = lane.standing.pull.take().filter(|pull| pull.over_at > now);
            if lane.bulk.pull.as_ref().is_some_and(|pull| pull.over_at <= now) {
                (lane.bulk.pull, lane.hot) = (None, true);
            }
        }
    }

    pub(super) async fn learn_watermark(&mut self) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        struct Info {
            state: State,
        }
        #[derive(serde::Deserialize)]
        struct State {
            last_seq: u64,
        }
        let what = format!("STREAM.INFO.{}", self.mesh.subjects().work_stream(&self.agent));
        let info: Info = self.mesh.ask(&what, &serde_json::json!({})).await??;
        self.fresh_after = info.state.last_seq;
        Ok(())
    }
}
