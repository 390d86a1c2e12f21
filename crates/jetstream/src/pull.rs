//! Pulling tickets: never more than there are free slots, most urgent band first, low bands not starved.
//!
//! There are two kinds of pull. A *standing* pull of a few tickets waits at the server for each band, so that an idle
//! worker is served at once and an urgent ticket finds a reserved slot. A *bulk* pull takes what is there and does not
//! wait; it is used for a band whose standing pull was used up, the most urgent such band first, and every
//! [`FLOOR`]th time the least urgent. With fewer slots than twice the bands nothing can be reserved: then the bands are
//! swept one by one, and only when all are empty a pull for one ticket waits on each. Should two of those be served at
//! the same moment, the second ticket comes without a slot and is handed back.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use baton_envelope::{AgentName, AgentVersion, Bands};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::delivery::Delivery;
use crate::error::Error;
use crate::mesh::Mesh;

/// Every how many bulk pulls the least urgent waiting band goes first.
const FLOOR: u64 = 8;
/// How long a standing pull waits at the server.
const STANDING: Duration = Duration::from_secs(30);
/// How long a bulk pull waits at the server once there is nothing more.
const BULK: Duration = Duration::from_millis(100);
/// How long a puller that stops waits for its bulk pulls to end: their time at the server, and a slow way back.
const LAST_BULK: Duration = Duration::from_millis(1500);
/// How long the server may take to say that it has read that pulls are withdrawn.
const WITHDRAWN: Duration = Duration::from_secs(2);
/// Ends a subscription at the server and not in the client. The client forgets a subscription that is unsubscribed, or
/// that drains, as soon as anything else wakes it, and what is on its way then is lost. Told to end one after so many
/// messages it waits for them; the server reads numbers of up to nine digits, and takes a longer one for none (`parseSize`).
const AT_THE_SERVER: u64 = u64::MAX;
/// How long until the work stream is read again when it could not be.
const LEARN_PAUSE: Duration = Duration::from_secs(1);
/// How much longer this side waits for the server's word that a pull is over.
const GRACE: Duration = Duration::from_secs(3);

/// What came from the puller.
#[derive(Debug)]
pub enum Pulled {
    /// A ticket, with or without a slot.
    Ticket(Delivery),
    /// The connection is gone for good.
    Closed,
}

/// Pulls the tickets of one agent version.
#[derive(Debug)]
pub struct Puller {
    mesh: Mesh,
    agent: AgentName,
    version: AgentVersion,
    bands: Bands,
    connections: watch::Receiver<u64>,
    slots: Arc<Semaphore>,
    roomy: bool,
    share: u32,
    lanes: Vec<Lane>,
    next_pull: u64,
    bulks: u64,
    fresh_after: u64,
    stopped: bool,
    /// Tickets that came after it was stopped.
    last: Vec<Delivery>,
    trouble: Option<Instant>,
    /// When to read the work stream's last sequence again, after a reconnect.
    learn_at: Option<Instant>,
}

/// One band and its pulls.
#[derive(Debug)]
struct Lane {
    next_subject: String,
    standing: Source,
    bulk: Source,
    /// Its standing pull was used up, or its last bulk pull was filled: there may be more.
    hot: bool,
}

/// One kind of pull of one band, with a subscription of its own: a delivered ticket comes under its own subject, so only
/// the subscription tells which pull it answers.
#[derive(Debug)]
struct Source {
    inbox: String,
    replies: Subscriber,
    pull: Option<Pull>,
}

/// A request for tickets that is open at the server.
#[derive(Debug)]
struct Pull {
    id: u64,
    remaining: u32,
    slots: Option<OwnedSemaphorePermit>,
    over_at: Instant,
}

