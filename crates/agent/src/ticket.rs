//! What a delivered ticket is worth, by the ledger, and the claim of its hop.

use std::time::Duration;

use baton_envelope::{
    Draft, Envelope, EnvelopeId, ErrorInfo, IllegalTransition, Place, Record, Snapshot, Standing, act, codes, is_fresh,
    is_long_retry, is_untouched, on_delivery, recorded_fan_out, recorded_steps, recorded_waits,
};
use baton_jetstream::{Advanced, Decision, Delivery, Error, Head, Known, Ticket};

use crate::claim::{AppendError, Claim};
use crate::memory::LeftBehind;
use crate::run::{LATER, Ready, Recorded, WorkerContext};

/// How long a ticket is handed back for that waits for a person.
const LASTING: Duration = Duration::from_secs(30);
/// How often a ticket is delivered that is ahead of its intent's head, [`LATER`] apart, before its record counts as lost.
/// A replica that answers lags by less; and where it lagged more, the sweeper writes the ticket again.
const AHEAD: u64 = 10;

enum Disposition {
    /// Run it.
    Run(Ready),
    /// Nothing is left to do: ack.
    Settled,
    /// Not now.
    Wait(Duration),
}

impl WorkerContext {
    /// What a fresh ticket brings to its run: nothing has to be read or written for it. `None` when the ledger has to
    /// be read first.
    pub(crate) fn take_fresh(&self, delivery: &mut Delivery) -> Option<Ready> {
        let ticket = &mut delivery.ticket;
        // A ticket that does not begin its hop, after a redrive for one, finds steps of earlier attempts in the ledger.
        let begins = |record: &Record| {
            record.event.begins_hop()
                && !record.snapshot.is_undoing()
                && record.envelope.as_ref().is_some_and(|envelope| self.is_ours(envelope))
        };
        if !is_fresh(ticket.facts) || !ticket.record.as_ref().is_some_and(|record| begins(record)) {
            return None;
        }
        let deadline = |record: &Record| record.envelope.as_ref().and_then(|envelope| envelope.deadline);
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
    pub(crate) async fn prepare(&self, delivery: Delivery) -> Option<(Delivery, Ready)> {
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
                Standing::Undoing => {
                    tracing::warn!(intent = %ticket.intent, "what is undone is not run again: the undoing goes on");
                    if self.end(&head, act::undo_on).await? {
                        return Ok(Disposition::Settled);
                    }
                }
                // An archived intent whose records came back after a crash of the server.
                Standing::Mine { .. } if self.mesh.is_closed(&head).await? => {
                    tracing::warn!(intent = %ticket.intent, "a ticket of an archived intent is dropped");
                    return Ok(Disposition::Settled);
                }
                Standing::Mine { attempt } => {
                    if let Some(disposition) = Box::pin(self.take_up(delivery, head, attempt)).await? {
                        return Ok(disposition);
                    }
                }
            }
        }
    }

    /// Takes the hop that a ticket stands for, or ends it. `None` when the head moved meanwhile.
    async fn take_up(&self, delivery: &Delivery, head: Head, attempt: u32) -> Result<Option<Disposition>, Error> {
        let ticket = &delivery.ticket;
        let untouched = attempt == 1 && is_untouched(&head.record, head.seq, ticket.seq, ticket.facts);
        if let (true, Some(envelope)) = (untouched, head.record.envelope.clone()) {
            let place = head.place();
            let claim = self.claim_on(&envelope, head.record.snapshot, place);
            let ready = Ready::new(claim, envelope, Recorded::default());
            return Ok(Some(Disposition::Run(ready)));
        }
        let envelope = match self.envelope_before(ticket, &head).await {
            // Another replica may have it.
            Err(Error::NoEnvelope(_)) if ticket.facts.delivered <= AHEAD => return Ok(Some(Disposition::Wait(LATER))),
            Err(Error::NoEnvelope(_)) => {
                tracing::error!(intent = %ticket.intent, "a hop is parked of which the ledger has lost records");
                let is_parked = self.end(&head, act::park_lost).await?;
                return Ok(is_parked.then_some(Disposition::Settled));
            }
            found => found?,
        };
        if attempt == 1 || attempt <= self.policy(Some(&envelope)).attempts {
            return self.claim(delivery, head, envelope, attempt).await;
        }
        let is_ended = self.end_poisoned(&head, &envelope, attempt - 1).await?;
        Ok(is_ended.then_some(Disposition::Settled))
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
    async fn envelope_before(&self, ticket: &Ticket, head: &Head) -> Result<Box<Envelope>, Error> {
        if let Some(envelope) = ticket.record.as_ref().and_then(|record| record.envelope.clone()) {
            return Ok(envelope);
        }
        self.mesh.envelope_of(head).await
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

    /// Claims the hop: a new epoch, which fences out any earlier holder. `None` when the head moved meanwhile. A hop of which the
    /// ledger has lost the beginning is parked: its steps may be lost too, and would be done again.
    async fn claim(
        &self,
        delivery: &Delivery,
        head: Head,
        envelope: Box<Envelope>,
        attempt: u32,
    ) -> Result<Option<Disposition>, Error> {
        let intent = delivery.ticket.intent.clone();
        let place = head.place();
        let begun_at = head.record.snapshot.envelope_seq.unwrap_or(head.seq);
        let mut claim = self.claim_on(&envelope, head.record.snapshot, place);
        match claim.take(attempt).await {
            Ok(()) => {}
            Err(AppendError::Fenced(_)) => return Ok(None),
            Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => return Err(error),
        }
        let mut history = match self.mesh.history_through(&intent, claim.place.seq).await {
            Ok(history) => history,
            Err(error) => return Err(unread(&mut claim, error).await),
        };
        if history.iter().all(|head| head.seq != begun_at) {
            tracing::error!(%intent, "a hop is parked of which the ledger has lost records");
            return parked(&mut claim, act::park_lost).await;
        }
        let records = history.iter_mut().map(|head| &mut head.record);
        let read = self.mesh.read_step_results(envelope.root(), records, envelope.hop);
        match read.await {
            Ok(()) => {}
            Err(error) if error.is_of_object() => {
                let gone = ErrorInfo::new(error.code(), error.to_string());
                return parked(&mut claim, |head| act::park(head, gone.clone())).await;
            }
            Err(error) => return Err(unread(&mut claim, error).await),
        }
        let waits = recorded_waits(history.iter().map(|head| &head.record), envelope.hop);
        let fan_out = recorded_fan_out(history.iter().map(|head| &head.record), envelope.hop).map(Box::new);
        let left = LeftBehind::by_call(history.iter().map(|head| &head.record), envelope.hop).map(Box::new);
        let steps = recorded_steps(history.into_iter().map(|head| head.record), envelope.hop);
        let recorded = Recorded {
            steps,
            waits,
            fan_out,
            left,
        };
        Ok(Some(Disposition::Run(Ready::new(claim, envelope, recorded))))
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

    pub(crate) fn claim_on(&self, envelope: &Envelope, snapshot: Snapshot, place: Place) -> Claim {
        let (mesh, by) = (self.mesh.clone(), self.by.clone());
        Claim::new(mesh, by, envelope.intent.clone(), envelope.id, snapshot, place)
    }
}

/// Parks a hop that was claimed and cannot be run. `None` when the head moved meanwhile.
async fn parked(
    claim: &mut Claim,
    park: impl Fn(&Snapshot) -> Result<Draft, IllegalTransition> + Send + Sync,
) -> Result<Option<Disposition>, Error> {
    match claim.append(park).await {
        Ok(()) => Ok(Some(Disposition::Settled)),
        Err(AppendError::Fenced(_)) => Ok(None),
        Err(AppendError::Failed(error) | AppendError::Unsettled(error)) => Err(error),
    }
}

/// Gives back a hop whose history could not be read. The trouble is the server's: it must not count as the death of the holder.
async fn unread(claim: &mut Claim, error: Error) -> Error {
    match claim.release("the history could not be read").await {
        Ok(()) | Err(AppendError::Fenced(_)) => {}
        Err(AppendError::Failed(lost) | AppendError::Unsettled(lost)) => {
            tracing::debug!(error = %lost, "a release could not be recorded");
        }
    }
    error
}
