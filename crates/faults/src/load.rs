//! Submits work at a rate and records what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use baton_checker::Journal as Line;
use baton_envelope::budget::{Amount, Amounts, MeterName};
use baton_envelope::{
    AgentName, Author, Budget, Envelope, EnvelopeId, IntentId, Json, MaxHops, OnExhausted, Policy, Priority, Role,
    Timestamp,
};
use baton_jetstream::{ChannelMessage, Mesh, Submitted};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::{Journal, now_ms};
use crate::patterns;
use crate::work::{Piece, Via, piece};

/// How many tokens a piece of work with a budget may spend.
pub(crate) const BUDGET: u64 = 1_000_000_000;

/// The most submits in flight; while the server is away no more are begun.
const AT_ONCE: usize = 256;
/// How long to pursue one submit.
const PATIENCE: Duration = Duration::from_secs(45);
const AGAIN: Duration = Duration::from_millis(200);
/// The length of a tick; each begins the work that is due.
const TICK: Duration = Duration::from_millis(50);

/// The load of a run.
#[derive(Debug, Clone)]
pub struct Load {
    mesh: Mesh,
    journal: Arc<Journal>,
    acked: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    times: Arc<Mutex<HashMap<String, i64>>>,
    /// Whoever writes holds it to read; see [`Load::hush`].
    gate: Arc<RwLock<()>>,
    /// Makes the piece of work with a number.
    make: fn(u64, u64) -> Piece,
}

impl Load {
    /// A load on this connection.
    #[must_use]
    pub fn new(mesh: Mesh, journal: Arc<Journal>) -> Self {
        Self {
            mesh,
            journal,
            acked: Arc::default(),
            times: Arc::default(),
            gate: Arc::default(),
            make: piece,
        }
    }

    /// A load that is a mix of all patterns.
    #[must_use]
    pub fn mixed(mesh: Mesh, journal: Arc<Journal>) -> Self {
        Self {
            make: patterns::piece,
            ..Self::new(mesh, journal)
        }
    }

