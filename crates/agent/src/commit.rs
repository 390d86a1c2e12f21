//! The guarded write of a hop's outcome, then what it implies, then the ack.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{
    AgentName, AgentVersion, Asked, Body, Envelope, ErrorInfo, HistoryEntry, HopLimit, Json, LONG_RETRY, OnExhausted,
    Protocol, Route, Snapshot, StandsIn, Successor, Undo, act, check_kind, closing_cycle,
};
use baton_jetstream::{Delivery, Error, Placed, in_form_for};

use crate::claim::{AppendError, Claim};
use crate::ending::Ending;
use crate::expecting::expected;
use crate::fault::{Fault, FaultKind};
use crate::memory::HandedOn;
use crate::outcome::{Capability, Outcome, OutcomeKind, Receiver};
use crate::run::{RunResult, WorkerContext};
use crate::undoing::{check_room, check_taker};

/// The first minor whose workers leave the ticket of a long retry to the leader, which goes by what the version declares.
const LEADER_WRITES: Protocol = Protocol::new(1, 4, 0);

/// What to do where a record does not fit into one message.
pub(crate) const SMALLER: &str =
    "fix: pass references to what is large, ask fewer others at a time, or raise `max_payload` of the server";

/// How many characters of an error's text to keep.
const LONGEST_MESSAGE: usize = 8_000;

/// What a hop hands on, and to whom.
struct HandedOff {
    to: Receiver,
    payload: Body,
    kind: Option<String>,
    history: Option<Box<HistoryEntry>>,
    note: Option<String>,
    undo: Option<Box<Undo>>,
    handed_on: HandedOn,
}

/// The verdict on a run.
pub(crate) enum Verdict {
    /// End the hop: commit, then ack.
    Commit(Ending),
    /// Another attempt after a delay.
    Retry(Duration, ErrorInfo),
    /// Give the hop back now.
    Release(&'static str),
    /// Nothing done here counts.
    Nothing,
    /// The ledger takes no writes at the moment.
    Later,
}

impl WorkerContext {
    /// Commits the result of a run, settles it, and acks or hands back the delivery.
    pub(crate) async fn commit(
        &self,
        delivery: Delivery,
        at: &mut Claim,
        envelope: &Envelope,
        ended: RunResult,
        took: Duration,
    ) {
        at.took_ms = u64::try_from(took.as_millis()).ok();
        let verdict = match ended {
            RunResult::Done(outcome) => self.act_on_outcome(at, envelope, *outcome).await,
            // The rare cases are separate, so that the state of a hop that waits for its commit stays small.
            RunResult::Failed(fault) => Box::pin(self.act_on_fault(at, envelope, fault)).await,
            RunResult::Overran(timeout) => {
                let message = format!("the attempt ran longer than {} ms", timeout.as_millis());
                let fault = Fault::retry(message).with_code(codes::ATTEMPT_TIMED_OUT);
                Box::pin(self.act_on_fault(at, envelope, fault)).await
            }
            RunResult::Fenced => Verdict::Nothing,
            RunResult::Suspended(waits, handed_on) => {
                Box::pin(self.suspend(at, envelope, waits, *handed_on.unwrap_or_default())).await
            }
            RunResult::Aborted => Verdict::Release("the worker stops"),
            // No attempt would find it: a person redrives the intent once the object is back.
            RunResult::WithoutObject(error) => park(error),
            RunResult::Late => {
                tracing::warn!(intent = %envelope.intent, "the deadline passed while the hop ran; it is ended");
                Verdict::Commit(Ending::TimeOut)
            }
        };
        match verdict {
            // Apart, as it is the most of all of this: a hop that runs need not keep room for it.
            Verdict::Commit(ending) => Box::pin(self.write(delivery, at, ending)).await,
            Verdict::Retry(delay, error) => Box::pin(self.schedule(delivery, at, envelope, delay, error)).await,
            Verdict::Release(reason) => Box::pin(self.release(delivery, at, reason)).await,
            Verdict::Nothing => Box::pin(self.leave(delivery, at)).await,
            Verdict::Later => Box::pin(self.try_later(delivery, at)).await,
        }
    }

