//! Budgets: topping one up, and putting back what was parked for want of it.

use baton_envelope::budget::{TopUp, TopUpRefused};
use baton_envelope::control::{TopUpIntent, TopUpView};
use baton_envelope::{Author, Budget, IntentId, Role, Snapshot, act};

use super::redrive::Redrive;
use crate::error::Error;
use crate::ledger::{Advanced, Committed, Decision, Known};
use crate::server::Mesh;

/// What a top-up came to.
#[derive(Debug, Clone, PartialEq)]
pub struct ToppedUp {
    /// The ledger sequence of the `topped_up` record; `None` when the request was recorded before.
    pub seq: Option<u64>,
    /// The parent that has lent it, where the intent is a child.
    pub lent_by: Option<IntentId>,
    /// The budget after it.
    pub budget: Box<Budget>,
}

impl Mesh {
    /// Adds to the budget of an open intent. A request with an id that is recorded changes nothing. A child is lent it by its
    /// parent. An intent that was parked for want of budget, and has enough then, goes on by itself.
    ///
    /// # Errors
    /// When there is no such intent, it has ended, it has no such meter, or its parent cannot lend it as much.
    pub async fn top_up(
        &self,
        intent: &IntentId,
        top_up: &TopUp,
        reason: &str,
        by: &Author,
    ) -> Result<ToppedUp, Error> {
        let head = self.head(intent).await?;
        let head = head.ok_or_else(|| Error::NoIntent(intent.clone()))?;
        if head.record.snapshot.parent.is_some() {
            return Box::pin(self.lend_more(&head, top_up, reason, by)).await;
        }
        let added = self.advance(intent, by, Known::Read(&head), |head, _| {
            let Some(head) = head else {
                return Err(Error::NoIntent(intent.clone()));
            };
            match act::top_up(head.snapshot, top_up.clone(), reason) {
                Ok(draft) => Ok(draft.map_or(Decision::Nothing, Decision::from)),
                Err(refused) => Err(not_topped(intent, head.snapshot, &refused)),
            }
        });
        let (seq, budget) = match added.await? {
            Advanced::Committed(Committed { record, seq }) => (Some(seq), record.snapshot.budget.clone()),
            Advanced::Unchanged(now) => (None, now.map_or(head, |now| *now).record.snapshot.budget),
        };
        let budget = budget.ok_or_else(|| Error::Raced(intent.clone()))?;
        let lent_by = None;
        Ok(ToppedUp { seq, lent_by, budget })
    }

    /// As [`Mesh::top_up`], in the way that is open to this user: in a secured mesh by asking a controller, in another one by its
    /// own write, and by asking only where that is denied.
    ///
    /// # Errors
    /// As [`Mesh::top_up`] and [`Mesh::ask_controller`].
    pub async fn top_up_or_ask(
        &self,
        intent: &IntentId,
        top_up: &TopUp,
        reason: &str,
        by: &Author,
    ) -> Result<ToppedUp, Error> {
        let own = Box::pin(self.top_up(intent, top_up, reason, by));
        let ask = async {
            let question = TopUpIntent {
                intent: intent.clone(),
                top_up: top_up.clone(),
                reason: reason.to_owned(),
                by: by.instance.clone(),
            };
            let view: TopUpView = self.ask_controller(&question).await?;
            let TopUpView {
                seq, lent_by, budget, ..
            } = view;
            Ok(ToppedUp { seq, lent_by, budget })
        };
        self.write_or_ask("top up", own, ask).await
    }

    /// Whether a process may put back what is parked for want of budget. In a secured mesh, and where records are signed, only
    /// controllers do.
    pub(crate) fn may_redrive(&self, by: &Author) -> bool {
        let is_open = !(self.is_secured() || self.proofs().is_some());
        match by.role {
            Role::Controller => true,
            // A controller writes for an operator who asks it.
            Role::Operator => is_open || self.author().is_some_and(|own| own.role == Role::Controller),
            Role::Worker => is_open,
            Role::Client | Role::Unknown(_) => false,
        }
    }

    /// Puts an intent back that is parked for want of budget, if there is as much as it needs. `false` where it is not, and where
    /// its agent cannot get it now: the sweeper tries again.
    ///
    /// # Errors
    /// When the server does not answer, or the ticket could not be written.
    pub(crate) async fn redrive_funded(&self, intent: &IntentId, by: &Author) -> Result<bool, Error> {
        let is_funded = |snapshot: &Snapshot| snapshot.owes_redrive();
        self.redrive_where(intent, by, is_funded, "its budget suffices now")
            .await
    }

    /// Puts an intent back that is parked for want of something, where that is there. `false` where it is not, and where its agent
    /// cannot get it now.
    ///
    /// # Errors
    /// When the server does not answer, or the ticket could not be written.
    pub(super) async fn redrive_where(
        &self,
        intent: &IntentId,
        by: &Author,
        is_there: impl Fn(&Snapshot) -> bool + Send + Sync,
        note: &str,
    ) -> Result<bool, Error> {
        let put = async {
            let Some(head) = self.head(intent).await? else {
                return Ok(false);
            };
            let snapshot = &head.record.snapshot;
            if !is_there(snapshot) || snapshot.is_undoing() {
                return Ok(false);
            }
            let Some(way) = self.way_back(&head).await? else {
                return Ok(false);
            };
            let put = self.advance(intent, by, Known::Read(&head), |now, _| {
                let Some(now) = now.filter(|now| is_there(now.snapshot)) else {
                    return Ok(Decision::Nothing);
                };
                let Some(last) = now.envelope else {
                    return Ok(Decision::ReadEnvelope);
                };
                let draft = self.put_back(intent, now, last, &way, &Redrive::default())?;
                Ok::<_, Error>(draft.with_note(Some(note.to_owned())).into())
            });
            Ok::<_, Error>(matches!(put.await?, Advanced::Committed(_)))
        };
        match Box::pin(put).await {
            Err(error) if !error.is_of_server() => {
                tracing::warn!(%error, %intent, "{note}, and it cannot be put back now");
                Ok(false)
            }
            done => done,
        }
    }
}

/// Why nothing was added to the budget of an intent.
pub(super) fn not_topped(intent: &IntentId, head: &Snapshot, refused: &TopUpRefused) -> Error {
    let problem = if let TopUpRefused::Illegal(_) = refused {
        "its budget cannot become larger: it has ended, and spends nothing any more".to_owned()
    } else {
        refused.to_string()
    };
    Error::WrongStatus {
        intent: intent.clone(),
        status: head.status.to_string(),
        problem,
    }
}
