//! A holder leaves a note.

use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;

/// Adds a note from the holder.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn progress(head: &Snapshot, note: &str) -> Result<Draft, IllegalTransition> {
    Ok(Draft::after(head, Event::Progress)?.with_note(Some(note.to_owned())))
}