    async fn write(&self, delivery: Delivery, at: &mut Claim, ending: Ending) {
        match at.append(|head| ending.draft(head)).await {
            Ok(()) => {
                if let Some(error) = ending.error() {
                    let (intent, status) = (&delivery.ticket.intent, &at.snapshot.status);
                    tracing::warn!(%intent, %status, "the hop ended badly: {}", error.message);
                }
                delivery.ack().await;
            }
            // The record is too large, not its ticket: nothing was written.
            Err(AppendError::Failed(Error::TooLarge { what, size, limit })) => {
                let message = format!(
                    "{}: {size} bytes, and the server takes at most {limit} in one message; {SMALLER}",
                    ending.asked().unwrap_or(what)
                );
                let ending = Ending::Park(ErrorInfo::new(codes::PAYLOAD_TOO_LARGE, message));
                Box::pin(self.park_too_large(delivery, at, ending)).await;
            }
            Err(error) => Box::pin(self.not_appended(delivery, at, error)).await,
        }
    }

    async fn park_too_large(&self, delivery: Delivery, at: &mut Claim, ending: Ending) {
        match at.append(|head| ending.draft(head)).await {
            Ok(()) => delivery.ack().await,
            Err(error) => self.not_appended(delivery, at, error).await,
        }
    }

    async fn schedule(
        &self,
        delivery: Delivery,
        at: &mut Claim,
        envelope: &Envelope,
        delay: Duration,
        error: ErrorInfo,
    ) {
        let attempt = at.snapshot.attempt;
        tracing::warn!(
            intent = %delivery.ticket.intent, code = error.code, attempt, of = self.policy(Some(envelope)).attempts,
            "attempt failed, the next one in {:.1} s: {}", delay.as_secs_f64(), error.message
        );
        // Readers take the delay for the time from `at` to `wake_at`: with two readings of a clock that is set in between, it
        // would be off by as much.
        let scheduled = at.append_at(|head, now| Ok(act::retry(head, now.plus(delay), error.clone())?));
        match scheduled.await {
            Ok(()) if delay > LONG_RETRY && self.leaves_long_retries().await => delivery.ack().await,
            Ok(()) => delivery.hand_back(delay).await,
            Err(error) => self.not_appended(delivery, at, error).await,
        }
    }

    /// Whether the leader writes the ticket of a retry that is far away. Should it not be known, the ticket is held back.
    pub(crate) async fn leaves_long_retries(&self) -> bool {
        self.protocol.newest >= LEADER_WRITES && self.mesh.knows_waits().await.unwrap_or(false)
    }

    async fn act_on_outcome(&self, at: &mut Claim, envelope: &Envelope, outcome: Outcome) -> Verdict {
        let note = outcome.note;
        let is_open = matches!(outcome.kind, OutcomeKind::HandOff { .. });
        let kind = outcome.kind.placed(envelope);
        // Where nobody is next, a handoff completes the intent, and nothing undoes that.
        let is_over = is_open && matches!(kind, OutcomeKind::Complete(_));
        let undo = outcome.undo.filter(|_| !is_over);
        if let Some(undo) = &undo
            && let Err(fault) = Box::pin(self.check_undo(at, envelope, undo, &kind)).await
        {
            return Box::pin(self.act_on_fault(at, envelope, fault)).await;
        }
        at.costs(outcome.cost);
        if outcome.cost.is_some() {
            Box::pin(self.charge(at, outcome.cost)).await;
        }
        if let (OutcomeKind::Complete(result), Some(expects)) = (&kind, &envelope.expects)
            && let Err(fault) = expected(expects, result)
        {
            return Box::pin(self.act_on_fault(at, envelope, fault)).await;
        }
        let mut handed_on = outcome.handed_on;
        // Where the hop ends the intent, or sends a message, what is remembered by then is in the record.
        let mut context = None;
        if matches!(kind, OutcomeKind::Complete(_) | OutcomeKind::Broadcast(_)) && handed_on.matters(envelope) {
            let on = std::mem::replace(&mut handed_on, HandedOn::NONE);
            context = match Box::pin(self.left_behind(at, envelope, on)).await {
                Ok(context) => context,
                Err(verdict) => return *verdict,
            };
        }
        match kind {
            // The parent of a child may be of a version that takes no result by reference.
            OutcomeKind::Complete(result) if result.is_large() && envelope.may_end_by_ref() => {
                Box::pin(self.complete_by_ref(at, envelope, result, (note, context))).await
            }
            OutcomeKind::Complete(result) => Verdict::Commit(Ending::Complete { result, note, context }),
            OutcomeKind::Reject { code, reason } => {
                let error = ErrorInfo::new(code, reason);
                Box::pin(self.rejected(at, envelope, error, note)).await
            }
            // It has asked before anything is committed.
            OutcomeKind::FanOut(spec) => Box::pin(self.suspend(at, envelope, vec![*spec], handed_on)).await,
            OutcomeKind::Broadcast(message) => Box::pin(self.broadcast(at, envelope, *message, (note, context))).await,
            OutcomeKind::HandOff {
                to,
                payload,
                kind,
                history,
            } => {
                let with = HandedOff {
                    to,
                    payload,
                    kind,
                    history,
                    note,
                    undo,
                    handed_on,
                };
                Box::pin(self.hand_off(at, envelope, with)).await
            }
        }
    }

