//! A holder says what it has spent.

use crate::amounts::Spend;
use crate::intent::act::step;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::record::StepEntry;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Records the result of a step with what it has spent of what was held for it.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn spend_step(head: &Snapshot, entry: StepEntry, spend: Spend) -> Result<Draft, IllegalTransition> {
    let mut draft = step(head, entry)?;
    draft.has_spent(spend);
    Ok(draft)
}

/// Records what was spent without a hold, after the fact.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn spend(head: &Snapshot, spend: Spend) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Progress)?;
    draft.has_spent(spend);
    Ok(draft)
}
