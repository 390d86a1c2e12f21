//! Pulling tickets: never more than there are free slots, the most urgent band first, without starving low bands.
//!
//! There are two kinds of pull. A *standing* pull of a few tickets waits at the server for each band, so that an idle
//! worker is served at once and an urgent ticket finds a reserved slot. A *bulk* pull takes what is queued and does not
//! wait. It serves a band whose standing pull is used up: the most urgent such band first, and every `FLOOR`th time the
//! least urgent. With fewer slots than twice the bands, no slot can be reserved. Then the puller sweeps the bands one
//! by one, and only when all are empty does a pull for one ticket wait on each. If two of those are served at the same
//! moment, the second ticket comes without a slot and is handed back.

mod answers;
mod lane;
mod removals;
mod requests;
mod shutdown;

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use baton_envelope::{AgentLimits, AgentName, AgentVersion, Bands, VersionState};
use tokio::sync::watch;
use tokio::time::Instant;

use self::lane::{Lane, Source, next_reply};
use self::removals::Removals;
use super::allowance::Allowance;
use super::delivery::Delivery;
use crate::error::Error;
use crate::server::WorkerMesh;

/// How much longer to wait on this side for the server to report the end of a pull.
const GRACE: Duration = Duration::from_secs(3);
/// How often a worker whose agent has limits looks whether it is connected.
const LOOK: Duration = Duration::from_secs(1);

/// A result of the puller.
#[derive(Debug)]
pub enum Pulled {
    /// A ticket, with or without a slot.
    Ticket(Delivery),
    /// The connection is closed permanently.
    Closed,
}

/// Pulls the tickets of one agent version.
#[derive(Debug)]
pub struct Puller {
    mesh: WorkerMesh,
    agent: AgentName,
    version: AgentVersion,
    bands: Bands,
    connections: watch::Receiver<u64>,
    allowance: Arc<Allowance>,
    share: u32,
    lanes: Vec<Lane>,
    next_pull: u64,
    bulks: u64,
    fresh_after: u64,
    /// Whether the consumers were removed.
    removals: Removals,
    stopped: bool,
    /// Tickets that came after the puller was stopped.
    last: Vec<Delivery>,
    trouble: Option<Instant>,
    /// Whether the version was retired when its consumers were looked for.
    is_retired: bool,
    /// When to read the work stream's last sequence again, after a reconnect.
    learn_at: Option<Instant>,
    /// When to look after the limits again, if there are any.
    limits_at: Option<Instant>,
}

impl Puller {
    /// Makes sure that the stream and the consumers exist, and starts with `slots` free slots.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open(
        mesh: &WorkerMesh,
        agent: &AgentName,
        version: &AgentVersion,
        bands: Bands,
        slots: u32,
    ) -> Result<Self, Error> {
        // Before anything is known of the consumers: none may be removed unnoticed after that.
        let removals = Removals::follow(mesh, agent, version, bands).await?;
        // A route that cannot be read is no reason to stand still.
        let route = mesh.route(agent).await.ok().flatten().map(|(route, _)| route);
        let is_retired = route.as_ref().and_then(|route| route.state(version)) == Some(VersionState::Retired);
        if !is_retired {
            mesh.ensure_agent(agent, version, bands).await?;
        }
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
        let allowance = Allowance::new(slots);
        if let Some(limits) = route.and_then(|route| route.limits) {
            allowance.await_share(limits.in_flight.is_some(), limits.rate_per_hour.is_some());
        }
        let mut puller = Self {
            mesh: mesh.clone(),
            agent: agent.clone(),
            version: version.clone(),
            bands,
            connections: mesh.connections(),
            allowance: Arc::new(allowance),
            share: (slots / 16).clamp(1, 16),
            lanes,
            next_pull: 0,
            bulks: 0,
            fresh_after: u64::MAX,
            removals,
            stopped: false,
            last: Vec::new(),
            trouble: None,
            is_retired,
            learn_at: None,
            limits_at: None,
        };
        // The client reports its first connection a moment after connecting. Mistaken for a reconnect, that would void
        // the first pulls.
        let first = puller.connections.wait_for(|count| *count > 0);
        if tokio::time::timeout(GRACE, first).await.is_err() {
            tracing::debug!("the client did not report its connection");
        }
        puller.connections.mark_unchanged();
        puller.learn_watermark().await?;
        Ok(puller)
    }

    /// Slots free at this moment, without those that open pulls have reserved.
    pub fn free_slots(&self) -> usize {
        self.allowance.free() as usize
    }

    /// What may be run and started.
    pub fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }

    /// Whether there are slots enough to keep some of them for each band.
    fn is_roomy(&self) -> bool {
        self.allowance.most() as usize >= 2 * self.lanes.len()
    }

    /// Looks after a worker whose agent has limits: whether its share is its own still, and whether there are any left.
    async fn look_after_limits(&mut self) {
        let next = Instant::now() + LOOK;
        let is_due = self.limits_at.is_none_or(|at| at <= Instant::now());
        self.limits_at = self
            .allowance
            .is_limited()
            .then_some(self.limits_at.filter(|_| !is_due).unwrap_or(next));
        if !is_due || self.limits_at.is_none() {
            return;
        }
        let is_there = self.mesh.client().connection_state() == State::Connected;
        self.allowance.note_connection(is_there);
        if is_there && self.allowance.awaits_share() {
            // Lifted before the leader had heard of this worker.
            let route = self.mesh.route_of(&self.agent).await;
            if route.is_ok_and(|route| route.limits.as_ref().is_none_or(AgentLimits::is_none)) {
                self.allowance.await_share(false, false);
            }
        }
        if self.allowance.is_overdrawn() {
            // What waits at the server has slots that others need. A ticket that comes for it runs if there is room.
            for lane in &mut self.lanes {
                lane.standing.pull = None;
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
            self.look_after_limits().await;
            self.refill().await?;
            let wake_at = self.lanes.iter().flat_map(Lane::pulls).map(|pull| pull.over_at).min();
            let wake_at = [wake_at, self.trouble, self.learn_at, self.limits_at]
                .into_iter()
                .flatten()
                .min();
            let wants_slot = !self.stopped && self.trouble.is_none() && self.could_pull_with_a_slot();
            let (slots, allowance) = (self.allowance.slots(), Arc::clone(&self.allowance));
            tokio::select! {
                biased;
                // First: what is delivered after an advisory may have been delivered before it.
                () = self.removals.next() => self.forget_deliveries(),
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
                    self.after_reconnect();
                }
                freed = slots.acquire(), if wants_slot => drop(freed),
                () = allowance.changed() => self.limits_at = None,
                () = sleep_until(wake_at) => self.give_up_overdue(),
            }
        }
    }
}

/// Whether a version was taken out of service: then it has no consumers, and a worker makes it none.
async fn is_retired(mesh: &WorkerMesh, agent: &AgentName, version: &AgentVersion) -> bool {
    // A route that cannot be read is no reason to stand still.
    let route = mesh.route(agent).await.ok().flatten();
    route.is_some_and(|(route, _)| route.state(version) == Some(VersionState::Retired))
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
