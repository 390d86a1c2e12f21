//! The life of one delivered ticket.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::people::Approval;
use baton_envelope::{
    AgentName, AgentVersion, Author, Envelope, ErrorInfo, Json, OBJECT_LIMIT, ObjectRef, Policy, ProtocolRange,
    WaitResult, WaitSpec, open_waits,
};
use baton_jetstream::{Allowance, Delivery, WorkerMesh};
use futures::FutureExt as _;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caps::Caps;
use crate::claim::{AppendError, Claim};
use crate::dropped::Dropped;
use crate::fanning::resumed;
use crate::fault::{Fault, FaultKind};
use crate::given::OwnView;
use crate::handler::AnyHandler;
use crate::held::{AllHeld, Entered, Held};
use crate::hop::{Groups, Hop, HopClock, Journal};
use crate::memory::{HandedOn, LeftBehind};
use crate::outcome::{Outcome, OutcomeKind};
use crate::polled::{Polled, panic_text};
use crate::renewal::{extend, keep};

/// How long a ticket waits that cannot be dealt with now: the ledger cannot be read or written, or lags behind.
pub(crate) const LATER: Duration = Duration::from_secs(1);
/// How long a handler may go on that is told that its hop is another's, before it is dropped.
const CANCELLED: Duration = Duration::from_secs(1);

/// What all hops of a worker share.
pub(crate) struct WorkerContext {
    pub(crate) mesh: WorkerMesh,
    pub(crate) agent: AgentName,
    pub(crate) version: AgentVersion,
    pub(crate) by: Author,
    pub(crate) handler: Arc<dyn AnyHandler>,
    /// The versions of the protocol that it reads and writes.
    pub(crate) protocol: ProtocolRange,
    /// The failure policy that this worker declares; an operator's comes before it.
    pub(crate) declared: Policy,
    /// The groups of people that it knows.
    pub(crate) groups: Arc<Groups>,
    /// What its hops make their own views with.
    pub(crate) own_view: Arc<OwnView>,
    /// What people are asked before any hop begins.
    pub(crate) gate: Option<Approval>,
    /// Cancelled when the grace time is over: hops that still run are handed back.
    pub(crate) abort: CancellationToken,
    /// What this process is at work on; a second delivery of the same work is not run beside the first.
    pub(crate) held: Arc<AllHeld>,
    /// The tickets of late that no record owes.
    pub(crate) dropped: Dropped,
    /// What may be run and started.
    pub(crate) allowance: Arc<Allowance>,
    /// What may be spent in a day.
    pub(crate) caps: Arc<Caps>,
}

impl std::fmt::Debug for WorkerContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerContext")
            .field("agent", &self.agent)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// How the run of a handler ended.
pub(crate) enum RunResult {
    Done(Box<Outcome>),
    Failed(Fault),
    /// Another holder has the hop.
    Fenced,
    /// The worker stops.
    Aborted,
    /// The deadline of the intent passed.
    Late,
    /// The hop waits for something outside. Children that it asks begin with what it hands on.
    Suspended(Vec<WaitSpec>, Option<Box<HandedOn>>),
    /// The attempt ran longer than the policy allows.
    Overran(Duration),
    /// The object that is its payload, or the result of a child of it, cannot be had.
    WithoutObject(ErrorInfo),
}

/// A run that is over.
struct Ran {
    ended: RunResult,
    /// What its handler has started and still runs; closed.
    remains: Option<TaskTracker>,
}

impl Ran {
    /// One that has left nothing.
    fn of(ended: RunResult) -> Self {
        Self { ended, remains: None }
    }
}

/// A hop that may be run: where it stands, what it carries, which steps are recorded.
pub(crate) struct Ready {
    pub(crate) claim: Arc<Mutex<Claim>>,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) recorded: Recorded,
}