    /// Counts against the cap of the agent what the handler says that the attempt has cost, and no step has accounted for.
    async fn charge(&self, at: &Claim, cost: Option<f64>) {
        if let Some(more) = at.unaccounted(cost)
            && self.caps.is_capped().await.unwrap_or(false)
        {
            self.caps.charge(more).await;
        }
    }

    /// Hands the intent on.
    async fn hand_off(&self, at: &mut Claim, envelope: &Envelope, with: HandedOff) -> Verdict {
        let HandedOff {
            to,
            payload,
            kind,
            history,
            note,
            undo,
            mut handed_on,
        } = with;
        if let Some(Err(bad)) = kind.as_deref().map(check_kind) {
            let fault = Fault::terminal(codes::MALFORMED_ENVELOPE, format!("the handoff: {bad}"));
            return Box::pin(self.act_on_fault(at, envelope, fault)).await;
        }
        // An operator may have changed the pins since this holder last wrote.
        if !at.snapshot.pins.is_empty()
            && let Err(error) = Box::pin(at.refresh()).await
        {
            return Box::pin(self.act_on_fault(at, envelope, Fault::unwritten(&error))).await;
        }
        let of_kind = kind.as_deref().or(envelope.kind.as_deref());
        let placed = match self.receiver(at, envelope, &to, of_kind).await {
            Ok(placed) => placed,
            Err(fault) => return Box::pin(self.act_on_fault(at, envelope, fault)).await,
        };
        let note = placed.note(note);
        let (version, route) = (placed.choice.version, placed.route);
        let new = Successor {
            id: self.mesh.clock().envelope_id(),
            to: route.agent.clone(),
            to_version: version.clone(),
            from: format!("{}@{}", self.agent, self.version),
            payload: payload.json,
            kind,
            history: history.map(|entry| self.signed(*entry, envelope)),
        };
        let by = (placed.stands_in, placed.passed_by);
        let mut next = match successor(envelope, &at.snapshot, new, payload.encoding, by) {
            Ok(next) => next,
            Err(error) => return park(error),
        };
        if let Some(task) = handed_on.task.take() {
            next.task = Some(task.over(next.task.take()));
        }
        if next.has_large_payload() || handed_on.matters(envelope) {
            next = match Box::pin(self.fitted(at, envelope, (&route, &version), next, handed_on)).await {
                Ok(next) => next,
                Err(verdict) => return *verdict,
            };
        }
        match in_form_for(&route, &version, *next, envelope.protocol, self.protocol) {
            Ok((next, conversion)) => Verdict::Commit(Ending::HandOff {
                envelope: Box::new(next),
                is_manual: route.is_manual(&version),
                version,
                conversion,
                note,
                undo,
            }),
            // No later attempt would find another form; a person must up- or downgrade one of them.
            Err(error) => park(ErrorInfo::new(codes::NO_COMMON_PROTOCOL, error.to_string())),
        }
    }

