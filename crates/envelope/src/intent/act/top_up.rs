//! Somebody adds to the budget of an intent.

use crate::amounts::TopUp;
use crate::intent::budget::TopUpRefused;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;

/// Adds to the budget; `None` when this request is recorded. It changes nothing else, so a holder writes on after it.
///
/// # Errors
/// When this may not follow the status of the head, there is no such meter, or the intent is a child: its parent lends it more
/// ([`lend_more`](super::lend_more)).
pub fn top_up(head: &Snapshot, top_up: TopUp, reason: &str) -> Result<Option<Draft>, TopUpRefused> {
    let mut draft = Draft::after(head, Event::ToppedUp)?;
    let budget = draft.snapshot.budget.as_mut().ok_or(TopUpRefused::NoBudget)?;
    if budget.is_topped(&top_up.id) {
        return Ok(None);
    }
    if let Some(parent) = head.parent.clone() {
        return Err(TopUpRefused::IsChild { parent });
    }
    budget.top_up(&top_up)?;
    draft.top_up = Some(Box::new(top_up));
    Ok(Some(draft.with_note(Some(reason.to_owned()))))
}
