//! Lending a child more: its parent's record, then the child's, then the parent's that it is paid. Whoever finds the first alone
//! writes the others.

use baton_envelope::budget::{Borrower, Debt, TopUp, TopUpRefused};
use baton_envelope::{Author, IntentId, Role, act};

use super::budgets::{ToppedUp, not_topped};
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::Mesh;

impl Mesh {
    /// Has the parent of a child lend it more, of what the parent has. A request with an id that is recorded changes nothing.
    ///
    /// # Errors
    /// When the child cannot have more, or its parent has not as much.
    pub(super) async fn lend_more(
        &self,
        child: &Head,
        top_up: &TopUp,
        reason: &str,
        by: &Author,
    ) -> Result<ToppedUp, Error> {
        let (id, snapshot) = (&child.record.intent, &child.record.snapshot);
        let Some(parent) = &snapshot.parent else {
            return Err(Error::Raced(id.clone()));
        };
        let to = Borrower {
            parent,
            child: id,
            snapshot,
        };
        let lent = self.advance(parent, by, Known::Unread, |head, _| {
            let lent = match head {
                Some(head) => act::lend_more(head.snapshot, to, top_up.clone(), reason),
                // It has ended, and the archive has it.
                None => Err(TopUpRefused::ParentClosed { parent: parent.clone() }),
            };
            match lent {
                Ok(draft) => Ok(draft.map_or(Decision::Nothing, Decision::from)),
                Err(refused) => Err(not_topped(id, snapshot, &refused)),
            }
        });
        let seq = match lent.await? {
            Advanced::Committed(committed) => Some(committed.seq),
            Advanced::Unchanged(_) => {
                // Whoever wrote it may have died then.
                if self.may_lend(by) {
                    self.pay_debts(parent, by).await?;
                }
                None
            }
        };
        let now = self.head(id).await?;
        let budget = now.and_then(|now| now.record.snapshot.budget);
        Ok(ToppedUp {
            seq,
            lent_by: Some(parent.clone()),
            budget: budget.ok_or_else(|| Error::Raced(id.clone()))?,
        })
    }

    /// Whether a process may pay what a parent owes its children. No worker allots anything; in a secured mesh, and where records
    /// are signed, only controllers do.
    pub(crate) fn may_lend(&self, by: &Author) -> bool {
        by.role != Role::Worker && self.may_redrive(by)
    }

    /// Tops up the children that an intent has lent more, and records on it what they have got. Returns whether they got any of it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn pay_debts(&self, parent: &IntentId, by: &Author) -> Result<bool, Error> {
        let Some(head) = self.head(parent).await? else {
            return Ok(false);
        };
        let mut paid = Vec::new();
        for debt in head.record.snapshot.debts(parent) {
            match Box::pin(self.pay_debt(&head, &debt, by)).await {
                Ok(true) => paid.push(debt),
                Ok(false) => {}
                Err(error) if error.is_of_server() => return Err(error),
                // One child that nobody can read must not keep the others from what they are owed.
                Err(error) => tracing::warn!(%error, child = %debt.child, "a child cannot be topped up"),
            }
        }
        if paid.is_empty() {
            return Ok(false);
        }
        let known = self.advance(parent, by, Known::Read(&head), |now, _| {
            let draft = now.map(|now| act::paid_lent(now.snapshot, parent, &paid)).transpose();
            Ok::<_, Error>(match draft {
                Ok(Some(Some(draft))) => draft.into(),
                // It has ended meanwhile, and owes nothing any more.
                Ok(Some(None) | None) | Err(_) => Decision::Nothing,
            })
        });
        // It pays what its own record still owes.
        Box::pin(known).await?;
        Ok(true)
    }

    /// Pays one of them; `false` where the child has ended, or the head is not the last any more: what is owed by that is paid by
    /// whoever reads it.
    async fn pay_debt(&self, parent: &Head, debt: &Debt, by: &Author) -> Result<bool, Error> {
        let reason = self.reason_of(parent, debt).await?;
        let mut has_it = false;
        let paid = self.advance(&debt.child, by, Known::Unread, |now, _| {
            has_it = false;
            let Some(now) = now else { return Ok(Decision::Nothing) };
            Ok::<_, Error>(match act::pay_lent(now.snapshot, debt, &reason) {
                Ok(Some(draft)) => draft.into(),
                Ok(None) => {
                    has_it = true;
                    Decision::Nothing
                }
                Err(refused) => {
                    tracing::debug!(%refused, child = %debt.child, "a child is not topped up");
                    Decision::Nothing
                }
            })
        });
        let is_new = matches!(paid.await?, Advanced::Committed(_));
        Ok(is_new || has_it)
    }

    /// Why a child was lent more: the note of the record that says so.
    async fn reason_of(&self, parent: &Head, debt: &Debt) -> Result<String, Error> {
        let is_of = |head: &&Head| {
            let top_up = head.record.top_up.as_deref();
            top_up.is_some_and(|top_up| {
                !top_up.paid && top_up.id == debt.owed.id && top_up.lent_to.as_ref() == Some(&debt.child)
            })
        };
        let found = match Some(parent).filter(is_of) {
            Some(head) => head.record.note.clone(),
            None => {
                let history = self.history_through(&parent.record.intent, parent.seq).await?;
                history
                    .iter()
                    .rev()
                    .find(is_of)
                    .and_then(|head| head.record.note.clone())
            }
        };
        Ok(found.unwrap_or_default())
    }
}
