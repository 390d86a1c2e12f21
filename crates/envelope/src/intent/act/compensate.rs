//! What was done is undone.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Begins to undo what the intent has done: nobody holds it any more.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn compensate(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::Compensating)?.without_holder())
}