/// What earlier attempts of a hop have recorded.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) steps: BTreeMap<String, Json>,
    pub(crate) waits: BTreeMap<String, WaitResult>,
    /// What it has asked for without coming back.
    pub(crate) fan_out: Option<Box<WaitSpec>>,
    /// What its last call left of what it knew then.
    pub(crate) left: Option<Box<LeftBehind>>,
}

impl Ready {
    pub(crate) fn new(claim: Claim, envelope: Box<Envelope>, recorded: Recorded) -> Self {
        Self {
            claim: Arc::new(Mutex::new(claim)),
            envelope: Arc::from(envelope),
            recorded,
        }
    }
}

impl WorkerContext {
    /// Takes one delivery to its end.
    pub(crate) async fn take(self: Arc<Self>, mut delivery: Delivery) {
        let Some(Entered { entry, held, others }) = self.held.enter(&delivery) else {
            // The run that is going on acks for both: acks name the ticket, not the delivery.
            tracing::debug!(intent = %delivery.ticket.intent, "delivered again while it runs here");
            return;
        };
        delivery.hold(entry);
        if self.mesh.is_secured()
            && let Err(error) = Box::pin(delivery.look_up()).await
        {
            tracing::warn!(%error, intent = %delivery.ticket.intent, "the record of a ticket cannot be read now");
            return delivery.hand_back(LATER).await;
        }
        if !delivery.has_slot() {
            return Box::pin(self.hand_back_unrun(delivery)).await;
        }
        if self.allowance.try_start().is_err() && !Box::pin(self.wait_to_start(&held)).await {
            return Box::pin(self.hand_back_unrun(delivery)).await;
        }
        let (mut delivery, ready) = match self.take_fresh(&mut delivery) {
            Some(ready) => (delivery, ready),
            // Rare, and apart, so that the state of a hop stays small: thousands may run at once.
            None => match Box::pin(self.prepare(delivery)).await {
                Some(prepared) => {
                    // What this has just sent is with a task that tokio runs next on this thread, and on no other: a handler
                    // that blocks the thread would keep the connection.
                    tokio::task::yield_now().await;
                    prepared
                }
                None => return,
            },
        };
        let claim = ready.claim;
        let started = tokio::time::Instant::now();
        let Ran { ended, remains } = match others.is_empty() || Box::pin(self.wait_for(others, &held)).await {
            true => {
                let received = match &ready.envelope.payload_ref {
                    None => Ok(Arc::clone(&ready.envelope)),
                    Some(payload) => Box::pin(self.received(&held, &ready.envelope, payload)).await,
                };
                match received {
                    Ok(received) => self.run(&held, &claim, &received, ready.recorded).await,
                    Err(ended) => Ran::of(*ended),
                }
            }
            false => Ran::of(RunResult::Aborted),
        };
        let took = started.elapsed();
        // What is left of it keeps its slot, though nothing else waits for it.
        let slot = remains.as_ref().and_then(|_| delivery.take_slot());
        if remains.is_none() {
            held.end();
        }
        let claim = &mut *claim.lock().await;
        tokio::select! {
            biased;
            () = self.commit(delivery, claim, &ready.envelope, ended, took) => {}
            () = extend(&held) => {}
        }
        if let Some(remains) = remains {
            Box::pin(remains.wait()).await;
        }
        drop(slot);
    }

    /// Whether an envelope is for this agent. A ticket in its stream for another is none that any writer of Baton made.
    pub(crate) fn is_ours(&self, envelope: &Envelope) -> bool {
        envelope.to == self.agent
    }

    /// The envelope as the handler gets it: with the payload, which is an object. Rare, and boxed by its caller, so that the
    /// state of a hop stays small.
    async fn received(
        &self,
        held: &Held,
        envelope: &Envelope,
        payload: &ObjectRef,
    ) -> Result<Arc<Envelope>, Box<RunResult>> {
        let body = tokio::select! {
            body = self.mesh.body_of(envelope.root(), payload) => body,
            () = extend(held) => return Err(Box::new(RunResult::Fenced)),
        };
        match body {
            Ok(body) => Ok(Arc::new(envelope.clone().with_payload(body))),
            Err(error) if error.is_of_object() => {
                let error = ErrorInfo::new(error.code(), error.to_string());
                Err(Box::new(RunResult::WithoutObject(error)))
            }
            Err(error) => Err(Box::new(RunResult::Failed(Fault::unwritten(&error)))),
        }
    }

