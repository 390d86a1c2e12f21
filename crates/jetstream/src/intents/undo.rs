//! Undoing what an intent did: the plan, one undo after the other as a child, and the end.
//!
//! Only the leader does this, and it may repeat all of it: what comes next follows from the head, the id of an undo from its place
//! in the plan, and a first record is guarded by the absence of any.

use baton_envelope::{
    Author, ChildEnd, Draft, ErrorInfo, IllegalTransition, IntentId, NewUndo, NextUndo, PlannedUndo, Snapshot, Status,
    Undo, act, codes, next_undo, undos,
};

use super::submit::{DueWork, Submitted};
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::ControllerMesh;

/// How many undos the text of a failure names.
const NAMED: usize = 20;

impl ControllerMesh {
    /// Fixes what is undone of an intent, and asks for the first undo; ends it where there is nothing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn plan_undos(&self, head: &Head, by: &Author) -> Result<(), Error> {
        let named = head.record.snapshot.undo.as_ref().map_or(0, |undo| undo.named);
        let plan: Vec<PlannedUndo> = self
            .undos_of(head)
            .await?
            .into_iter()
            .map(|(planned, _)| planned)
            .collect();
        if plan.len() < named as usize {
            // What is missing would never be undone, and nobody would know.
            let lost = Err(Error::NoEnvelope(head.record.intent.clone()));
            return self.or_park(&head.record.intent, by, lost).await.map(drop);
        }
        self.go_on_undoing(head, by, |now, next| match next {
            NextUndo::Plan if plan.is_empty() => act::end_undone(now).map(Some),
            NextUndo::Plan => act::plan_undos(now, plan.clone()).map(Some),
            NextUndo::Children | NextUndo::Undo(..) | NextUndo::Failed(..) | NextUndo::End => Ok(None),
        })
        .await
    }

    /// Submits an undo of an intent: the one with this place in its plan, as the child of a set of this name. The caller has asked
    /// the ledger and the archive about it since `looked_at`. One that the mesh refuses ends as rejected. `false` when it is to be
    /// tried again.
    ///
    /// # Errors
    /// When it cannot be submitted for a reason that is not its own.
    pub async fn submit_undo(
        &self,
        head: &Head,
        (place, name): (u32, &str),
        by: &Author,
        looked_at: baton_envelope::Timestamp,
    ) -> Result<bool, Error> {
        let of = &head.record.intent;
        let intent = IntentId::of_child(of, head.record.snapshot.hop, name, 0);
        match Box::pin(self.try_undo(head, (place, name), by, looked_at)).await {
            Ok(Submitted::Conflict { head, field }) if head.record.snapshot.parent.as_ref() != Some(of) => {
                tracing::warn!(%intent, seq = head.seq, field, "the id of an undo is taken by other work");
                Ok(false)
            }
            Ok(Submitted::New { .. } | Submitted::Repeated(_) | Submitted::Conflict { .. }) => Ok(true),
            Err(error) if error.refuses().is_some() => self.refuse_child(head, head, &intent, &error, by).await,
            Err(error) => Err(error),
        }
    }

    async fn try_undo(
        &self,
        head: &Head,
        (place, name): (u32, &str),
        by: &Author,
        looked_at: baton_envelope::Timestamp,
    ) -> Result<Submitted, Error> {
        let of = &head.record.intent;
        let plan = self.undos_of(head).await?;
        let Some((planned, undo)) = plan.get(place as usize) else {
            let problem = format!("no record of {of} names the undo at place {place} of its plan");
            return Err(Error::api("undoing", problem));
        };
        let snapshot = &head.record.snapshot;
        let from = match (&snapshot.agent, &snapshot.version) {
            (Some(agent), Some(version)) => format!("{agent}@{version}"),
            (_, _) => by.instance.clone(),
        };
        let envelope = self.hop_envelope(&head.record).await?.undo(NewUndo {
            id: self.clock().envelope_id(),
            set: (snapshot.hop, name),
            undo,
            from: &from,
            pins: &snapshot.pins,
        });
        let due = DueWork {
            at: head.record.at,
            looked_at,
            note: format!("it undoes {} of {of}", planned.what()),
            path: Vec::new(),
        };
        self.submit_due(envelope, by.clone(), &due).await
    }

    /// Records the end of an undo on its intent, which asks for the next one if it has completed.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn record_undone(&self, head: &Head, name: &str, end: &ChildEnd, by: &Author) -> Result<(), Error> {
        self.go_on_undoing(head, by, |now, _| act::undone(now, name, end.clone()))
            .await
    }

    /// Sets an intent aside of which an undo has failed, and says what is not undone.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn park_undoing(&self, head: &Head, place: u32, why: &str, by: &Author) -> Result<(), Error> {
        let plan = self.undos_of(head).await?;
        let left: Vec<String> = plan
            .iter()
            .skip(place as usize)
            .map(|(planned, _)| planned.what())
            .collect();
        let first = left.first().map_or("a step", String::as_str);
        let message = format!("the undo of {first} {why}; not undone: {}", listed(&left));
        let error = ErrorInfo::new(codes::COMPENSATION_FAILED, message);
        self.go_on_undoing(head, by, |now, next| match next {
            NextUndo::Failed(at, _) if at == place => act::park(now, error.clone()).map(Some),
            NextUndo::Children | NextUndo::Plan | NextUndo::Undo(..) | NextUndo::Failed(..) | NextUndo::End => Ok(None),
        })
        .await
    }

    /// Ends an intent of which all is undone.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn end_undone(&self, head: &Head, by: &Author) -> Result<(), Error> {
        self.go_on_undoing(head, by, |now, next| match next {
            NextUndo::End => act::end_undone(now).map(Some),
            NextUndo::Children | NextUndo::Plan | NextUndo::Undo(..) | NextUndo::Failed(..) => Ok(None),
        })
        .await
    }

    /// Ends an undo that was set aside: it has failed, and the intent that it belongs to says so. One that somebody paused goes on
    /// when it is resumed.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn give_up_undo(&self, undo: &IntentId, by: &Author) -> Result<(), Error> {
        let given_up = self.advance(undo, by, Known::Unread, |head, _| {
            let Some(snapshot) = head.map(|head| head.snapshot) else {
                return Ok(Decision::Nothing);
            };
            let code = snapshot.status.code().unwrap_or_default();
            let is_parked = matches!(snapshot.status, Status::Parked { .. });
            if !is_parked || [codes::PAUSED, codes::IMPORTED].contains(&code) {
                return Ok(Decision::Nothing);
            }
            let why = snapshot.error.as_ref().map_or("", |error| &error.message);
            let reason = format!("the undo was parked, {code}: {why}");
            Ok::<_, Error>(act::cancel(snapshot, &reason)?.into())
        });
        given_up.await.map(drop).map_err(Error::from)
    }

    /// Writes what comes next of an intent that is undone, as the head of the moment has it.
    async fn go_on_undoing(
        &self,
        head: &Head,
        by: &Author,
        decide: impl Fn(&Snapshot, NextUndo) -> Result<Option<Draft>, IllegalTransition> + Send + Sync,
    ) -> Result<(), Error> {
        let written = self.advance(&head.record.intent, by, Known::Read(head), |now, _| {
            let Some((now, next)) = now.and_then(|now| Some((now.snapshot, next_undo(now.snapshot)?))) else {
                return Ok(Decision::Nothing);
            };
            Ok::<_, Error>(decide(now, next)?.map_or(Decision::Nothing, Decision::from))
        });
        match written.await? {
            Advanced::Committed(_) | Advanced::Unchanged(_) => Ok(()),
        }
    }

    /// What is undone of an intent, the latest first.
    async fn undos_of(&self, head: &Head) -> Result<Vec<(PlannedUndo, Undo)>, Error> {
        let history = self.history_through(&head.record.intent, head.seq).await?;
        let found = undos(history.iter().map(|head| &head.record));
        Ok(found
            .into_iter()
            .map(|(planned, undo)| (planned, undo.clone()))
            .collect())
    }
}

/// These, or the first of them and how many more there are.
fn listed(left: &[String]) -> String {
    let named = left.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match left.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
