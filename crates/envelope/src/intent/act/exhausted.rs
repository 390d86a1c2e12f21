//! A hop ends because its budget does not suffice.

use crate::amounts::OnExhaustedBudget;
use crate::intent::act::{fail, park};
use crate::intent::budget::BudgetRefused;
use crate::intent::draft::Draft;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Parks the intent, with what it needs to go on, or lets it fail: as its budget says.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn exhausted(head: &Snapshot, refused: &BudgetRefused) -> Result<Draft, IllegalTransition> {
    let budget = head.budget.as_deref();
    if budget.is_some_and(|budget| budget.on_exhausted == OnExhaustedBudget::Fail) {
        return fail(head, refused.error());
    }
    let mut draft = park(head, refused.error())?;
    if let Some(budget) = &mut draft.snapshot.budget {
        budget.need = Some(Box::new(refused.need.clone()));
    }
    Ok(draft)
}