    /// Waits until what is being submitted is answered; nothing is submitted while the guard lives.
    pub async fn hush(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).write_owned().await
    }

    /// How many were acknowledged, by kind.
    #[must_use]
    pub fn acked(&self) -> BTreeMap<&'static str, usize> {
        self.acked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When each key was acknowledged, in milliseconds since 1970 by the machine's clock.
    #[must_use]
    pub fn times(&self) -> HashMap<String, i64> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Submits this many each second for this long, and waits until each is acknowledged or given up.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn run(&self, seed: u64, rate: f64, length: Duration) -> Result<()> {
        let stop = CancellationToken::new();
        let timer = async {
            sleep(length).await;
            stop.cancel();
        };
        let (done, ()) = tokio::join!(self.run_until(seed, rate, &stop), timer);
        done
    }

    /// As [`Load::run`], until it is stopped.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn run_until(&self, seed: u64, rate: f64, stop: &CancellationToken) -> Result<()> {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let tracker = TaskTracker::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut number, mut due) = (0_u64, 0.0);
        while !stop.is_cancelled() {
            ticks.tick().await;
            due += rate * TICK.as_secs_f64();
            while due >= 1.0 {
                due -= 1.0;
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                    continue;
                };
                let (load, piece) = (self.clone(), (self.make)(seed, number));
                number += 1;
                // Policy: an error is the journal's, and shows at the next write as well.
                tracker.spawn(async move {
                    let done = Box::pin(load.submit(piece.clone())).await;
                    drop(slot);
                    let done = match done {
                        Ok(_) => Box::pin(load.signal(&piece)).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = done {
                        tracing::error!(%error, "a submit or a signal failed");
                    }
                });
            }
        }
        tracker.close();
        tracker.wait().await;
        Ok(())
    }

    /// Submits one piece; if it has an id and was not acknowledged, submits it again under the same id.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn submit(&self, piece: Piece) -> Result<bool> {
        self.journal.write(&Line::Tried(piece.tried.clone()))?;
        let until = Instant::now() + PATIENCE;
        // The same in every try: a repeat must carry the same work as the first.
        let deadline = piece.deadline.map(|deadline| self.mesh.now().plus(deadline));
        let id = self.mesh.clock().envelope_id();
        loop {
            let gate = self.gate.read().await;
            let once = self.once(&piece, id, deadline).await;
            drop(gate);
            match once {
                Ok(()) => {
                    let key = piece.tried.key.clone();
                    let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
                    times.insert(key.clone(), now_ms());
                    drop(times);
                    self.journal.write(&Line::Acked { key })?;
                    let mut acked = self.acked.lock().unwrap_or_else(PoisonError::into_inner);
                    *acked.entry(piece.kind).or_default() += 1;
                    return Ok(true);
                }
                Err(error) if piece.via.has_id() && Instant::now() < until => {
                    tracing::debug!(%error, key = piece.tried.key, "not acknowledged yet, trying again");
                    sleep(AGAIN).await;
                }
                Err(error) => {
                    tracing::debug!(%error, key = piece.tried.key, "not acknowledged");
                    return Ok(false);
                }
            }
        }
    }

    /// Sends the signals of a piece, each until it is acknowledged: also where the submit was not, and may be there.
    async fn signal(&self, piece: &Piece) -> Result<()> {
        let (begun, key) = (Instant::now(), &piece.tried.key);
        for sends in &piece.signals {
            tokio::time::sleep_until(begun + sends.after).await;
            let (intent, id): (IntentId, String) = (key.parse()?, format!("{key}-{}", sends.name));
            for _ in 0..sends.times {
                let until = Instant::now() + PATIENCE;
                let acked = loop {
                    let gate = self.gate.read().await;
                    let body = serde_json::to_vec(sends.name)?.into();
                    let sent = self.mesh.send_signal(&intent, sends.name, Some(&id), body).await;
                    drop(gate);
                    match sent {
                        Ok(_) => break true,
                        Err(_) if Instant::now() < until => sleep(AGAIN).await,
                        Err(_) => break false,
                    }
                };
                if acked {
                    let (intent, name, id) = (key.clone(), sends.name.to_owned(), id.clone());
                    self.journal.write(&Line::Signal { intent, name, id })?;
                }
            }
        }
        Ok(())
    }

    async fn once(&self, piece: &Piece, id: EnvelopeId, deadline: Option<Timestamp>) -> Result<()> {
        let body = serde_json::to_string(&piece.work)?;
        if let (Via::Channel, Some(channel)) = (piece.via, piece.more.channel) {
            let message = ChannelMessage {
                channel: channel.parse()?,
                intent: piece.tried.key.parse()?,
                body: body.into(),
                kind: Some(piece.kind.to_owned()),
                receivers: names(&piece.more.receivers)?,
                headers: vec![("Baton-Priority".to_owned(), piece.priority.to_string())],
            };
            self.mesh.publish_to_channel(message).await?;
            return Ok(());
        }
        if piece.via == Via::Record {
            let envelope = self.envelope(piece, id, &body, deadline)?;
            let by = Author::of(Role::Client, "load");
            let patience = Duration::from_secs(20);
            let submitted = Box::pin(self.mesh.submit_when_known(envelope, by, patience)).await?;
            anyhow::ensure!(
                !matches!(submitted, Submitted::Conflict { .. }),
                "a conflict: {submitted:?}"
            );
            return Ok(());
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
        let mut sent = body.clone();
        match piece.via {
            Via::Enveloped => {
                sent = serde_json::to_string(&self.envelope(piece, id, &body, deadline)?)?;
                add("Baton-Protocol", "1.1.0".to_owned());
            }
            Via::RawIntent => add("Baton-Intent", piece.tried.key.clone()),
            Via::RawMessageId => add("Nats-Msg-Id", piece.tried.key.clone()),
            Via::RawAlone | Via::Record | Via::Channel => {}
        }
        if piece.via != Via::Enveloped {
            add("Baton-Kind", piece.kind.to_owned());
            add(
                "Baton-Priority",
                if piece.bad_header {
                    "most".to_owned()
                } else {
                    piece.priority.to_string()
                },
            );
            add("Baton-Max-Hops", piece.max_hops.to_string());
            if let Some(key) = &piece.more.order_key {
                add("Baton-Order-Key", key.clone());
            }
            if !piece.more.itinerary.is_empty() {
                add("Baton-Itinerary", piece.more.itinerary.join(", "));
            }
            match (deadline, piece.deadline) {
                (Some(deadline), _) if piece.via.has_id() => add("Baton-Deadline", deadline.to_string()),
                (_, Some(within)) => add("Baton-Deadline", format!("{}s", within.as_secs())),
                (_, None) => {}
            }
            if let Some(later) = piece.later {
                // Counted from the storing of each try: the first that is stored counts.
                add("Baton-Not-Before", format!("{}s", later.as_secs().max(1)));
            }
        }
        let subject = format!("mesh.intent.{}", piece.to);
        self.mesh.publish_raw(subject, headers, sent.into()).await?;
        Ok(())
    }

    fn envelope(&self, piece: &Piece, id: EnvelopeId, body: &str, deadline: Option<Timestamp>) -> Result<Envelope> {
        let intent: IntentId = piece.tried.key.parse()?;
        let payload = Json::parse(body)?;
        let mut envelope = Envelope::first(id, intent, piece.to.parse()?, payload);
        envelope.kind = Some(piece.kind.to_owned());
        envelope.priority = Priority::new(piece.priority).map_err(anyhow::Error::msg)?;
        envelope.max_hops = MaxHops::new(piece.max_hops).map_err(anyhow::Error::msg)?;
        envelope.deadline = deadline;
        envelope.not_before = piece.later.map(|later| self.mesh.now().plus(later));
        envelope.order_key.clone_from(&piece.more.order_key);
        envelope.itinerary = names(&piece.more.itinerary)?;
        for (agent, followers) in &piece.more.next {
            envelope.next.insert(agent.parse()?, names(followers)?);
        }
        if piece.more.compensates {
            envelope.policy = Some(Box::new(Policy {
                on_exhausted: Some(OnExhausted::Compensate),
                ..Policy::default()
            }));
        }
        // Every other piece has more than it can spend: what is judged is whether all of it is accounted for.
        if piece.tried.key.bytes().last().is_some_and(|last| last % 2 == 0) {
            envelope.budget = Some(Box::new(Budget::of(
                &Amounts::NONE.with(MeterName::Tokens, Amount::whole(BUDGET)),
            )));
        }
        if let Some(text) = &piece.tried.constraints {
            envelope = envelope.with_constraints(Json::parse(text)?);
        }
        for (name, value) in &piece.tried.unknown {
            envelope.extra.insert(name.clone(), Json::parse(value)?);
        }
        Ok(envelope)
    }
}

fn names(of: &[String]) -> Result<Vec<AgentName>> {
    of.iter().map(|name| Ok(name.parse()?)).collect()
}
