//! Starts to undo completed hops.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Begins to undo what the intent has done. Nobody holds it from here on.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn compensate(head: &Snapshot) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::Compensating)?.without_holder())
}
