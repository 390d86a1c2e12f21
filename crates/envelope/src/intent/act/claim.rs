//! A worker takes a hop that others may have had.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Takes the hop for an instance. The new epoch fences out every earlier holder.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn claim(head: &Snapshot, instance: &str, attempt: u32) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Claimed)?.without_holder().held_by(instance);
    draft.snapshot.attempt = attempt;
    Ok(draft)
}
