//! A parent lends a child more, tops it up, and knows that it has.

use crate::amounts::{Amounts, TopUp};
use crate::base::ids::IntentId;
use crate::intent::budget::{Borrower, Debt, TopUpRefused};
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// On the parent: lends a child more, and owes it the [`pay_lent`]; `None` when this request is recorded. It changes nothing else, so
/// a holder writes on after it.
///
/// # Errors
/// When the child cannot have more, or the parent has not as much.
pub fn lend_more(
    head: &Snapshot,
    to: Borrower<'_>,
    mut top_up: TopUp,
    reason: &str,
) -> Result<Option<Draft>, TopUpRefused> {
    if head.status.is_terminal() {
        let parent = to.parent.clone();
        return Err(TopUpRefused::ParentClosed { parent });
    }
    let mut draft = Draft::after(head, Event::ToppedUp)?;
    if !draft.snapshot.lend_more(to, &top_up)? {
        return Ok(None);
    }
    top_up.lent_to = Some(to.child.clone());
    draft.top_up = Some(Box::new(top_up));
    Ok(Some(draft.with_note(Some(reason.to_owned()))))
}

/// On the child: tops it up by what its parent owes it; `None` when it has that.
///
/// # Errors
/// When it has ended, or has been lent more since the state of the parent that the debt is from: then its record may have forgotten
/// that it was paid.
pub fn pay_lent(head: &Snapshot, debt: &Debt, reason: &str) -> Result<Option<Draft>, TopUpRefused> {
    let mut draft = Draft::after(head, Event::ToppedUp)?;
    let budget = draft.snapshot.budget.as_mut().ok_or(TopUpRefused::NoBudget)?;
    if budget.is_topped(&debt.owed.id) {
        return Ok(None);
    }
    let mut sum = debt.owed.amounts.clone();
    for (meter, amount) in debt.owed.amounts.iter() {
        sum.set(meter, amount.plus(budget.allotted().get(meter)));
    }
    if !sum.fit(&debt.share) {
        return Err(TopUpRefused::Overtaken);
    }
    let top_up = TopUp::new(&debt.owed.id, debt.owed.amounts.clone());
    budget.top_up(&top_up)?;
    draft.top_up = Some(Box::new(top_up));
    Ok(Some(draft.with_note(Some(reason.to_owned()))))
}

/// On the parent: it owes no more what these children have got; `None` when it owes none of that.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn paid_lent(head: &Snapshot, of: &IntentId, paid: &[Debt]) -> Result<Option<Draft>, IllegalTransition> {
    let mut draft = Draft::after(head, Event::ToppedUp)?;
    let Some(last) = paid.last().filter(|_| draft.snapshot.forget_paid(of, paid)) else {
        return Ok(None);
    };
    draft.top_up = Some(Box::new(TopUp {
        lent_to: Some(last.child.clone()),
        paid: true,
        ..TopUp::new(&last.owed.id, Amounts::NONE)
    }));
    Ok(Some(draft))
}
