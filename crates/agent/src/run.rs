//! The life of one delivered ticket.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::people::Approval;
use baton_envelope::{
    AgentName, AgentVersion, Author, Draft, Envelope, EnvelopeId, ErrorInfo, IllegalTransition, Json, Place, Policy,
    ProtocolRange, Snapshot, Standing, WaitResult, WaitSpec, act, is_fresh, is_long_retry, is_untouched, on_delivery,
    open_waits, recorded_fan_out, recorded_steps, recorded_waits,
};
use baton_jetstream::{Advanced, Allowance, Decision, Delivery, Error, Head, Known, Ticket, WorkerMesh};
use futures::FutureExt as _;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::claim::{AppendError, Claim};
use crate::dropped::Dropped;
use crate::fanning::resumed;
use crate::fault::{Fault, FaultKind};
use crate::handler::AnyHandler;
use crate::held::{AllHeld, Entered, Held};
use crate::hop::{Groups, Hop, HopClock, Journal};
use crate::outcome::{Outcome, OutcomeKind};
use crate::polled::{Polled, panic_text};
use crate::renewal::{extend, keep};

/// How long a ticket waits that cannot be dealt with now: the ledger cannot be read or written, or lags behind.
const LATER: Duration = Duration::from_secs(1);
/// How long a ticket is handed back for that waits for a person.
const LASTING: Duration = Duration::from_secs(30);
/// How often a ticket is delivered that is ahead of its intent's head, [`LATER`] apart, before its record counts as lost.
/// A replica that answers lags by less; and where it lagged more, the sweeper writes the ticket again.
const AHEAD: u64 = 10;

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
    /// The hop waits for something outside.
    Suspended(Vec<WaitSpec>),
    /// The attempt ran longer than the policy allows.
    Overran(Duration),
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
struct Ready {
    claim: Arc<Mutex<Claim>>,
    envelope: Arc<Envelope>,
    recorded: Recorded,
}

/// What earlier attempts of a hop have recorded.
#[derive(Default)]
struct Recorded {
    steps: BTreeMap<String, Json>,
    waits: BTreeMap<String, WaitResult>,
    /// What it has asked for without coming back.
    fan_out: Option<Box<WaitSpec>>,
}

