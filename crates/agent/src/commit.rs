//! The moment of truth: the guarded write of a hop's outcome, then what it implies, then the ack.

use std::sync::Arc;
use std::time::Duration;

use baton_envelope::{
    AgentName, AgentVersion, Asked, Envelope, ErrorInfo, Event, HistoryEntry, Json, Record, Route, Successor,
};
use baton_jetstream::{Delivery, Error, Sealed, in_form_for};

use crate::claim::{Lost, Position};
use crate::fault::{Fault, FaultKind};
use crate::outcome::{Capability, Outcome, OutcomeKind, Receiver};
use crate::run::{Ended, Shared};

/// How long a hop waits whose outcome the ledger did not take; its steps are recorded, so the rest is done again.
const UNWRITTEN: Duration = Duration::from_secs(5);

/// How many characters of an error's text are kept.
const LONGEST_MESSAGE: usize = 8_000;

/// What is to be written for an outcome.
enum Act {
    /// Ends the hop: settle it and ack.
    Commit(Event, Box<dyn Fn(Record) -> Record + Send + Sync>),
    /// Another attempt after a delay.
    Retry(Duration, ErrorInfo),
    /// Give the hop back now.
    Release(&'static str),
    /// Nothing that was done here counts.
    Nothing,
    /// The ledger does not take anything at the moment.
    Later,
}

impl Shared {
    /// Commits what a run came to, settles it, and acks or hands back the delivery.
    pub(crate) async fn commit(
        &self,
        delivery: Delivery,
        at: &mut Position,
        envelope: &Envelope,
        ended: Ended,
        took: Duration,
    ) {
        at.took_ms = u64::try_from(took.as_millis()).ok();
        let act = match ended {
            Ended::Done(outcome) => self.act_on_outcome(at, envelope, *outcome).await,
            Ended::Failed(fault) => self.act_on_fault(at, fault),
            Ended::Fenced => Act::Nothing,
            Ended::Aborted => Act::Release("the worker stops"),
        };
        match act {
            Act::Commit(event, fill) => self.write(delivery, at, event, fill).await,
            // What is rare is apart, so that the state of a hop that waits for its commit stays small.
            Act::Retry(delay, error) => Box::pin(self.schedule(delivery, at, delay, error)).await,
            Act::Release(reason) => Box::pin(self.release(delivery, at, reason)).await,
            Act::Nothing => tracing::info!(intent = %envelope.intent, "another holder has the hop, result dropped"),
            Act::Later => Box::pin(self.try_later(delivery, at)).await,
        }
    }

    async fn release(&self, delivery: Delivery, at: &mut Position, reason: &'static str) {
        match at.release(reason).await {
            Ok(()) => delivery.hand_back(Duration::ZERO).await,
            Err(lost) => self.lost(delivery, lost).await,
        }
    }

    async fn try_later(&self, delivery: Delivery, at: &mut Position) {
        // The trouble is the server's: the next delivery must not take it for the silent death of a worker.
        match at
            .release("the ledger or the routes could not be read or written")
            .await
        {
            Ok(()) | Err(Lost::Fenced(_)) => {}
            Err(Lost::Failed(error)) => tracing::debug!(%error, "a release could not be recorded"),
        }
        delivery.hand_back(UNWRITTEN).await;
    }

    async fn write(
        &self,
        delivery: Delivery,
        at: &mut Position,
        event: Event,
        fill: Box<dyn Fn(Record) -> Record + Send + Sync>,
    ) {
        match at.append(event, &*fill).await {
            Ok((record, seq)) => self.settle(delivery, &record, seq).await,
            Err(Lost::Failed(Error::TooLarge { what, size, limit })) => {
                let message = format!("{what}: {size} bytes, and the server takes at most {limit} in one message");
                Box::pin(self.park_too_large(delivery, at, message)).await;
            }
            Err(lost) => Box::pin(self.lost(delivery, lost)).await,
        }
    }

    async fn park_too_large(&self, delivery: Delivery, at: &mut Position, message: String) {
        let (event, fill) = park(ErrorInfo::new("PAYLOAD_TOO_LARGE", message));
        match at.append(event, &*fill).await {
            Ok((record, seq)) => self.settle(delivery, &record, seq).await,
            Err(lost) => self.lost(delivery, lost).await,
        }
    }