    /// Completes with a large result as an object.
    async fn complete_by_ref(
        &self,
        at: &Claim,
        envelope: &Envelope,
        result: Body,
        (note, context): (Option<String>, Option<Json>),
    ) -> Verdict {
        match self.mesh.as_object(envelope.root(), &result).await {
            Ok(Some(result)) => Verdict::Commit(Ending::CompleteByRef {
                result: Box::new(result),
                note,
                context,
            }),
            Ok(None) => Verdict::Commit(Ending::Complete { result, note, context }),
            Err(error) => self.without_room(at, envelope, &error).await,
        }
    }

    /// The next envelope with its large payload as its receiver takes it and with its view, or what becomes of the hop.
    async fn fitted(
        &self,
        at: &Claim,
        envelope: &Envelope,
        (route, version): (&Route, &AgentVersion),
        mut next: Box<Envelope>,
        handed_on: HandedOn,
    ) -> Result<Box<Envelope>, Box<Verdict>> {
        if next.has_large_payload() {
            next = match self.mesh.fitted(route, version, *next).await {
                Ok(next) => Box::new(next),
                Err(error) => return Err(Box::new(self.without_room(at, envelope, &error).await)),
            };
        }
        match handed_on.matters(envelope) {
            true => {
                let size = route.versions.get(version).and_then(|entry| entry.context.as_ref());
                self.with_view(at, envelope, (next, size), handed_on).await
            }
            false => Ok(next),
        }
    }

    /// What becomes of a hop whose payload or result can be stored nowhere.
    pub(crate) async fn without_room(&self, at: &Claim, envelope: &Envelope, error: &Error) -> Verdict {
        let is_lasting = matches!(
            error,
            Error::ObjectsFull { is_lasting: true, .. } | Error::ObjectCorrupt { .. } | Error::TooLarge { .. }
        );
        if is_lasting {
            return park(ErrorInfo::new(error.code(), error.to_string()));
        }
        // The stream may have room later.
        let is_full = matches!(error, Error::ObjectsFull { .. });
        let fault = match is_full {
            true => Fault::retry(error.to_string()).with_code(error.code()),
            false => Fault::unwritten(error),
        };
        self.act_on_fault(at, envelope, fault).await
    }

    /// Whether a hop may name this undo: it is refused before anything is committed.
    async fn check_undo(&self, at: &Claim, envelope: &Envelope, undo: &Undo, of: &OutcomeKind) -> Result<(), Fault> {
        if !matches!(of, OutcomeKind::HandOff { .. }) {
            let text =
                "only a hop that hands the intent on names its undo: nothing undoes what has completed or was declined";
            return Err(Fault::retry(text).with_code(codes::BAD_UNDO));
        }
        check_room(&at.snapshot)?;
        check_taker(&self.mesh, envelope, &at.snapshot.pins, undo).await
    }

    /// Where a handoff goes.
    pub(crate) async fn receiver(
        &self,
        at: &Claim,
        envelope: &Envelope,
        to: &Receiver,
        kind: Option<&str>,
    ) -> Result<Placed, Fault> {
        // The ledger's pins, not the envelope's: an operator may have changed them since.
        let asked = Asked {
            root: envelope.root(),
            kind,
            pins: &at.snapshot.pins,
            path: &at.snapshot.path,
        };
        let agent = match to {
            Receiver::Agent(agent) => agent.clone(),
            // It has a name before anybody asks.
            Receiver::Next => return Err(Fault::terminal(codes::NO_OUTCOME, "nobody is next")),
            Receiver::Capable(Capability(needed)) => match Box::pin(self.mesh.choose_capable(needed, &asked)).await {
                Ok((agent, _, _)) => agent,
                Err(error @ Error::NoneCapable { .. }) => {
                    return Err(Fault::retry(error.to_string()).with_code(error.code()));
                }
                Err(error) => return Err(Fault::unwritten(&error)),
            },
        };
        match self.mesh.place(&agent, &asked).await {
            Ok(placed) => Ok(placed),
            Err(error @ (Error::UnknownAgent { .. } | Error::Unroutable(_) | Error::BreakerOpen { .. })) => {
                Err(Fault::retry(error.to_string()).with_code(error.code()))
            }
            Err(error) => Err(Fault::unwritten(&error)),
        }
    }