impl Ready {
    fn new(claim: Claim, envelope: Envelope, recorded: Recorded) -> Self {
        Self {
            claim: Arc::new(Mutex::new(claim)),
            envelope: Arc::new(envelope),
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
            true => self.run(&held, &claim, &ready.envelope, ready.recorded).await,
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
    fn is_ours(&self, envelope: &Envelope) -> bool {
        envelope.to == self.agent
    }

    async fn run(
        &self,
        held: &Held,
        claim: &Arc<Mutex<Claim>>,
        envelope: &Arc<Envelope>,
        Recorded { steps, waits, fan_out }: Recorded,
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
            groups: Arc::clone(&self.groups),
            clock: HopClock::Mesh(self.mesh.clone()),
            signals_sent: 0,
            calls: BTreeMap::new(),
            protocol: self.protocol,
            largest: self.mesh.largest_message(),
            remains: OnceLock::new(),
            cancelled: CancellationToken::new(),
        };
        let gates = match self.gates(&hop, &open).await {
            Ok(gates) => gates,
            Err(fault) => return Ran::of(RunResult::Failed(fault)),
        };
        let cancelled = hop.cancelled.clone();
        let finished = |finished: std::thread::Result<Result<Outcome, Fault>>| match finished {
            Ok(Ok(outcome)) => RunResult::Done(Box::new(outcome)),
            Ok(Err(fault)) if fault.kind == FaultKind::Suspended => RunResult::Suspended(fault.waits),
            Ok(Err(fault)) => RunResult::Failed(fault),
            Err(panic) => RunResult::Failed(Fault::retry(panic_text(panic.as_ref())).with_code(codes::PANIC)),
        };
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

    /// What a fresh ticket brings to its run: nothing has to be read or written for it. `None` when the ledger has to
    /// be read first.
    fn take_fresh(&self, delivery: &mut Delivery) -> Option<Ready> {
        let ticket = &mut delivery.ticket;
        // A ticket that does not begin its hop, after a redrive for one, finds steps of earlier attempts in the ledger.
        let begins = |record: &baton_envelope::Record| {
            record.event.begins_hop() && record.envelope.as_ref().is_some_and(|envelope| self.is_ours(envelope))
        };
        if !is_fresh(ticket.facts) || !ticket.record.as_ref().is_some_and(|record| begins(record)) {
            return None;
        }
        let deadline =
            |record: &baton_envelope::Record| record.envelope.as_ref().and_then(|envelope| envelope.deadline);
        let is_late = |deadline| deadline <= self.mesh.now();
        if ticket.record.as_deref().and_then(deadline).is_some_and(is_late) {
            return None;
        }
        let record = ticket.record.take()?;
        let (snapshot, envelope) = (record.snapshot, record.envelope?);
        let mut claim = self.claim_on(&envelope, snapshot, ticket.place());
        claim.snapshot.envelope_seq = Some(ticket.seq);
        Some(Ready::new(claim, envelope, Recorded::default()))
    }

    /// Finds out whether a ticket may be run, and claims it where that takes a claim. `None` when it is dealt with.
    async fn prepare(&self, delivery: Delivery) -> Option<(Delivery, Ready)> {
        match Box::pin(self.examine(&delivery)).await {
            Ok(Disposition::Run(ready)) => Some((delivery, ready)),
            Ok(Disposition::Settled) => {
                delivery.ack().await;
                None
            }
            Ok(Disposition::Wait(delay)) => {
                delivery.hand_back(delay).await;
                None
            }
            Err(error) => {
                tracing::warn!(%error, intent = %delivery.ticket.intent, "the ticket cannot be checked now");
                // A record that may be of a newer protocol stays until somebody upgrades or repairs it.
                let is_lasting = matches!(error, Error::Decode(_));
                let delay = if is_lasting { LASTING } else { LATER };
                delivery.hand_back(delay).await;
                None
            }
        }
    }

    /// Reads the head and decides what the ticket is worth.
    async fn examine(&self, delivery: &Delivery) -> Result<Disposition, Error> {
        let ticket = &delivery.ticket;
        loop {
            let found = match self.mesh.head_in_server_time(&ticket.intent).await {
                Err(error @ Error::NoneReadable { .. }) => {
                    tracing::warn!(%error, "a ticket that no record owes is dropped");
                    self.dropped.note(ticket.facts);
                    return Ok(Disposition::Settled);
                }
                found => found?,
            };
            let Some(head) = found else {
                // Closed, archived and purged: the ticket is one that came back, or was written by somebody who had been
                // frozen.
                tracing::warn!(intent = %ticket.intent, "a ticket without any ledger record is dropped");
                self.dropped.note(ticket.facts);
                return Ok(Disposition::Settled);
            };
            if head.seq < ticket.seq {
                if ticket.facts.delivered <= AHEAD {
                    return Ok(Disposition::Wait(LATER));
                }
                // A power cut took the record and left the ticket. Kept, it would pass for work that is queued, and the
                // sweeper would write no lost ticket of this version again.
                tracing::warn!(intent = %ticket.intent, "a ticket whose record the ledger has lost is dropped");
                self.dropped.note_any();
                self.mesh.settle(&head).await?;
                return Ok(Disposition::Settled);
            }
            let Some(id) = self.envelope_of(ticket).await? else {
                self.dropped.note(ticket.facts);
                return Ok(Disposition::Settled);
            };
            // The same ticket in the stream of another agent.
            if head.record.snapshot.envelope == Some(id) && head.record.snapshot.agent.as_ref() != Some(&self.agent) {
                tracing::error!(intent = %ticket.intent, "a ticket that is not for this agent is dropped");
                self.dropped.note(ticket.facts);
                return Ok(Disposition::Settled);
            }
            let now = self.mesh.now();
            match on_delivery(&head.record, id, ticket.facts, now) {
                Standing::Superseded => {
                    self.mesh.settle(&head).await?;
                    return Ok(Disposition::Settled);
                }
                Standing::Early { .. }
                    if is_long_retry(&head.record.snapshot, head.record.at) && self.leaves_long_retries().await =>
                {
                    // A worker died between the record and its ack.
                    return Ok(Disposition::Settled);
                }
                Standing::Early { wait } => return Ok(Disposition::Wait(wait)),
                Standing::Late => {
                    if self.end(&head, act::time_out).await? {
                        return Ok(Disposition::Settled);
                    }
                }
                // An archived intent whose records came back after a crash of the server.
                Standing::Mine { .. } if self.mesh.is_closed(&head).await? => {
                    tracing::warn!(intent = %ticket.intent, "a ticket of an archived intent is dropped");
                    return Ok(Disposition::Settled);
                }
                Standing::Mine { attempt } if attempt > 1 => {
                    let envelope = self.envelope_before(ticket, &head).await?;
                    if attempt <= self.policy(Some(&envelope)).attempts {
                        if let Some(ready) = self.claim(delivery, head, envelope, attempt).await? {
                            return Ok(Disposition::Run(ready));
                        }
                    } else if self.end_poisoned(&head, &envelope, attempt - 1).await? {
                        return Ok(Disposition::Settled);
                    }
                }
                Standing::Mine { attempt } => {
                    let untouched = is_untouched(&head.record, head.seq, ticket.seq, ticket.facts);
                    if let (true, Some(envelope)) = (untouched, head.record.envelope.clone()) {
                        let place = head.place();
                        let claim = self.claim_on(&envelope, head.record.snapshot, place);
                        return Ok(Disposition::Run(Ready::new(claim, envelope, Recorded::default())));
                    }
                    let envelope = self.envelope_before(ticket, &head).await?;
                    if let Some(ready) = self.claim(delivery, head, envelope, attempt).await? {
                        return Ok(Disposition::Run(ready));
                    }
                }
            }
        }
    }

    /// Ends a hop whose attempts went by without a word from a worker, as the policy says. `false` when the head moved
    /// meanwhile.
    async fn end_poisoned(&self, head: &Head, envelope: &Envelope, attempts: u32) -> Result<bool, Error> {
        let snapshot = &head.record.snapshot;
        let message = format!(
            "{attempts} attempts at hop {} ended without a word from the worker",
            snapshot.hop
        );
        let error = ErrorInfo::new(codes::POISON, message);
        let ending = Box::pin(self.exhausted(snapshot, envelope, error, attempts)).await;
        self.end(head, |now| ending.draft(now)).await
    }

    /// The envelope of the present hop.
    async fn envelope_before(&self, ticket: &Ticket, head: &Head) -> Result<Envelope, Error> {
        if let Some(envelope) = ticket.record.as_ref().and_then(|record| record.envelope.clone()) {
            return Ok(envelope);
        }
        let seq = head.record.snapshot.envelope_seq.unwrap_or(head.seq);
        let source = self.mesh.record_at(&ticket.intent, seq).await?;
        source
            .record
            .envelope
            .ok_or_else(|| Error::NoIntent(ticket.intent.clone()))
    }

    /// The envelope that a ticket stands for; `None` when nobody can read which.
    async fn envelope_of(&self, ticket: &Ticket) -> Result<Option<EnvelopeId>, Error> {
        if let Some(record) = &ticket.record {
            return Ok(record.envelope.as_ref().map(|envelope| envelope.id));
        }
        match self.mesh.record_at(&ticket.intent, ticket.seq).await {
            // Not a writer of Baton's: neither the ticket nor what it names says what is to be done.
            Err(error @ (Error::NoEnvelope(_) | Error::NoneReadable { .. })) => {
                tracing::warn!(%error, intent = %ticket.intent, "a ticket that nobody can read is dropped");
                Ok(None)
            }
            source => Ok(source?.record.envelope.map(|envelope| envelope.id)),
        }
    }

    /// Claims the hop: a new epoch, which fences out any earlier holder. `None` when the head moved meanwhile.
    async fn claim(
        &self,
        delivery: &Delivery,
        head: Head,
        envelope: Envelope,
        attempt: u32,
    ) -> Result<Option<Ready>, Error> {
        let intent = delivery.ticket.intent.clone();
        let place = head.place();
        let mut claim = self.claim_on(&envelope, head.record.snapshot, place);
        match claim.take(attempt).await {
            Ok(()) => {}
            Err(AppendError::Fenced(_)) => return Ok(None),
            Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => return Err(error),
        }
        let history = match self.mesh.history_through(&intent, claim.place.seq).await {
            Ok(history) => history,
            Err(error) => {
                // The trouble is the server's: it must not count as the death of this holder.
                match claim.release("the history could not be read").await {
                    Ok(()) | Err(AppendError::Fenced(_)) => {}
                    Err(AppendError::Failed(lost) | AppendError::Unsettled(lost)) => {
                        tracing::debug!(error = %lost, "a release could not be recorded");
                    }
                }
                return Err(error);
            }
        };
        let waits = recorded_waits(history.iter().map(|head| &head.record), envelope.hop);
        let fan_out = recorded_fan_out(history.iter().map(|head| &head.record), envelope.hop).map(Box::new);
        let steps = recorded_steps(history.into_iter().map(|head| head.record), envelope.hop);
        let recorded = Recorded { steps, waits, fan_out };
        Ok(Some(Ready::new(claim, envelope, recorded)))
    }

    /// Ends or parks an intent whose hop will not be run. `false` when the head moved meanwhile.
    async fn end(
        &self,
        head: &Head,
        act: impl Fn(&Snapshot) -> Result<Draft, IllegalTransition> + Send + Sync,
    ) -> Result<bool, Error> {
        let ended = self
            .mesh
            .advance(&head.record.intent, &self.by, Known::Read(head), |now, _| {
                let Some(now) = now.filter(|now| now.seq == head.seq) else {
                    return Ok(Decision::Nothing);
                };
                Ok::<_, Error>(act(now.snapshot)?.into())
            });
        Ok(matches!(ended.await?, Advanced::Committed(_)))
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

    fn claim_on(&self, envelope: &Envelope, snapshot: Snapshot, place: Place) -> Claim {
        let (mesh, by) = (self.mesh.clone(), self.by.clone());
        Claim::new(mesh, by, envelope.intent.clone(), envelope.id, snapshot, place)
    }
}

/// A handler that asks others and does not come back is suspended until they have ended.
async fn fanned(hop: &mut Hop, ended: RunResult) -> RunResult {
    let RunResult::Done(outcome) = ended else { return ended };
    if hop.suspended.is_some() || !matches!(outcome.kind, OutcomeKind::FanOut(_)) {
        return RunResult::Done(outcome);
    }
    // Rare, and apart, so that the state of a hop stays small.
    match Box::pin(hop.fanned(*outcome)).await {
        Ok(outcome) => RunResult::Done(Box::new(outcome)),
        Err(fault) if fault.kind == FaultKind::Suspended => RunResult::Suspended(fault.waits),
        Err(fault) => RunResult::Failed(fault),
    }
}

/// A handler that has asked to wait is suspended, whatever it has made of the fault.
fn suspended(hop: &mut Hop, ended: RunResult) -> RunResult {
    match (ended, hop.suspended.take()) {
        (RunResult::Done(_) | RunResult::Failed(_), Some(waits)) => RunResult::Suspended(waits),
        (ended, _) => ended,
    }
}

enum Disposition {
    /// Run it.
    Run(Ready),
    /// Nothing is left to do: ack.
    Settled,
    /// Not now.
    Wait(Duration),
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
