//! A holder shows that it is at work.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Records which instance is at work.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn start(head: &Snapshot, instance: &str) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::Started)?.held_by(instance))
}