    async fn run(
        &self,
        held: &Held,
        claim: &Arc<Mutex<Claim>>,
        envelope: &Arc<Envelope>,
        Recorded {
            steps,
            waits,
            fan_out,
            left,
        }: Recorded,
    ) -> Ran {
        let (attempt, epoch, open) = {
            let claim = claim.lock().await;
            let open = open_waits(&claim.snapshot).map(|wait| wait.name.clone());
            (claim.snapshot.attempt, claim.snapshot.epoch, open.collect::<Vec<_>>())
        };
        let mut hop = Hop {
            envelope: Arc::clone(envelope),
            attempt,
            epoch,
            journal: Journal::Ledger(Arc::clone(claim)),
            steps,
            waits,
            suspended: None,
            without: None,
            groups: Arc::clone(&self.groups),
            own_view: Arc::clone(&self.own_view),
            clock: HopClock::Mesh(self.mesh.clone()),
            mesh: Some(self.mesh.clone()),
            version: Some(self.version.clone()),
            context: None,
            caps: Some(Arc::clone(&self.caps)),
            joined: left.into_iter().map(|left| *left).collect(),
            recalled: 0,
            signals_sent: 0,
            calls: BTreeMap::new(),
            protocol: self.protocol,
            largest: self.mesh.largest_message().max(OBJECT_LIMIT),
            remains: OnceLock::new(),
            cancelled: CancellationToken::new(),
        };
        let gates = match self.gates(&hop, &open).await {
            Ok(gates) => gates,
            Err(fault) => return Ran::of(RunResult::Failed(fault)),
        };
        let cancelled = hop.cancelled.clone();
        let ended = {
            let handler = AssertUnwindSafe(resumed(&*self.handler, &mut hop, gates, fan_out)).catch_unwind();
            let mut handler = Polled {
                handler,
                held,
                all: &self.held,
            };
            // One that does not wait for anything needs nobody to keep its delivery.
            if let Some(done) = (&mut handler).now_or_never() {
                drop(handler);
                let ended = fanned(&mut hop, finished(done)).await;
                return Ran::of(self.in_time(envelope, suspended(&mut hop, ended)));
            }
            let kept = Box::pin(keep(held, Arc::clone(claim)));
            let late = Box::pin(self.out_of_time(envelope));
            let ended = tokio::select! {
                biased;
                done = &mut handler => self.in_time(envelope, finished(done)),
                () = self.abort.cancelled() => RunResult::Aborted,
                () = kept => RunResult::Fenced,
                late = late => late,
            };
            if let RunResult::Fenced = ended {
                cancelled.cancel();
                // Whatever it comes to counts for nothing.
                drop(Box::pin(tokio::time::timeout(CANCELLED, &mut handler)).await);
            }
            ended
        };
        let ended = fanned(&mut hop, ended).await;
        let ended = suspended(&mut hop, ended);
        // The handler is gone. A hop that is given back, or was taken away, may be run elsewhere at once, so what it has left
        // is waited for. Where it is over, its end is written first.
        let mut remains = hop.remains.take();
        if let Some(remains) = &remains {
            remains.close();
        }
        if let RunResult::Aborted | RunResult::Overran(_) | RunResult::Fenced = &ended
            && let Some(remains) = remains.take()
        {
            Box::pin(remains.wait()).await;
        }
        let remains = remains.filter(|remains| !remains.is_empty());
        Ran { ended, remains }
    }

