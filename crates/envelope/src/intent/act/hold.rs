//! A holder reserves before it calls.

use crate::amounts::{Amounts, Hold};
use crate::intent::budget::BudgetRefused;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Why nothing is reserved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotHeld {
    /// The budget does not suffice.
    #[error(transparent)]
    Refused(#[from] Box<BudgetRefused>),
    /// The event may not follow.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
}

/// Reserves for a step. The first record of a holder also says that it is at work, so that a hold costs it no second one.
///
/// # Errors
/// When this may not follow the status of the head, or the budget does not suffice.
pub fn hold(head: &Snapshot, instance: &str, step: &str, amounts: Amounts) -> Result<Draft, NotHeld> {
    let is_known = head.holder.as_deref() == Some(instance);
    let event = if is_known { Event::Progress } else { Event::Started };
    let mut draft = Draft::after(head, event)?.held_by(instance);
    if let Some(budget) = &mut draft.snapshot.budget {
        budget.hold(&format!("step \"{step}\""), &amounts, head.epoch)?;
    }
    draft.hold = Some(Box::new(Hold::new(step, amounts, head.epoch)));
    Ok(draft)
}