    /// Writes what a committed record implies. Only then may the ticket go.
    async fn settle(&self, delivery: Delivery, record: &Sealed, seq: u64) {
        if let Some(error) = &record.error {
            let (intent, status) = (&record.intent, &record.snapshot.status);
            tracing::warn!(%intent, %status, "the hop ended badly: {}", error.message);
        }
        match self.mesh.settle_sealed(record, seq).await {
            Ok(_) => delivery.ack().await,
            // Committed but not settled: the next delivery of this ticket sees the head and settles.
            Err(error) => {
                tracing::warn!(%error, intent = %record.intent, "committed, and not settled yet");
                delivery.hand_back(UNWRITTEN).await;
            }
        }
    }

    async fn schedule(&self, delivery: Delivery, at: &mut Position, delay: Duration, error: ErrorInfo) {
        let wake_at = self.mesh.now().plus(delay);
        let attempt = at.snapshot.attempt;
        tracing::warn!(
            intent = %delivery.ticket.intent, code = error.code, attempt, of = self.retry.max_attempts,
            "attempt failed, the next one in {:.1} s: {}", delay.as_secs_f64(), error.message
        );
        let scheduled = at.append(Event::RetryScheduled, |record| record.to_retry(wake_at, error.clone()));
        match scheduled.await {
            Ok(_) => delivery.hand_back(delay).await,
            Err(lost) => self.lost(delivery, lost).await,
        }
    }

    /// The write did not come to stand.
    async fn lost(&self, delivery: Delivery, lost: Lost) {
        let intent = delivery.ticket.intent.clone();
        match lost {
            // Someone else holds the hop. Acks are not fenced: acking here would take the ticket from under the other.
            Lost::Fenced(head) if head.record.snapshot.status.may_have_a_ticket() => {
                tracing::info!(%intent, seq = head.seq, "commit refused: another holder has the hop, result dropped");
            }
            Lost::Fenced(head) => {
                tracing::info!(%intent, seq = head.seq, "commit refused: the hop is over, result dropped");
                match self.mesh.settle(&head.record, head.seq).await {
                    Ok(_) => delivery.ack().await,
                    Err(error) => tracing::warn!(%error, %intent, "not settled"),
                }
            }
            Lost::Failed(error) => {
                tracing::error!(%error, %intent, "the ledger did not take the outcome; the hop is handed back");
                delivery.hand_back(UNWRITTEN).await;
            }
        }
    }

    async fn act_on_outcome(&self, at: &mut Position, envelope: &Envelope, outcome: Outcome) -> Act {
        let note = outcome.note;
        at.cost = outcome.cost.and_then(|cost| Json::of(&cost).ok());
        match outcome.kind {
            OutcomeKind::Complete(result) => Act::Commit(
                Event::Completed,
                Box::new(move |mut record| {
                    record.snapshot.result = Some(result.clone());
                    record.snapshot.error = None;
                    record.note.clone_from(&note);
                    record
                }),
            ),
            OutcomeKind::Reject { code, reason } => {
                let error = ErrorInfo::new(code.clone(), reason);
                Act::Commit(
                    Event::Rejected { code },
                    Box::new(move |mut record| {
                        record.note.clone_from(&note);
                        record.with_error(error.clone())
                    }),
                )
            }
            OutcomeKind::HandOff {
                to,
                payload,
                kind,
                history,
            } => {
                // Whoever pinned it may have changed that since this holder last wrote.
                if !at.snapshot.pins.is_empty()
                    && let Err(error) = at.refresh().await
                {
                    return self.act_on_fault(at, Fault::unwritten(&error));
                }
                let of_kind = kind.as_deref().or(envelope.kind.as_deref());
                let (to, version, route) = match self.receiver(at, envelope, &to, of_kind).await {
                    Ok(found) => found,
                    Err(fault) => return self.act_on_fault(at, fault),
                };
                let new = Successor {
                    id: self.mesh.clock().envelope_id(),
                    to,
                    to_version: version.clone(),
                    from: format!("{}@{}", self.agent, self.version),
                    payload,
                    kind,
                    history: history.map(|entry| self.signed(entry, envelope)),
                };
                match envelope.successor(new) {
                    Ok(mut next) => {
                        next.pins.clone_from(&at.snapshot.pins);
                        if let Err(broken) = envelope.check_must_carry(&next) {
                            return commit(park(ErrorInfo::new("MUST_CARRY", broken.to_string())));
                        }
                        match in_form_for(&route, &version, next, envelope.protocol, self.protocol) {
                            Ok((next, conversion)) => Act::Commit(
                                Event::HandedOff,
                                Box::new(move |mut record| {
                                    record.note.clone_from(&note);
                                    record.conversion.clone_from(&conversion);
                                    record.with_work(next.clone(), version.clone())
                                }),
                            ),
                            // No later attempt would find another form; a person rolls one of the two on, or back.
                            Err(error) => commit(park(ErrorInfo::new("NO_COMMON_PROTOCOL", error.to_string()))),
                        }
                    }
                    Err(limit) => {
                        let path: Vec<String> = at
                            .snapshot
                            .path
                            .iter()
                            .map(|entry| format!("{}@{}", entry.agent, entry.version))
                            .collect();
                        let message = format!("{limit}; path: {} -> {}", path.join(" -> "), limit.to);
                        commit(park(ErrorInfo::new("HOP_LIMIT", message)))
                    }
                }
            }
        }
    }