    /// Hands back a ticket that came without a slot. One that was never delivered before is marked as released first,
    /// so that its next delivery is not taken for a takeover from a dead worker. Should somebody have taken the hop since
    /// the ticket was authorised, the mark is refused.
    async fn hand_back_unrun(&self, delivery: Delivery) {
        if let (1, Some(record)) = (delivery.ticket.facts.delivered, &delivery.ticket.record)
            && let Some(envelope) = &record.envelope
        {
            let mut claim = self.claim_on(envelope, record.snapshot.clone(), delivery.ticket.place());
            match claim.release("no free slot").await {
                Ok(()) | Err(AppendError::Fenced(_)) => {}
                Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => {
                    tracing::warn!(%error, "a release could not be recorded");
                }
            }
        }
        delivery.hand_back(Duration::ZERO).await;
    }
}

/// A handler that asks others and does not come back is suspended until they have ended.
async fn fanned(hop: &mut Hop, ended: RunResult) -> RunResult {
    let RunResult::Done(outcome) = ended else { return ended };
    if hop.suspended.is_some() || !matches!(outcome.kind, OutcomeKind::FanOut(_) | OutcomeKind::Broadcast(_)) {
        return RunResult::Done(outcome);
    }
    // Rare, and apart, so that the state of a hop stays small.
    match Box::pin(hop.fanned(*outcome)).await {
        Ok(outcome) => RunResult::Done(Box::new(outcome)),
        Err(fault) if fault.kind == FaultKind::Suspended => RunResult::Suspended(fault.waits, None),
        Err(fault) => RunResult::Failed(fault),
    }
}

/// A handler that has asked to wait is suspended, whatever it has made of the fault; what one has done that could not read what its
/// children came to does not count either. An outcome has with it what the hop has remembered, in any of its attempts.
fn suspended(hop: &mut Hop, ended: RunResult) -> RunResult {
    let is_over = matches!(
        ended,
        RunResult::Done(_) | RunResult::Failed(_) | RunResult::Suspended(..)
    );
    if let (true, Some(error)) = (is_over, hop.without.take()) {
        return RunResult::WithoutObject(*error);
    }
    let ended = match (ended, hop.suspended.take()) {
        (RunResult::Done(_) | RunResult::Failed(_), Some(waits)) => RunResult::Suspended(waits, None),
        (ended, _) => ended,
    };
    match ended {
        RunResult::Done(mut outcome) => {
            let HandedOn { view, task, .. } = std::mem::take(&mut outcome.handed_on);
            outcome.handed_on = HandedOn {
                view,
                task,
                ..hop.handed_on()
            };
            RunResult::Done(outcome)
        }
        RunResult::Suspended(waits, handed_on) => {
            let asks = waits.iter().any(|wait| wait.children.is_some());
            let handed_on = handed_on.or_else(|| asks.then(|| Box::new(hop.handed_on())));
            RunResult::Suspended(waits, handed_on)
        }
        RunResult::Failed(_)
        | RunResult::Fenced
        | RunResult::Aborted
        | RunResult::Late
        | RunResult::Overran(_)
        | RunResult::WithoutObject(_) => ended,
    }
}

/// What a handler came to that has ended by itself.
fn finished(finished: std::thread::Result<Result<Outcome, Fault>>) -> RunResult {
    match finished {
        Ok(Ok(outcome)) => RunResult::Done(Box::new(outcome)),
        Ok(Err(fault)) if fault.kind == FaultKind::Suspended => RunResult::Suspended(fault.waits, None),
        Ok(Err(fault)) => RunResult::Failed(fault),
        Err(panic) => RunResult::Failed(Fault::retry(panic_text(panic.as_ref())).with_code(codes::PANIC)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of hops may run at once, and each waits for the server in this future.
    const MOST: usize = 4_400;

    #[test]
    fn the_state_of_a_hop_stays_small() {
        fn size_of_future<F>(_: impl Fn(Arc<WorkerContext>, Delivery) -> F) -> usize {
            size_of::<F>()
        }
        let size = size_of_future(WorkerContext::take);
        assert!(size <= MOST, "{size} bytes, and {MOST} are allowed");
    }
}
