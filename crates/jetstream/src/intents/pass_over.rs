//! Work that nobody has taken: it goes to another agent, or is set aside.

use baton_envelope::{
    AgentName, Asked, Author, Cause, Draft, ErrorInfo, HistoryEntry, IntentId, OnUnaccepted, ProtocolRange, Snapshot,
    Status, Successor, act, codes, holds,
};

use super::form::in_form_for;
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::ControllerMesh;

/// What became of work that nobody had taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassedOver {
    /// This agent stands in for the other one.
    To(AgentName),
    /// It was set aside for a person.
    Parked,
    /// Somebody has taken it, or it has gone elsewhere.
    Taken,
}

impl ControllerMesh {
    /// Gives the work of an intent, which nobody has taken since the record at `seq`, to the next alternative of the agent
    /// that it was meant for, if that is what is to happen; without one, sets it aside.
    ///
    /// # Errors
    /// When the ledger or the routes cannot be read, or the server does not answer.
    pub async fn pass_over(
        &self,
        intent: &IntentId,
        seq: u64,
        what: &OnUnaccepted,
        problem: &str,
        by: &Author,
    ) -> Result<PassedOver, Error> {
        let Some(head) = self.head(intent).await?.filter(|head| head.seq == seq) else {
            return Ok(PassedOver::Taken);
        };
        if !is_untaken(&head) {
            return Ok(PassedOver::Taken);
        }
        let error = ErrorInfo::new(codes::NOT_ACCEPTED, problem);
        let other = match what {
            OnUnaccepted::Alternative => self.other_draft(&head, &error).await,
            OnUnaccepted::Park | OnUnaccepted::Unknown(_) => Ok(None),
        };
        let passed = match other {
            Ok(other) => self.write_passed_over(&head, other.as_ref(), &error, by).await,
            Err(refused) => Err(refused),
        };
        match passed {
            // No alternative is ever able to take it.
            Err(refused) if refused.refuses().is_some() => {
                let why = ErrorInfo::new(codes::NOT_ACCEPTED, format!("{problem}; to pass it on: {refused}"));
                self.write_passed_over(&head, None, &why, by).await
            }
            passed => passed,
        }
    }

    /// Writes that work is passed on by this draft, or set aside.
    async fn write_passed_over(
        &self,
        head: &Head,
        other: Option<&Draft>,
        error: &ErrorInfo,
        by: &Author,
    ) -> Result<PassedOver, Error> {
        let written = self.advance(&head.record.intent, by, Known::Read(head), |now, _| {
            let Some(now) = now.filter(|now| now.seq == head.seq) else {
                return Ok(Decision::Nothing);
            };
            match other {
                Some(draft) => Ok::<_, Error>(draft.clone().into()),
                None => Ok(act::park(now.snapshot, error.clone())?.into()),
            }
        });
        let to = other.and_then(|draft| draft.snapshot.agent.clone());
        Ok(match (written.await?, to) {
            (Advanced::Committed(_), Some(agent)) => PassedOver::To(agent),
            (Advanced::Committed(_), None) => PassedOver::Parked,
            (Advanced::Unchanged(_), _) => PassedOver::Taken,
        })
    }

    /// The draft that gives the work to the next alternative; `None` if none is left, or the limit on hops is reached.
    async fn other_draft(&self, head: &Head, error: &ErrorInfo) -> Result<Option<Draft>, Error> {
        let snapshot = &head.record.snapshot;
        let envelope = match (&head.record.envelope, snapshot.envelope_seq) {
            (Some(envelope), _) => envelope.clone(),
            (None, Some(seq)) => match self.record_at(&head.record.intent, seq).await?.record.envelope {
                Some(envelope) => envelope,
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        let passed_by = envelope.passed_by();
        let asked = Asked {
            root: envelope.root(),
            kind: envelope.kind.as_deref(),
            pins: &snapshot.pins,
            path: &snapshot.path,
        };
        let meant_for = self.route_of(&passed_by.for_agent).await?;
        let Some(placed) = self.stand_in(&passed_by, meant_for.policy.as_ref(), &asked).await? else {
            return Ok(None);
        };
        let (to, version) = (placed.route.agent.clone(), placed.choice.version);
        let new = Successor {
            id: self.clock().envelope_id(),
            to: to.clone(),
            to_version: version.clone(),
            from: "controller".to_owned(),
            payload: envelope.payload.clone(),
            kind: None,
            history: Some(self.said(&envelope.to, snapshot, &to, error)),
        };
        let Ok(mut next) = envelope.passed_on(new, placed.stands_in) else {
            return Ok(None);
        };
        next.pins.clone_from(&snapshot.pins);
        let (next, conversion) = in_form_for(
            &placed.route,
            &version,
            next,
            envelope.protocol,
            ProtocolRange::of_forms(),
        )?;
        let is_manual = placed.route.is_manual(&version);
        let mut draft = act::pass_over(snapshot, next, version, error.clone())?.by_hand(is_manual);
        draft.conversion = conversion;
        Ok(Some(draft))
    }

    fn said(&self, agent: &AgentName, snapshot: &Snapshot, to: &AgentName, error: &ErrorInfo) -> HistoryEntry {
        HistoryEntry {
            agent: agent.clone(),
            version: snapshot.version.clone(),
            hop: Some(snapshot.hop),
            at: Some(self.now()),
            did: Some("did not take the work".to_owned()),
            decided: Some(format!("{to} stands in")),
            why: Some(format!("{}: {}", error.code, error.message)),
            refs: Vec::new(),
            extra: baton_envelope::Extra::new(),
        }
    }
}

/// Whether the work of an intent waits in the queue of its version, and nobody ever had it.
fn is_untaken(head: &Head) -> bool {
    let snapshot = &head.record.snapshot;
    let is_queued = holds(snapshot).first().is_some_and(|hold| hold.cause == Cause::Queued);
    snapshot.status == Status::Pending && snapshot.holder.is_none() && !head.record.is_given_back() && is_queued
}