impl Puller {
    /// Makes sure that the stream and the consumers exist, and starts with `slots` free slots.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open(
        mesh: &Mesh,
        agent: &AgentName,
        version: &AgentVersion,
        bands: Bands,
        slots: u32,
    ) -> Result<Self, Error> {
        mesh.ensure_agent(agent, version, bands).await?;
        let stream = mesh.subjects().work_stream(agent);
        let mut lanes = Vec::new();
        for band in bands.list() {
            let consumer = mesh.subjects().work_consumer(version, band);
            lanes.push(Lane {
                next_subject: format!("{}.CONSUMER.MSG.NEXT.{stream}.{consumer}", mesh.api_prefix()),
                standing: Source::open(mesh).await?,
                bulk: Source::open(mesh).await?,
                hot: true,
            });
        }
        let mut puller = Self {
            mesh: mesh.clone(),
            agent: agent.clone(),
            version: version.clone(),
            bands,
            connections: mesh.connections(),
            slots: Arc::new(Semaphore::new(slots as usize)),
            roomy: slots as usize >= 2 * lanes.len(),
            share: (slots / 16).clamp(1, 16),
            lanes,
            next_pull: 0,
            bulks: 0,
            fresh_after: u64::MAX,
            stopped: false,
            last: Vec::new(),
            trouble: None,
            learn_at: None,
        };
        // The client tells of its first connection a moment after it is made; taken for a reconnect, that would void the
        // first pulls.
        let first = puller.connections.wait_for(|count| *count > 0);
        if tokio::time::timeout(GRACE, first).await.is_err() {
            tracing::debug!("the client did not tell of its connection");
        }
        puller.connections.mark_unchanged();
        puller.learn_watermark().await?;
        Ok(puller)
    }

    /// Free slots at this moment, those reserved by open pulls not counted.
    pub fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

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

    /// The next ticket.
    ///
    /// # Errors
    /// When the server refuses to serve this agent version at all.
    pub async fn next(&mut self) -> Result<Pulled, Error> {
        loop {
            if self.learn_at.is_some_and(|at| at <= Instant::now()) {
                self.learn_again().await;
            }
            self.refill().await?;
            let wake_at = self.lanes.iter().flat_map(Lane::pulls).map(|pull| pull.over_at).min();
            let wake_at = [wake_at, self.trouble, self.learn_at].into_iter().flatten().min();
            let wants_slot = !self.stopped && self.trouble.is_none() && self.could_pull_with_a_slot();
            let slots = Arc::clone(&self.slots);
            tokio::select! {
                biased;
                reply = next_reply(&mut self.lanes) => {
                    let Some((index, kind, message)) = reply else { return Ok(Pulled::Closed) };
                    if let Some(delivery) = self.receive(index, kind, &message).await? {
                        return Ok(Pulled::Ticket(delivery));
                    }
                }
                changed = self.connections.changed() => {
                    if changed.is_err() {
                        return Ok(Pulled::Closed);
                    }
                    self.after_reconnect().await;
                }
                freed = slots.acquire(), if wants_slot => drop(freed),
                () = sleep_until(wake_at) => self.give_up_overdue(),
            }
        }
    }

    fn could_pull_with_a_slot(&self) -> bool {
        let bulk_out = self.lanes.iter().any(|lane| lane.bulk.pull.is_some());
        let hot = self.lanes.iter().any(|lane| lane.hot);
        let standing_missing = self.lanes.iter().any(|lane| lane.standing.pull.is_none());
        !bulk_out && (hot || standing_missing)
    }

    async fn refill(&mut self) -> Result<(), Error> {
        if self.stopped || self.trouble.is_some_and(|until| until > Instant::now()) {
            return Ok(());
        }
        self.trouble = None;
        if self.roomy {
            for index in 0..self.lanes.len() {
                // While more urgent work waits, a reserved slot would give this band a share far above its floor.
                if self.lanes.iter().take(index).any(|lane| lane.hot) {
                    break;
                }
                let missing = self.lanes.get(index).is_some_and(|lane| lane.standing.pull.is_none());
                let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
                if missing && free > 0 {
                    self.pull(index, self.share.min(free), Kind::Standing).await?;
                }
            }
        }
        if self.lanes.iter().any(|lane| lane.bulk.pull.is_some()) {
            return Ok(());
        }
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        if free == 0 {
            return Ok(());
        }
        let low_first = self.bulks % FLOOR == FLOOR - 1;
        let hot = |lane: &Lane| lane.hot;
        let index = if low_first {
            self.lanes.iter().rposition(hot)
        } else {
            self.lanes.iter().position(hot)
        };
        if let Some(index) = index {
            self.bulks += 1;
            return self.pull(index, free, Kind::Bulk).await;
        }
        if !self.roomy {
            for index in 0..self.lanes.len() {
                if self.lanes.get(index).is_some_and(|lane| lane.standing.pull.is_none()) {
                    self.pull(index, 1, Kind::Unreserved).await?;
                }
            }
        }
        Ok(())
    }

    async fn pull(&mut self, index: usize, batch: u32, kind: Kind) -> Result<(), Error> {
        let slots = match kind {
            Kind::Unreserved => None,
            Kind::Standing | Kind::Bulk => match Arc::clone(&self.slots).try_acquire_many_owned(batch) {
                Ok(slots) => Some(slots),
                Err(_) => return Ok(()),
            },
        };
        self.next_pull += 1;
        let id = self.next_pull;
        let Some(lane) = self.lanes.get_mut(index) else {
            return Ok(());
        };
        let (body, wait) = match kind {
            // Where slots can be spared, a bulk pull waits at the server for a moment, instead of a request and an
            // answer for each look at a band that fills slowly.
            Kind::Bulk if self.roomy => (format!("{{\"batch\":{batch},\"expires\":{}}}", BULK.as_nanos()), BULK),
            Kind::Bulk => (format!("{{\"batch\":{batch},\"no_wait\":true}}"), Duration::ZERO),
            Kind::Standing | Kind::Unreserved => (
                format!("{{\"batch\":{batch},\"expires\":{}}}", STANDING.as_nanos()),
                STANDING,
            ),
        };
        let pull = Pull {
            id,
            remaining: batch,
            slots,
            over_at: Instant::now() + wait + GRACE,
        };
        let source = match kind {
            Kind::Bulk => &mut lane.bulk,
            Kind::Standing | Kind::Unreserved => &mut lane.standing,
        };
        self.mesh
            .client()
            .publish_with_reply(lane.next_subject.clone(), format!("{}.{id}", source.inbox), body.into())
            .await
            .map_err(|error| Error::api("pull", error))?;
        // Only now: should this future be dropped while it waits, a pull that never left would keep its band unasked.
        source.pull = Some(pull);
        Ok(())
    }

    async fn receive(&mut self, index: usize, kind: Kind, message: &Message) -> Result<Option<Delivery>, Error> {
        if let Some(status) = message.status.map(|status| status.as_u16()) {
            self.pull_is_over(
                index,
                pull_id(message),
                status,
                message.description.as_deref().unwrap_or_default(),
            )
            .await?;
            return Ok(None);
        }
        let slot = self.lanes.get_mut(index).and_then(|lane| lane.take(kind));
        if !self.roomy {
            // Nothing waits at the server for the more urgent bands: they are asked again before this one is.
            self.lanes.iter_mut().take(index).for_each(|lane| lane.hot = true);
        }
        // Unreserved, or a ticket of a pull that was given up: it runs if there is room.
        let slot = slot.or_else(|| Arc::clone(&self.slots).try_acquire_owned().ok());
        Ok(Delivery::read(&self.mesh, message, self.fresh_after, slot))
    }

    async fn pull_is_over(&mut self, index: usize, id: u64, status: u16, text: &str) -> Result<(), Error> {
        if status == 100 {
            return Ok(());
        }
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.close(id);
        }
        let consumer_is_gone = status == 503 || (status == 409 && text.contains("Deleted"));
        if consumer_is_gone {
            tracing::warn!(agent = %self.agent, version = %self.version, status, text, "no consumer answers, looking");
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

    /// After a reconnect every open pull is void, and the broker may have forgotten deliveries that it made before.
    async fn after_reconnect(&mut self) {
        self.fresh_after = u64::MAX;
        for lane in &mut self.lanes {
            (lane.standing.pull, lane.bulk.pull, lane.hot) = (None, None, true);
        }
        self.learn_again().await;
    }

    /// Until the work stream could be read, every ticket is checked against the ledger.
    async fn learn_again(&mut self) {
        // The next try is set before this one, which may be dropped while it waits.
        self.learn_at = Some(Instant::now() + LEARN_PAUSE);
        match self.learn_watermark().await {
            Ok(()) => self.learn_at = None,
            Err(error) => tracing::warn!(%error, "the work stream cannot be read yet, trying again"),
        }
    }

    fn give_up_overdue(&mut self) {
        let now = Instant::now();
        for lane in &mut self.lanes {
            lane.standing.pull = lane.standing.pull.take().filter(|pull| pull.over_at > now);
            if lane.bulk.pull.as_ref().is_some_and(|pull| pull.over_at <= now) {
                (lane.bulk.pull, lane.hot) = (None, true);
            }
        }
    }

    async fn learn_watermark(&mut self) -> Result<(), Error> {
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

#[derive(Clone, Copy)]
enum Kind {
    Standing,
    Unreserved,
    Bulk,
}

impl Lane {
    fn pulls(&self) -> impl Iterator<Item = &Pull> {
        self.standing.pull.iter().chain(self.bulk.pull.iter())
    }

    fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        [&mut self.standing, &mut self.bulk].into_iter()
    }

    /// Counts a delivered ticket against the pull that asked for it, and takes its slot.
    fn take(&mut self, kind: Kind) -> Option<OwnedSemaphorePermit> {
        let source = match kind {
            Kind::Bulk => &mut self.bulk,
            Kind::Standing | Kind::Unreserved => &mut self.standing,
        };
        let pull = source.pull.as_mut()?;
        let slot = pull.take();
        if pull.remaining == 0 {
            (source.pull, self.hot) = (None, true);
        }
        slot
    }

    /// The server says that a pull is over; slots that it did not use are free again.
    fn close(&mut self, id: u64) {
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
    async fn open(mesh: &Mesh) -> Result<Self, Error> {
        let inbox = mesh.client().new_inbox();
        let replies = mesh.client().subscribe(format!("{inbox}.*")).await;
        let replies = replies.map_err(|error| Error::api("subscribe to deliveries", error))?;
        Ok(Self {
            inbox,
            replies,
            pull: None,
        })
    }
}

/// The pull that a status is about.
fn pull_id(message: &Message) -> u64 {
    let token = message.subject.rsplit('.').next();
    token.and_then(|token| token.parse().ok()).unwrap_or(0)
}

/// The next message of any band, most urgent band first; `None` when all subscriptions are over.
async fn next_reply(lanes: &mut [Lane]) -> Option<(usize, Kind, Message)> {
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

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