    pub(crate) async fn act_on_fault(&self, at: &Claim, envelope: &Envelope, fault: Fault) -> Verdict {
        // The record contains the text twice, and it must never be what makes a record too large.
        let message: String = fault.message.chars().take(LONGEST_MESSAGE).collect();
        let error = ErrorInfo::new(fault.code, message);
        match fault.kind {
            FaultKind::Fenced => Verdict::Nothing,
            FaultKind::Unwritten => Verdict::Later,
            FaultKind::Suspended => Verdict::Commit(Ending::Suspend(fault.waits)),
            FaultKind::Terminal if self.policy(Some(envelope)).on_exhausted == OnExhausted::Compensate => {
                let blames = false;
                Verdict::Commit(Ending::Compensate { error, blames })
            }
            FaultKind::Exhausted(refused) => Verdict::Commit(Ending::Exhausted(refused)),
            FaultKind::Capped(refused) => park(ErrorInfo::from(&*refused)),
            FaultKind::Terminal => Verdict::Commit(Ending::Fail(error)),
            FaultKind::Retry(delay) => {
                let (policy, attempt) = (self.policy(Some(envelope)), at.snapshot.attempt);
                if attempt >= policy.attempts {
                    // Keep the cause's own code; a plain failure is parked as exhausted.
                    let code = if error.code == codes::RETRY {
                        codes::EXHAUSTED.to_owned()
                    } else {
                        error.code
                    };
                    let message = format!("{} (attempt {attempt} of {attempt})", error.message);
                    let error = ErrorInfo::new(code, message);
                    let ending = Box::pin(self.exhausted(&at.snapshot, envelope, error, attempt)).await;
                    return Verdict::Commit(ending);
                }
                let random = self.mesh.clock().random()[0];
                Verdict::Retry(delay.unwrap_or_else(|| policy.delay(attempt, random)), error)
            }
        }
    }

    pub(crate) fn signed(&self, mut entry: HistoryEntry, envelope: &Envelope) -> HistoryEntry {
        entry.agent = self.agent.clone();
        entry.version = Some(self.version.clone());
        entry.hop = Some(envelope.hop);
        entry.at = Some(self.mesh.now());
        entry
    }
}

/// The next envelope; on the heap, so that the state of a hop stays small while a large payload is stored.
fn successor(
    envelope: &Envelope,
    at: &Snapshot,
    new: Successor,
    payload_encoding: Option<String>,
    (stands_in, passed_by): (Option<StandsIn>, Option<Box<HistoryEntry>>),
) -> Result<Box<Envelope>, ErrorInfo> {
    let mut next = envelope.successor(new).map_err(|limit| past_limit(&limit, at))?;
    next.payload_encoding = payload_encoding;
    next.pins.clone_from(&at.pins);
    if let Some(stands_in) = &stands_in {
        next.itinerary = envelope.itinerary_after(&stands_in.for_agent);
    }
    next.stands_in = stands_in.map(Box::new);
    next.history.extend(passed_by.map(|entry| *entry));
    let kept = envelope.check_must_carry(&next);
    kept.map_err(|broken| ErrorInfo::new(codes::MUST_CARRY, broken.to_string()))?;
    Ok(Box::new(next))
}

/// That a handoff would pass the limit on hops, with the path up to there.
pub(crate) fn past_limit(limit: &HopLimit, at: &Snapshot) -> ErrorInfo {
    let path = at.path.iter().map(|entry| format!("{}@{}", entry.agent, entry.version));
    let path: Vec<String> = path.collect();
    let mut message = format!("{limit}; path: {} -> {}", path.join(" -> "), limit.to);
    if let Some((cycle, times)) = closing_cycle(&at.path, &limit.to) {
        let cycle: Vec<&str> = cycle.into_iter().map(AgentName::as_str).collect();
        message.push_str(&format!("; cycle: {}, gone through {times} times", cycle.join(" -> ")));
    }
    ErrorInfo::new(codes::HOP_LIMIT, message)
}

pub(crate) fn park(error: ErrorInfo) -> Verdict {
    Verdict::Commit(Ending::Park(error))
}