    /// Who gets a handoff, in which version.
    async fn receiver(
        &self,
        at: &Position,
        envelope: &Envelope,
        to: &Receiver,
        kind: Option<&str>,
    ) -> Result<(AgentName, AgentVersion, Arc<Route>), Fault> {
        // The pins of the ledger, not those of the envelope: an operator may have changed them since.
        let asked = Asked {
            root: envelope.root(),
            kind,
            pins: &at.snapshot.pins,
            path: &at.snapshot.path,
        };
        let agent = match to {
            Receiver::Agent(agent) => agent.clone(),
            Receiver::Capable(Capability(needed)) => match Box::pin(self.mesh.choose_capable(needed, &asked)).await {
                Ok((agent, _, _)) => agent,
                Err(error @ Error::NoneCapable { .. }) => {
                    return Err(Fault::retry(error.to_string()).with_code("NONE_CAPABLE"));
                }
                Err(error) => return Err(Fault::unwritten(&error)),
            },
        };
        match self.mesh.choose(&agent, &asked).await {
            Ok((choice, route)) => Ok((agent, choice.version, route)),
            Err(error @ Error::UnknownAgent { .. }) => Err(Fault::retry(error.to_string()).with_code("UNKNOWN_AGENT")),
            Err(error @ Error::Unroutable(_)) => Err(Fault::retry(error.to_string()).with_code("UNROUTABLE")),
            Err(error) => Err(Fault::unwritten(&error)),
        }
    }

    fn act_on_fault(&self, at: &Position, fault: Fault) -> Act {
        // It is written twice in the record, and must never be what makes a record too large.
        let message: String = fault.message.chars().take(LONGEST_MESSAGE).collect();
        let error = ErrorInfo::new(fault.code, message);
        match fault.kind {
            FaultKind::Fenced => Act::Nothing,
            FaultKind::Unwritten => Act::Later,
            FaultKind::Terminal => {
                let code = error.code.clone();
                Act::Commit(
                    Event::Failed { code },
                    Box::new(move |record| record.with_error(error.clone())),
                )
            }
            FaultKind::Retry(_) if at.snapshot.attempt >= self.retry.max_attempts => {
                let attempts = at.snapshot.attempt;
                // The cause stays the code where it names one; a plain failure is parked as exhausted.
                let code = if error.code == "RETRY" {
                    "EXHAUSTED".to_owned()
                } else {
                    error.code
                };
                let message = format!("{} (attempt {attempts} of {attempts})", error.message);
                commit(park(ErrorInfo::new(code, message)))
            }
            FaultKind::Retry(delay) => {
                let random = self.mesh.clock().random()[0];
                Act::Retry(
                    delay.unwrap_or_else(|| self.retry.delay(at.snapshot.attempt, random)),
                    error,
                )
            }
        }
    }

    fn signed(&self, mut entry: HistoryEntry, envelope: &Envelope) -> HistoryEntry {
        entry.agent = self.agent.clone();
        entry.version = Some(self.version.clone());
        entry.hop = Some(envelope.hop);
        entry.at = Some(self.mesh.now());
        entry
    }
}

type Fill = Box<dyn Fn(Record) -> Record + Send + Sync>;

fn park(error: ErrorInfo) -> (Event, Fill) {
    let event = Event::Parked {
        code: error.code.clone(),
    };
    let fill = move |record: Record| record.without_holder().with_error(error.clone());
    (event, Box::new(fill))
}

fn commit((event, fill): (Event, Fill)) -> Act {
    Act::Commit(event, fill)
}
